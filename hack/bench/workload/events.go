// Package workload makes the events of a benchmark, in a request and on the queue.
package workload

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

// Sessions is how many sessions the events are spread over.
const Sessions = 100

// Payload is what the code reviewer logs of a query, some hundred bytes.
const Payload = `{"model":"gpt-4","prompt_tokens":1532,"completion_tokens":418,"cached":false}`

// Request is a client's JSON of an event; id "" leaves it to the producer.
func Request(n int, id, payload string) []byte {
	if id != "" {
		return fmt.Appendf(nil, `{"session_id":%d,"event_type":"llm_query","payload":%s,"event_id":%q}`, 1+n%Sessions, payload, id)
	}
	return fmt.Appendf(nil, `{"session_id":%d,"event_type":"llm_query","payload":%s}`, 1+n%Sessions, payload)
}

// Queued is what the producer makes of it: the limits publish and consume this.
func Queued() []byte {
	const now = "2026-01-02T03:04:05.678901Z"
	return fmt.Appendf(nil, `{"session_id":42,"event_type":"llm_query","payload":%s,"timestamp":%q,"producer_timestamp":%q,"event_id":%q}`,
		Payload, now, now, uuid.Nil)
}

// Sizes says how large they are.
func Sizes() string {
	return fmt.Sprintf("events of %d bytes in a request and %d on the queue", len(Request(42, "", Payload)), len(Queued()))
}

// Media types of a batch.
const (
	MediaArray = "application/json"
	MediaLines = "application/x-ndjson"
)

// Join joins events to a batch's body.
func Join(media string, events [][]byte) []byte {
	if media == MediaLines {
		return append(bytes.Join(events, []byte("\n")), '\n')
	}
	return append(append([]byte{'['}, bytes.Join(events, []byte(","))...), ']')
}

// Batch is a batch of n events whose ids the producer makes.
func Batch(media string, n int, payload string) []byte {
	events := make([][]byte, n)
	for i := range events {
		events[i] = Request(i, "", payload)
	}
	return Join(media, events)
}

// LargePayload has a size of some bytes.
func LargePayload(size int) string {
	text, _ := json.Marshal(map[string]string{"diff": strings.Repeat("+ return nil\n", size/14)})
	return string(text)
}

// IDs makes UUIDv7 (RFC 9562) in order, a hundred in a millisecond.
type IDs struct {
	from time.Time
	salt uint64
	n    int64
}

// NewIDs returns ids that begin at a time.
func NewIDs(from time.Time) *IDs { return &IDs{from: from, salt: rand.Uint64() << 32} }

// Next returns the next id.
func (g *IDs) Next() (id uuid.UUID) {
	g.n++
	at := g.from.Add(time.Duration(g.n/100) * time.Millisecond)
	const version, variant = 0x7000, 1 << 63
	binary.BigEndian.PutUint64(id[:], uint64(at.UnixMilli())<<16|version)
	binary.BigEndian.PutUint64(id[8:], variant|(g.salt>>2+uint64(g.n))) //nolint:gosec // counts up from 0
	return id
}
