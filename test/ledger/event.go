package ledger

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Event is an event as its client sent it, and as the trail or the dead-letter
// queue has it.
type Event struct {
	ID        uuid.UUID
	SessionID int64
	Type      string
	Username  string    // "": none
	Timestamp time.Time // whole microseconds
	Payload   []byte    // a JSON object; its members run and n say whose it is
}

// Letter is a dead letter.
type Letter struct {
	Event
	Reason string
}

// body is what a client posts.
type body struct {
	ID        uuid.UUID       `json:"event_id"`
	SessionID int64           `json:"session_id"`
	Type      string          `json:"event_type"`
	Username  string          `json:"username,omitempty"`
	Timestamp time.Time       `json:"timestamp"`
	Payload   json.RawMessage `json:"payload"`
}

// Body is the event as a client posts it, on one line.
func (e *Event) Body() []byte {
	b, err := json.Marshal(body{e.ID, e.SessionID, e.Type, e.Username, e.Timestamp, e.Payload})
	if err != nil {
		panic(fmt.Sprintf("ledger: an event of our own is no JSON: %v", err))
	}
	return b
}

// ParseLetter reads a dead letter's body, which is an event in the queue's form.
func ParseLetter(line []byte, reason string) (Letter, error) {
	var b struct {
		body
		Timestamp string `json:"timestamp"`
	}
	if err := json.Unmarshal(line, &b); err != nil {
		return Letter{}, fmt.Errorf("a dead letter that is no event: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, b.Timestamp)
	if err != nil { // the queue's form has no zone and means UTC
		if at, err = time.Parse("2006-01-02T15:04:05.999999999", b.Timestamp); err != nil {
			return Letter{}, fmt.Errorf("a dead letter's timestamp: %w", err)
		}
	}
	return Letter{Event{b.ID, b.SessionID, b.Type, b.Username, at, b.Payload}, reason}, nil
}

// Rows selects a run's rows for [Scan]; its parameter is the run.
const Rows = `SELECT event_id, session_id, event_type, coalesce(username, ''), "timestamp", payload::text
	FROM log_events WHERE payload ->> 'run' = $1`

// Scan reads a row of [Rows].
func Scan(row pgx.Row) (e Event, err error) {
	err = row.Scan(&e.ID, &e.SessionID, &e.Type, &e.Username, &e.Timestamp, &e.Payload)
	return e, err
}

// texts hold what could be altered on the way: escapes, characters outside the
// BMP, and what HTML, shells and SQL trip over.
var texts = []string{
	"", "plain", `back\slash "quoted"`, "grüße, 事件, 🚂", "<script>&amp;</script>", "tab\tand\nnewline", "'); DROP TABLE log_events; --", "\u2028\u0001",
}

var types = []string{"review_started", "review_completed", "user_action", "llm_query_sent", "system_event"}

// event is a run's event of that number: the same for the same run and number,
// but for its id.
func event(run string, n int) Event {
	r := rand.New(rand.NewPCG(uint64(n), 6)) //nolint:gosec // content of tests
	payload, err := json.Marshal(map[string]any{
		"run": run, "n": n,
		"text":   texts[r.IntN(len(texts))],
		"number": r.NormFloat64(),
		"list":   []any{r.Int64(), nil, r.IntN(2) == 1, map[string]any{"deep": texts[r.IntN(len(texts))]}},
	})
	if err != nil {
		panic(fmt.Sprintf("ledger: %v", err))
	}
	e := Event{
		ID:        uuid.Must(uuid.NewV7()),
		SessionID: int64(n%50 + 1),
		Type:      types[r.IntN(len(types))],
		Timestamp: time.UnixMicro(1_700_000_000_000_000 + r.Int64N(1e15)).UTC(),
		Payload:   payload,
	}
	if n%3 > 0 {
		e.Username = fmt.Sprintf("user-%d", n%50)
	}
	return e
}

// owner reads whose event a payload is.
func owner(payload []byte) (run string, n int, ok bool) {
	var p struct {
		Run string `json:"run"`
		N   *int   `json:"n"`
	}
	if err := json.Unmarshal(payload, &p); err != nil || p.N == nil {
		return "", 0, false
	}
	return p.Run, *p.N, true
}
