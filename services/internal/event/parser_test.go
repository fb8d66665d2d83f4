package event_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

func parser() *event.Parser {
	return &event.Parser{Now: func() time.Time { return noon }}
}

// idAt is a UUIDv7 of the given time.
func idAt(at time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	ms := at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// originalExample is the body of the curl call in the Python service's README.
const originalExample = `{
       "session_id": 123,
       "event_type": "review_started",
       "payload": {
         "code_language": "python",
         "file_count": 3,
         "user_agent": "VSCode/1.74.0"
       }
     }`

func TestParseReadsTheOriginalsExample(t *testing.T) {
	e, ignored, err := parser().Parse([]byte(originalExample), event.Origin{TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
	if err != nil || len(ignored) > 0 {
		t.Fatalf("Parse: %v, ignored %q", err, ignored)
	}
	if e.SessionID != 123 || e.Type != "review_started" || e.Username != "" {
		t.Errorf("read %+v", e)
	}
	if e.ID.Version() != 7 || !e.Timestamp.Equal(event.IDTime(e.ID)) {
		t.Errorf("id %s, timestamp %s: the timestamp must be the id's own time", e.ID, e.Timestamp)
	}
	if want := noon.Truncate(time.Microsecond); !e.ReceivedAt.Equal(want) {
		t.Errorf("received at %s, want %s", e.ReceivedAt, want)
	}
	if e.TraceParent != "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" {
		t.Errorf("traceparent %q", e.TraceParent)
	}
	if bytes.ContainsAny(e.Payload, "\n\r") || !strings.Contains(string(e.Payload), `"file_count": 3`) {
		t.Errorf("payload %q: must be on one line and else as it came", e.Payload)
	}
}

// The trail would say that it was received before it happened, which no client claimed.
func TestNothingMintedIsLaterThanItsReceipt(t *testing.T) {
	const one = `{"session_id":1,"event_type":"user_action"}`
	p := &event.Parser{}
	check := func(e event.Event) {
		t.Helper()
		if e.Timestamp.After(e.ReceivedAt) {
			t.Fatalf("happened at %s, received at %s", e.Timestamp, e.ReceivedAt)
		}
	}
	// An id that is minted after the clock was read is of the next millisecond in one of a
	// few hundred cases.
	for range 50_000 {
		e, _, err := p.Parse([]byte(one), event.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		check(e)
	}
	es, _, err := p.ParseLines([]byte(strings.Repeat(one+"\n", event.MaxBatchEvents)), event.Origin{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		check(e)
	}
}

func TestParseKeepsWhatTheClientSent(t *testing.T) {
	id := idAt(noon.Add(-time.Hour))
	body := fmt.Sprintf(`{"session_id":9223372036854775807,"event_type":"\u00e9t\u00e9","username":"ada","event_id":"%s",`+
		`"timestamp":"2026-11-24T10:00:00.1234567+02:00","payload":null,"paylod":{},"extra":1}`, strings.ToUpper(id.String()))
	e, ignored, err := parser().Parse([]byte(body), event.Origin{TraceParent: "not a traceparent"})
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2026, 11, 24, 8, 0, 0, 123456000, time.UTC)
	if e.ID != id || e.Type != "été" || e.Username != "ada" || !e.Timestamp.Equal(want) || string(e.Payload) != "{}" || e.TraceParent != "" {
		t.Errorf("read %+v", e)
	}
	if !slices.Equal(ignored, []string{"paylod", "extra"}) {
		t.Errorf("ignored %q", ignored)
	}
}

func TestParseRefuses(t *testing.T) {
	deep := strings.Repeat("[", 64) + strings.Repeat("]", 64)
	with := func(payload string) string {
		return `{"session_id":1,"event_type":"t","payload":` + payload + `}`
	}
	id := func(at time.Time) string {
		return fmt.Sprintf(`{"session_id":1,"event_type":"t","event_id":"%s"}`, idAt(at))
	}
	stamp := func(s string) string { return `{"session_id":1,"event_type":"t","timestamp":` + s + `}` }
	for _, tc := range []struct{ name, body, field string }{
		{"array", `[]`, "body"},
		{"scalar", `7`, "body"},
		{"null", `null`, "body"},
		{"bad UTF-8", with("{\"a\":\"\xff\"}"), "body"},
		{"trailing bytes", with(`{}`) + `x`, "body"},
		{"second object", with(`{}`) + `{}`, "body"},
		{"duplicate name", `{"session_id":1,"session_id":2,"event_type":"t"}`, "body"},
		{"duplicate name by escape", `{"session_id":1,"sess\u0069on_id":2,"event_type":"t"}`, "body"},
		{"duplicate name below", with(`{"a":{"b":1,"b":2}}`), "body"},
		{"far too deep for the parser", with(`{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`), "body"},
		{"nothing", `{}`, "session_id"},
		{"session as text", `{"session_id":"one","event_type":"t"}`, "session_id"},
		{"session as no text", `{"session_id":"","event_type":"t"}`, "session_id"},
		{"session as text with a sign", `{"session_id":"+1","event_type":"t"}`, "session_id"},
		{"session as negative text", `{"session_id":"-1","event_type":"t"}`, "session_id"},
		{"session as text with a blank", `{"session_id":" 1","event_type":"t"}`, "session_id"},
		{"session as text with a line break", `{"session_id":"1\n","event_type":"t"}`, "session_id"},
		{"session as a fraction in text", `{"session_id":"1.0","event_type":"t"}`, "session_id"},
		{"session as text with an underscore", `{"session_id":"1_000","event_type":"t"}`, "session_id"},
		{"session as hexadecimal text", `{"session_id":"0x1","event_type":"t"}`, "session_id"},
		{"session in other digits", `{"session_id":"١","event_type":"t"}`, "session_id"},
		{"session as text beyond bigint", `{"session_id":"9223372036854775808","event_type":"t"}`, "session_id"},
		{"session zero as text", `{"session_id":"0","event_type":"t"}`, "session_id"},
		{"session true", `{"session_id":true,"event_type":"t"}`, "session_id"},
		{"session a list", `{"session_id":[1],"event_type":"t"}`, "session_id"},
		{"session of many digits", `{"session_id":1.00000000000000000000000000000001,"event_type":"t"}`, "session_id"},
		{"session whole and beyond bigint", `{"session_id":9.223372036854775808e18,"event_type":"t"}`, "session_id"},
		{"session with a huge exponent", `{"session_id":1e99999999999999999999,"event_type":"t"}`, "session_id"},
		{"session with a large exponent", `{"session_id":1e300,"event_type":"t"}`, "session_id"},
		{"session zero with an exponent", `{"session_id":0e5,"event_type":"t"}`, "session_id"},
		{"session negative and whole", `{"session_id":-1.0,"event_type":"t"}`, "session_id"},
		{"session zero", `{"session_id":0,"event_type":"t"}`, "session_id"},
		{"session negative", `{"session_id":-1,"event_type":"t"}`, "session_id"},
		{"session fraction", `{"session_id":1.5,"event_type":"t"}`, "session_id"},
		{"session beyond bigint", `{"session_id":9223372036854775808,"event_type":"t"}`, "session_id"},
		{"no type", `{"session_id":1}`, "event_type"},
		{"null type", `{"session_id":1,"event_type":null}`, "event_type"},
		{"empty type", `{"session_id":1,"event_type":""}`, "event_type"},
		{"long type", `{"session_id":1,"event_type":"` + strings.Repeat("é", 101) + `"}`, "event_type"},
		{"type with NUL", `{"session_id":1,"event_type":"a\u0000"}`, "event_type"},
		{"type with lone surrogate", `{"session_id":1,"event_type":"\ud800"}`, "event_type"},
		{"type a number", `{"session_id":1,"event_type":1}`, "event_type"},
		{"short username", `{"session_id":1,"event_type":"t","username":"ab"}`, "username"},
		{"long username", `{"session_id":1,"event_type":"t","username":"` + strings.Repeat("a", 256) + `"}`, "username"},
		{"payload array", with(`[1]`), "payload"},
		{"payload text", with(`"{}"`), "payload"},
		{"NUL", with(`{"a":"x\u0000"}`), "payload"},
		{"NUL in a name", with(`{"\u0000":1}`), "payload"},
		{"high surrogate alone", with(`{"a":"\ud800"}`), "payload"},
		{"high surrogate before text", with(`{"a":"\ud800x"}`), "payload"},
		{"high surrogate twice", with(`{"a":"\ud800\ud800"}`), "payload"},
		{"low surrogate alone", with(`{"a":"\udc00"}`), "payload"},
		{"deep", with(`{"a":` + deep + `}`), "payload"},
		{"huge number", with(`{"a":1e309}`), "payload"},
		{"tiny number", with(`{"a":1e-330}`), "payload"},
		{"zero with an absurd exponent", with(`{"a":0e99999}`), "payload"},
		{"long integer", with(`{"a":1` + strings.Repeat("0", 400) + `}`), "payload"},
		{"too many decimal places", with(`{"a":0.1` + strings.Repeat("0", 16_383) + `}`), "payload"},
		{"too many decimal places by exponent", with(`{"a":1.1` + strings.Repeat("0", 16_300) + `e-200}`), "payload"},
		{"timestamp a number", stamp(`1700000000`), "timestamp"},
		{"timestamp a date", stamp(`"2026-11-24"`), "timestamp"},
		{"timestamp nonsense", stamp(`"yesterday, at noon"`), "timestamp"},
		{"timestamp 30 February", stamp(`"2026-02-30T00:00:00Z"`), "timestamp"},
		{"timestamp year 0", stamp(`"0001-01-01T00:00:00+14:00"`), "timestamp"},
		{"timestamp year 10000", stamp(`"9999-12-31T23:59:59-14:00"`), "timestamp"},
		{"id v4", `{"session_id":1,"event_type":"t","event_id":"` + uuid.NewString() + `"}`, "event_id"},
		{"id in braces", `{"session_id":1,"event_type":"t","event_id":"{` + idAt(noon).String() + `}"}`, "event_id"},
		{"id a number", `{"session_id":1,"event_type":"t","event_id":7}`, "event_id"},
		{"id too old", id(noon.Add(-30*24*time.Hour - time.Second)), "event_id"},
		{"id too new", id(noon.Add(5*time.Minute + time.Second)), "event_id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := parser().Parse([]byte(tc.body), event.Origin{})
			var invalid *event.InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("got %v, want an InvalidError", err)
			}
			if got := invalid.Errors[0].Field; got != tc.field {
				t.Errorf("blames %q (%v), want %q", got, err, tc.field)
			}
		})
	}
}

func TestParseAcceptsTheEdges(t *testing.T) {
	with := func(payload string) string {
		return `{"session_id":1,"event_type":"t","payload":` + payload + `}`
	}
	for name, body := range map[string]string{
		"depth 64":            with(`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`),
		"brackets in strings": with(`{"a":"` + strings.Repeat("[", 100) + `"}`),
		"largest float":       with(`{"a":1.7976931348623157e308}`),
		"smallest float":      with(`{"a":5e-324}`),
		"zeros":               with(`{"a":[0,-0,0.0,0e0,0e-9,1E+2]}`),
		"long fraction":       with(`{"a":0.` + strings.Repeat("1", 16_383) + `}`),
		"escaped backslash":   with(`{"a":"\\u0000 \\\\ud800"}`),
		"surrogate pair":      with(`{"a":"\ud83d\ude00"}`),
		"100 characters":      `{"session_id":1,"event_type":"` + strings.Repeat("é", 100) + `"}`,
		"id 30 days old":      fmt.Sprintf(`{"session_id":1,"event_type":"t","event_id":"%s"}`, idAt(noon.Add(-30*24*time.Hour+time.Second))),
		"id 5 minutes ahead":  fmt.Sprintf(`{"session_id":1,"event_type":"t","event_id":"%s"}`, idAt(noon.Add(5*time.Minute))),
		"space around":        " \r\n" + with(`{}`) + " \n",
		"nulls":               `{"session_id":1,"event_type":"t","payload":null,"username":null,"timestamp":null,"event_id":null}`,
		"name by escape":      `{"sess\u0069on_id":1,"event_type":"t"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, ignored, err := parser().Parse([]byte(body), event.Origin{}); err != nil || len(ignored) > 0 {
				t.Errorf("got %v, ignored %q", err, ignored)
			}
		})
	}
}

func TestParseTellsSyntaxFromContent(t *testing.T) {
	for _, body := range []string{``, ` `, `{`, `{"a"`, `{"session_id":1,}`, `{'a':1}`, `{"a":01}`, `{"a":"` + "\n" + `"}`, `nope`, `{"a":NaN}`, "\x00", `{"a":1e}`} {
		_, _, err := parser().Parse([]byte(body), event.Origin{})
		if _, ok := errors.AsType[*event.SyntaxError](err); !ok {
			t.Errorf("%q: got %v, want a SyntaxError", body, err)
		}
	}
}

func TestParseListsEveryFault(t *testing.T) {
	_, _, err := parser().Parse([]byte(`{"session_id":0,"event_type":"","username":"x","payload":1,"timestamp":"x","event_id":"x"}`), event.Origin{})
	var invalid *event.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Errors) != 6 {
		t.Fatalf("got %v, want six faults", err)
	}
}

// What the Python service took for a session is taken, and leaves as an integer.
func TestSessionForms(t *testing.T) {
	for text, want := range map[string]int64{
		`123`: 123, `"123"`: 123, `"007"`: 7, `"\u0031"`: 1, `123.0`: 123, `1e3`: 1000, `1E+3`: 1000, `1.5e1`: 15, `1000e-3`: 1, `0.1e1`: 1, `100.000`: 100,
		`9223372036854775807`: math.MaxInt64, `"9223372036854775807"`: math.MaxInt64, `9223372036854775807.0`: math.MaxInt64,
		`9.223372036854775807e18`: math.MaxInt64, `9007199254740993.0`: 9007199254740993,
	} {
		e, _, err := parser().Parse([]byte(`{"session_id":`+text+`,"event_type":"t"}`), event.Origin{})
		if err != nil || e.SessionID != want {
			t.Errorf("%s: got %d, %v", text, e.SessionID, err)
		}
		if line := string(event.AppendWire(nil, &e)); !strings.HasPrefix(line, fmt.Sprintf(`{"session_id":%d,`, want)) {
			t.Errorf("%s: on the queue it is %s", text, line)
		}
	}
}

// A leap second is the next second, as in PostgreSQL; so is the end of a day (ISO 8601, 24:00).
func TestTheNextSecond(t *testing.T) {
	for text, want := range map[string]string{
		"1990-12-31T23:59:60Z": "1991-01-01T00:00:00Z", "1990-12-31T15:59:60-08:00": "1991-01-01T00:00:00Z", // RFC 3339, 5.8
		"2016-12-31T23:59:60.25Z": "2017-01-01T00:00:00.25Z", "2016-12-31 23:59:60": "2017-01-01T00:00:00Z",
		"2026-02-28T24:00:00Z": "2026-03-01T00:00:00Z", "2026-12-31T24:00": "2027-01-01T00:00:00Z", "2026-12-31T24:00:00.000+02:00": "2026-12-31T22:00:00Z",
	} {
		e, _, err := parser().Parse([]byte(`{"session_id":1,"event_type":"t","timestamp":"`+text+`"}`), event.Origin{})
		if got := e.Timestamp.Format(time.RFC3339Nano); err != nil || got != want {
			t.Errorf("%s: got %s, want %s, %v", text, got, want, err)
		}
	}
	for _, text := range []string{
		"2026-11-24T10:00:60Z", "2026-12-31T23:59:60+01:00", "2026-12-31T23:59:61Z", "2026-12-31T24:00:01Z", "2026-12-31T24:01:00Z", "2026-12-31T24:00:00.1Z",
		"2026-12-31T24:00:60Z", "2026-12-31T25:00:00Z", "9999-12-31T24:00:00Z", "9999-12-31T23:59:60Z",
		"2026-11-24T10:00:00+24:00", "2026-11-24T10:00:00-24:00", "2026-11-24T10:00:00+2400", "2026-11-24T10:00:00+24", "2026-11-24T10:00:00+05:60",
		"2026-11-24T10:00+24:00", "2026-11-24T10:00:00+99:00",
	} {
		if e, _, err := parser().Parse([]byte(`{"session_id":1,"event_type":"t","timestamp":"`+text+`"}`), event.Origin{}); err == nil {
			t.Errorf("%s is taken, as %s", text, e.Timestamp)
		}
	}
}

func TestTimestampForms(t *testing.T) {
	want := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for _, s := range []string{
		"2026-11-24T10:00:00Z", "2026-11-24t10:00:00z", "2026-11-24 10:00:00", "2026-11-24T10:00:00", "2026-11-24T10:00",
		"2026-11-24T10:00:00.000000", "2026-11-24T10:00:00+00:00", "2026-11-24T12:00:00+0200", "2026-11-24T08:00:00-02", "2026-11-24T10:00Z",
	} {
		e, _, err := parser().Parse([]byte(`{"session_id":1,"event_type":"t","timestamp":"`+s+`"}`), event.Origin{})
		if err != nil || !e.Timestamp.Equal(want) {
			t.Errorf("%s: got %s, %v", s, e.Timestamp, err)
		}
	}
}

func TestBatch(t *testing.T) {
	good := `{"session_id":1,"event_type":"t","payload":{"n":1}}`
	p := parser()
	es, _, err := p.ParseArray([]byte("[\n"+good+",\n"+good+"]\n"), event.Origin{})
	if err != nil || len(es) != 2 || es[0].ID == es[1].ID || string(es[1].Payload) != `{"n":1}` {
		t.Fatalf("array: %v, %v", es, err)
	}
	es, ignored, err := p.ParseLines([]byte(good+"\n\n"+`{"session_id":1,"event_type":"t","x":1}`+"\r\n"+good), event.Origin{})
	if err != nil || len(es) != 3 || !slices.Equal(ignored, []string{"x"}) {
		t.Fatalf("lines: %v, %q, %v", es, ignored, err)
	}
	// Adding to one payload must not reach into the next.
	if cap(es[0].Payload) != len(es[0].Payload) {
		t.Error("a payload's capacity reaches into its neighbour")
	}
}

func TestBatchNamesEveryBadIndex(t *testing.T) {
	good := `{"session_id":1,"event_type":"t"}`
	twice := fmt.Sprintf(`{"session_id":1,"event_type":"t","event_id":"%s"}`, idAt(noon))
	elements := []string{good, `{"session_id":0,"event_type":"t"}`, `7`, twice, good, `{"a":1,"a":2}`, twice}
	want := []int{1, 2, 5, 3, 6}
	for form, parse := range map[string]func() ([]event.Event, []string, error){
		"array": func() ([]event.Event, []string, error) {
			return parser().ParseArray([]byte("["+strings.Join(elements, ",")+"]"), event.Origin{})
		},
		"lines": func() ([]event.Event, []string, error) {
			return parser().ParseLines([]byte(strings.Join(elements, "\n")), event.Origin{})
		},
	} {
		_, _, err := parse()
		var invalid *event.InvalidError
		if !errors.As(err, &invalid) {
			t.Fatalf("%s: got %v", form, err)
		}
		var got []int
		for _, fault := range invalid.Errors {
			got = append(got, *fault.Index)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: blames %v (%v), want %v", form, got, err, want)
		}
	}
}

func TestBatchBounds(t *testing.T) {
	line := `{"session_id":1,"event_type":"t"}`
	full := strings.Repeat(line+"\n", event.MaxBatchEvents)
	if es, _, err := parser().ParseLines([]byte(full), event.Origin{}); err != nil || len(es) != event.MaxBatchEvents {
		t.Errorf("%d events: %v", len(es), err)
	}
	for name, err := range map[string]error{
		"one line too many":    second(parser().ParseLines([]byte(full+line), event.Origin{})),
		"one element too many": second(parser().ParseArray([]byte("["+strings.Repeat(line+",", event.MaxBatchEvents)+line+"]"), event.Origin{})),
		"no lines":             second(parser().ParseLines([]byte("\n"), event.Origin{})),
		"empty array":          second(parser().ParseArray([]byte("[]"), event.Origin{})),
		"object":               second(parser().ParseArray([]byte("{}"), event.Origin{})),
		"trailing":             second(parser().ParseArray([]byte("["+line+"]]"), event.Origin{})),
	} {
		var invalid *event.InvalidError
		if !errors.As(err, &invalid) || invalid.Errors[0].Field != "body" {
			t.Errorf("%s: got %v", name, err)
		}
	}
	var syntax *event.SyntaxError
	if err := second(parser().ParseArray([]byte("["+line), event.Origin{})); !errors.As(err, &syntax) {
		t.Errorf("unfinished array: got %v", err)
	}
}

func second(_ []event.Event, _ []string, err error) error { return err }

func TestKnownTypes(t *testing.T) {
	types := event.KnownTypes()
	if len(types) != 17 || !slices.IsSorted(types) {
		t.Fatalf("%d types %q", len(types), types)
	}
	for _, s := range types {
		if !event.Known(s) {
			t.Errorf("%s is not known", s)
		}
	}
	if event.Known("review") {
		t.Error("review is known")
	}
}
