package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"hash/crc32"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

// column is a jsonb column beside the texts and times of an event.
func column(t testing.TB) *pgx.Conn {
	t.Helper()
	db := testbed.EmptyPostgres(t)
	conn := db.Connect(t, db.Owner)
	// One row only: a fuzzer runs for hours.
	if _, err := conn.Exec(t.Context(), `CREATE TEMPORARY TABLE trail (event_type text, username text, payload jsonb, at timestamptz)`); err != nil {
		t.Fatal(err)
	}
	return conn
}

// askEvery is how many bodies a fuzzer reads for each that PostgreSQL is asked
// about: the answer takes longer than a thousand readings.
const askEvery = 64

// asked reports whether PostgreSQL is asked about a body: always in a plain test,
// which the corpus is for, and now and then by a fuzzer. It goes by the body, so that
// what a fuzzer finds fails again.
func asked(body []byte) bool {
	return flag.Lookup("test.fuzz").Value.String() == "" || crc32.ChecksumIEEE(body)%askEvery == 0
}

// FuzzParse: whatever the parser accepts, the database accepts, and gives back
// equal; and the queue's form says the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		originalExample,
		`{"session_id":1,"event_type":"t","payload":{"a":[1e308,-0,0.1,"\ud83d\ude00","\\u0000"]}}`,
		`{"session_id":1,"event_type":"\u00e9","username":"abc","timestamp":"2026-11-24T10:00:00.123456789+05:30"}`,
		`{"session_id":1,"event_type":"t","payload":{"a":"\u0000"}}`,
		`{"session_id":1,"event_type":"t","payload":{"a":"\ud800"}}`,
		`{"session_id":1,"event_type":"t","payload":{"a":1e-400,"b":0.` + strings.Repeat("1", 400) + `}}`,
		`{"session_id":1,"event_type":"t","payload":{"":{},"\"":[[],{}]}}`,
		"{\"session_id\":1,\n\"event_type\":\"t\",\r\n\"payload\":{ \"a\" :\t1 }}",
	} {
		f.Add([]byte(seed))
	}
	conn := column(f)
	now := time.Now()
	p := &event.Parser{Now: func() time.Time { return now }}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, _, err := p.Parse(body, event.Origin{})
		if err != nil {
			checkRefusal(t, err)
			return
		}
		line := event.AppendWire(nil, &e)
		if bytes.ContainsAny(line, "\n\r") {
			t.Fatalf("the line has a line break: %q", line)
		}
		back, err := event.ParseWire(line, now)
		if err != nil {
			t.Fatalf("our own reader refuses the line: %v", err)
		}
		if again := event.AppendWire(nil, &back); string(again) != string(line) {
			t.Fatalf("the line changed:\n%s\n%s", line, again)
		}
		if !asked(body) {
			return
		}
		var (
			kind, username, payload string
			at                      time.Time
		)
		err = conn.QueryRow(t.Context(), `INSERT INTO trail VALUES ($1, $2, $3::text::jsonb, $4) RETURNING event_type, username, payload::text, at`,
			e.Type, e.Username, string(e.Payload), e.Timestamp).Scan(&kind, &username, &payload, &at)
		if err != nil {
			t.Fatalf("PostgreSQL refuses what the parser accepted: %v", err)
		}
		if _, err := conn.Exec(t.Context(), "TRUNCATE trail"); err != nil {
			t.Fatal(err)
		}
		if kind != e.Type || username != e.Username || !at.Equal(e.Timestamp) {
			t.Fatalf("gave back %q, %q, %s for %+v", kind, username, at, e)
		}
		if !sameJSON(t, payload, string(e.Payload)) {
			t.Fatalf("gave back %s for %s", payload, e.Payload)
		}
	})
}

// checkRefusal: every refusal says what is wrong.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	var syntax *event.SyntaxError
	var invalid *event.InvalidError
	switch {
	case errors.As(err, &syntax):
	case errors.As(err, &invalid) && len(invalid.Errors) > 0:
		for _, fault := range invalid.Errors {
			if fault.Field == "" || fault.Message == "" {
				t.Fatalf("a fault without words: %+v", fault)
			}
		}
	default:
		t.Fatalf("refused by %T: %v", err, err)
	}
}

// sameJSON compares values: numbers by what they are worth, objects without
// order.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	parse := func(s string) any {
		d := json.NewDecoder(strings.NewReader(s))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
		return v
	}
	return sameValue(parse(a), parse(b))
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		other, ok := b.(map[string]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for name, value := range a {
			theirs, found := other[name]
			if !found || !sameValue(value, theirs) {
				return false
			}
		}
		return true
	case []any:
		other, ok := b.([]any)
		if !ok || len(a) != len(other) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], other[i]) {
				return false
			}
		}
		return true
	case json.Number:
		other, ok := b.(json.Number)
		if !ok {
			return false
		}
		x, xOK := new(big.Rat).SetString(a.String())
		y, yOK := new(big.Rat).SetString(other.String())
		return xOK && yOK && x.Cmp(y) == 0
	default:
		return a == b
	}
}

// FuzzWire: the consumer's reader takes anything without harm, and what it
// reads it reads the same again.
func FuzzWire(f *testing.F) {
	f.Add([]byte(original))
	f.Add([]byte(`{"session_id":1,"event_type":"t","event_id":"019364a3-0000-7abc-8def-0123456789ab","payload":{}}`))
	f.Add([]byte(`{"session_id":1,"event_type":"t","traceparent":7,"producer_timestamp":"2026-11-24 11:59:01"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		before := string(line)
		e, err := event.ParseWire(line, noon)
		if err != nil {
			var wire *event.WireError
			if !errors.As(err, &wire) || wire.Reason == "" || wire.Detail == "" {
				t.Fatalf("refused by %T: %v", err, err)
			}
			return
		}
		if e.ID.Version() != 7 || e.SessionID < 1 || e.Timestamp.IsZero() || e.ReceivedAt.IsZero() {
			t.Fatalf("read %+v", e)
		}
		again, err := event.ParseWire([]byte(before), noon)
		if err != nil || again.ID != e.ID {
			t.Fatalf("the second time: %s, not %s, %v", again.ID, e.ID, err)
		}
		if _, err := event.ParseWire(event.AppendWire(nil, &e), noon); err != nil {
			t.Fatalf("what it read can't be written: %v", err)
		}
	})
}

// FuzzTimestamp: what is accepted is a time that the wire and PostgreSQL hold.
func FuzzTimestamp(f *testing.F) {
	for _, seed := range []string{"2026-11-24T10:00:00Z", "2026-11-24 10:00", "0001-01-01T00:00:00-14:00", "9999-12-31T23:59:59.999999999", "2026-11-24T10:00:00,5+0530"} {
		f.Add(seed)
	}
	p := new(event.Parser)
	f.Fuzz(func(t *testing.T, s string) {
		quoted, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := p.Parse([]byte(`{"session_id":1,"event_type":"t","timestamp":`+string(quoted)+`}`), event.Origin{})
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if y := e.Timestamp.Year(); y < 1 || y > 9999 || e.Timestamp.Nanosecond()%1000 != 0 || e.Timestamp.Location() != time.UTC {
			t.Fatalf("%q became %s", s, e.Timestamp)
		}
		back, err := event.ParseWire(event.AppendWire(nil, &e), time.Now())
		if err != nil || !back.Timestamp.Equal(e.Timestamp) {
			t.Fatalf("%s came back as %s, %v", e.Timestamp, back.Timestamp, err)
		}
	})
}
