package main

import (
	"bytes"
	"encoding/binary"

	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
)

// sessions is how many sessions the events are spread over.
const sessions = 100

// payload is what the code reviewer logs of a query, some hundred bytes.
const payload = `{"model":"gpt-4","prompt_tokens":1532,"completion_tokens":418,"cached":false}`

// requestEvent is a client's JSON of an event; id "" leaves it to the producer.
func requestEvent(n int, id, payload string) []byte {
	if id != "" {
		return fmt.Appendf(nil, `{"session_id":%d,"event_type":"llm_query","payload":%s,"event_id":%q}`, 1+n%sessions, payload, id)
	}
	return fmt.Appendf(nil, `{"session_id":%d,"event_type":"llm_query","payload":%s}`, 1+n%sessions, payload)
}

// queuedEvent is what the producer makes of it: the limits publish and consume this.
func queuedEvent() []byte {
	const now = "2026-01-02T03:04:05.678901Z"
	return fmt.Appendf(nil, `{"session_id":42,"event_type":"llm_query","payload":%s,"timestamp":%q,"producer_timestamp":%q,"event_id":%q}`,
		payload, now, now, uuid.Nil)
}

func eventSizes() string {
	return fmt.Sprintf("events of %d bytes in a request and %d on the queue", len(requestEvent(42, "", payload)), len(queuedEvent()))
}

// Media types of a batch.
const (
	mediaArray = "application/json"
	mediaLines = "application/x-ndjson"
)

// batchBody joins events to a batch's body.
func batchBody(media string, events [][]byte) []byte {
	if media == mediaLines {
		return append(bytes.Join(events, []byte("\n")), '\n')
	}
	return append(append([]byte{'['}, bytes.Join(events, []byte(","))...), ']')
}

// batchOf is a batch of n events whose ids the producer makes.
func batchOf(media string, n int, payload string) []byte {
	events := make([][]byte, n)
	for i := range events {
		events[i] = requestEvent(i, "", payload)
	}
	return batchBody(media, events)
}

// largePayload has a size of some bytes.
func largePayload(size int) string {
	text, _ := json.Marshal(map[string]string{"diff": strings.Repeat("+ return nil\n", size/14)})
	return string(text)
}

// ids makes UUIDv7 (RFC 9562) in order, a hundred in a millisecond, beginning a minute ago.
type ids struct {
	from time.Time
	salt uint64
	n    int64
}

func newIDs() *ids { return &ids{from: time.Now().Add(-time.Minute), salt: rand.Uint64() << 32} }

func (g *ids) next() (id uuid.UUID) {
	g.n++
	at := g.from.Add(time.Duration(g.n/100) * time.Millisecond)
	const version, variant = 0x7000, 1 << 63
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|version)
	binary.BigEndian.PutUint64(id[8:], variant|(g.salt>>2+uint64(g.n))) //nolint:gosec // counts up from 0
	return id
}
