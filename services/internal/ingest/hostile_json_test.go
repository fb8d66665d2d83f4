package ingest

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/test/golden"
)

// hostile is a body that must be refused with a status; testdata has the whole answer.
type hostile struct {
	what, body string
	status     int
}

var instanceForm = regexp.MustCompile(`urn:uuid:[0-9a-f-]{36}`)

// withMember is an event with one more member or more.
func withMember(members string) string { return `{"session_id":1,"event_type":"t",` + members + `}` }

// inPayload is an event with a value in its payload.
func inPayload(value string) string { return withMember(`"payload":{"a":` + value + `}`) }

// idFrom is a UUIDv7 of that time.
func idFrom(at time.Time) string {
	id := uuid.UUID{6: 0x7a, 8: 0x8d, 15: 1}
	for i := range 6 {
		id[i] = byte(at.UnixMilli() >> (40 - 8*i))
	}
	return id.String()
}

// asUTF16 is s in UTF-16, in big-endian order unless little.
func asUTF16(s string, little bool) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(s)) {
		high, low := byte(unit>>8), byte(unit)
		if little {
			high, low = low, high
		}
		b.Write([]byte{high, low})
	}
	return b.String()
}

func hostileEvents() []hostile {
	longest := strings.Repeat("9", 400)
	return []hostile{
		// Encodings.
		{"UTF-16, big-endian, with a mark", "\xfe\xff" + asUTF16(good, false), 422},
		{"UTF-16, little-endian, with a mark", "\xff\xfe" + asUTF16(good, true), 422},
		{"UTF-16, big-endian, without a mark", asUTF16(good, false), 400},
		{"UTF-16, little-endian, without a mark", asUTF16(good, true), 400},
		{"UTF-32", "\x00\x00\x00{", 400},
		{"Latin-1", withMember("\"username\":\"Jos\xe9\""), 422},
		{"overlong UTF-8", inPayload("\"\xc0\xaf\""), 422},
		{"a surrogate in UTF-8", inPayload("\"\xed\xa0\x80\""), 422},
		{"beyond Unicode", inPayload("\"\xf4\x90\x80\x80\""), 422},
		{"a character cut off", good[:len(good)-1] + ",\"username\":\"abc\xe2\x82\"}", 422},
		{"gzip without saying so", "\x1f\x8b\x08\x00\x00\x00\x00\x00", 422},

		// Not JSON.
		{"a NUL byte", "\x00", 400},
		{"a NUL byte after the event", good + "\x00", 422},
		{"a NUL byte in a string", inPayload("\"a\x00b\""), 400},
		{"a line break in a string", inPayload("\"a\nb\""), 400},
		{"a tab in a string", inPayload("\"a\tb\""), 400},
		{"a space that JSON has not", "\u00a0" + good, 400},
		{"a vertical tab", "\v" + good, 400},
		{"names without quotes", `{session_id:1,event_type:"t"}`, 400},
		{"a missing colon", `{"session_id" 1}`, 400},
		{"a missing comma", `{"session_id":1 "event_type":"t"}`, 400},
		{"a comma first", `{,"session_id":1}`, 400},
		{"two commas", `{"session_id":1,,"event_type":"t"}`, 400},
		{"a number as a name", `{1:1}`, 400},
		{"brackets crossed", inPayload("[1}]"), 400},
		{"a bracket too many", good + "}", 422},
		{"only the end", "}", 400},
		{"after a name", `{"session_id"`, 400},
		{"after a colon", `{"session_id":`, 400},
		{"in a string", `{"session_id":1,"event_type":"t`, 400},
		{"in an escape", `{"session_id":1,"event_type":"\u00`, 400},
		{"in a word", `{"session_id":tru`, 400},
		{"undefined", inPayload("undefined"), 400},
		{"True of Python", inPayload("True"), 400},
		{"Infinity", inPayload("Infinity"), 400},
		{"a plus sign", inPayload("+1"), 400},
		{"a point first", inPayload(".5"), 400},
		{"a point last", inPayload("5."), 400},
		{"hexadecimal", inPayload("0x10"), 400},
		{"underscores", inPayload("1_000"), 400},
		{"only a minus", inPayload("-"), 400},
		{"an exponent cut off", inPayload("1e"), 400},
		{"an escape of C", inPayload(`"\x41"`), 400},
		{"an escape of ES6", inPayload(`"\u{41}"`), 400},
		{"a short escape", inPayload(`"\u12"`), 400},
		{"a line comment", good + "// that's all", 422},
		{"JSON with padding", "callback(" + good + ")", 400},
		{"a form", "session_id=1&event_type=t", 400},
		{"lines", good + "\n" + good, 422},

		// JSON that jsonb would refuse or change.
		{"NUL in a name", withMember(`"payload":{"\u0000":1}`), 422},
		{"NUL in event_type", `{"session_id":1,"event_type":"a\u0000b"}`, 422},
		{"NUL in username", withMember(`"username":"a\u0000b"`), 422},
		{"a lone low surrogate", inPayload(`"\udc00"`), 422},
		{"surrogates in the wrong order", inPayload(`"\udc00\ud800"`), 422},
		{"half a surrogate and an escape", inPayload(`"\ud800\n"`), 422},
		{"half a surrogate in event_type", `{"session_id":1,"event_type":"\ud83d"}`, 422},
		{"half a surrogate in a name", withMember(`"payload":{"\udfff":1}`), 422},
		{"1e309", inPayload("1e309"), 422},
		{"-1e309", inPayload("-1e309"), 422},
		{"1e-400", inPayload("1e-400"), 422},
		{"an exponent of 20 digits", inPayload("1e99999999999999999999"), 422},
		{"400 digits", inPayload(longest), 422},
		{"20,000 decimal places", inPayload("0." + strings.Repeat("1", 20_000)), 422},
		{"one name twice, once with an escape", withMember(`"\u0073ession_id":2`), 422},
		{"one name twice below, once with an escape", withMember(`"payload":{"a":1,"\u0061":2}`), 422},
		{"the empty name twice", withMember(`"payload":{"":1,"":2}`), 422},
		{"unknown names twice", withMember(`"x":1,"x":2`), 422},
		{"objects 65 deep", withMember(`"payload":` + strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)), 422},
		{"an unknown member 20,000 deep", withMember(`"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)), 422},
		{"260,000 brackets that don't close", `{"payload":` + strings.Repeat(`{"":`, 65_000), 422},

		// Wrong types and bounds.
		{"a text", `"event"`, 422},
		{"a number", `1`, 422},
		{"true", `true`, 422},
		{"session null", `{"session_id":null,"event_type":"t"}`, 422},
		{"session true", `{"session_id":true,"event_type":"t"}`, 422},
		{"session 1.5", `{"session_id":1.5,"event_type":"t"}`, 422},
		{"session 1e-1", `{"session_id":1e-1,"event_type":"t"}`, 422},
		{"session -0", `{"session_id":-0,"event_type":"t"}`, 422},
		{"session -1", `{"session_id":-1,"event_type":"t"}`, 422},
		{"session of 400 digits", `{"session_id":` + longest + `,"event_type":"t"}`, 422},
		{"session in an array", `{"session_id":[1],"event_type":"t"}`, 422},
		{"type null", `{"session_id":1,"event_type":null}`, 422},
		{"type a number", `{"session_id":1,"event_type":1}`, 422},
		{"type an object", `{"session_id":1,"event_type":{}}`, 422},
		{"type empty", `{"session_id":1,"event_type":""}`, 422},
		{"type of 101 letters", `{"session_id":1,"event_type":"` + strings.Repeat("a", 101) + `"}`, 422},
		{"type of 101 emoji", `{"session_id":1,"event_type":"` + strings.Repeat("😀", 101) + `"}`, 422},
		{"type of 101 escapes", `{"session_id":1,"event_type":"` + strings.Repeat(`\u00e9`, 101) + `"}`, 422},
		{"name empty", withMember(`"username":""`), 422},
		{"name of two emoji", withMember(`"username":"😀😀"`), 422},
		{"name of 256 characters", withMember(`"username":"` + strings.Repeat("é", 256) + `"`), 422},
		{"name an array", withMember(`"username":["abc"]`), 422},
		{"payload an array", withMember(`"payload":[]`), 422},
		{"payload false", withMember(`"payload":false`), 422},
		{"payload a number", withMember(`"payload":0`), 422},
		{"timestamp a number", withMember(`"timestamp":1764000000`), 422},
		{"timestamp empty", withMember(`"timestamp":""`), 422},
		{"timestamp in words", withMember(`"timestamp":"yesterday at noon"`), 422},
		{"timestamp without a time", withMember(`"timestamp":"2026-11-24"`), 422},
		{"year 0", withMember(`"timestamp":"0000-01-01T00:00:00Z"`), 422},
		{"year 10000", withMember(`"timestamp":"10000-01-01T00:00:00Z"`), 422},
		{"year 0 by its zone", withMember(`"timestamp":"0001-01-01T00:00:00+01:00"`), 422},
		{"year 10000 by its zone", withMember(`"timestamp":"9999-12-31T23:59:59-01:00"`), 422},
		{"24:00:01", withMember(`"timestamp":"2026-11-24T24:00:01Z"`), 422},
		{"a leap second at noon", withMember(`"timestamp":"2016-12-31T12:00:60Z"`), 422},
		{"a zone of 25 hours", withMember(`"timestamp":"2026-11-24T10:00:00+25:00"`), 422},
		{"a zone by name", withMember(`"timestamp":"2026-11-24T10:00:00 CET"`), 422},
		{"a day of a week", withMember(`"timestamp":"2026-W48-2T10:00:00Z"`), 422},
		{"SQL for a time", withMember(`"timestamp":"infinity'::timestamptz--"`), 422},
		{"a fraction of 100 digits", withMember(`"timestamp":"2026-11-24T10:00:00.` + strings.Repeat("1", 100) + `Z"`), 422},
		{"id empty", withMember(`"event_id":""`), 422},
		{"id a number", withMember(`"event_id":7`), 422},
		{"id nil", withMember(`"event_id":"00000000-0000-0000-0000-000000000000"`), 422},
		{"id all ones", withMember(`"event_id":"ffffffff-ffff-ffff-ffff-ffffffffffff"`), 422},
		{"id in braces", withMember(`"event_id":"{01a20d6d-5a00-7abc-8def-0123456789ab}"`), 422},
		{"id a URN", withMember(`"event_id":"urn:uuid:01a20d6d-5a00-7abc-8def-0123456789ab"`), 422},
		{"id without dashes", withMember(`"event_id":"01a20d6d5a007abc8def0123456789ab"`), 422},
		{"id of 36 other characters", withMember(`"event_id":"01a20d6d_5a00_7abc_8def_0123456789ab"`), 422},
		{"id of another variant", withMember(`"event_id":"01a20d6d-5a00-7abc-cdef-0123456789ab"`), 422},
		{"id with a line break", withMember(`"event_id":"01a20d6d-5a00-7abc-8def-0123456789ab\n"`), 422},
		{"id of 31 days ago", withMember(`"event_id":"` + idFrom(noon.AddDate(0, 0, -31)) + `"`), 422},
		{"id of a millisecond too old", withMember(`"event_id":"` + idFrom(noon.Add(-event.DefaultMaxAge-time.Millisecond)) + `"`), 422},
		{"id of six minutes ahead", withMember(`"event_id":"` + idFrom(noon.Add(6*time.Minute)) + `"`), 422},
		{"id a millisecond too new", withMember(`"event_id":"` + idFrom(noon.Add(5*time.Minute+time.Millisecond)) + `"`), 422},
	}
}

func hostileArrays() []hostile {
	id := `"event_id":"01a20d6d-5a00-7abc-8def-0123456789ab"`
	return []hostile{
		{"a trailing comma", "[" + good + ",]", 400},
		{"a comma alone", "[,]", 400},
		{"no comma", "[" + good + good + "]", 400},
		{"two arrays", "[" + good + "][" + good + "]", 422},
		{"an array in an array", "[[" + good + "]]", 422},
		{"all but an object", `[1,"a",null,true,[]]`, 422},
		{"one that is cut off", "[" + good + `,{"session_id":1`, 400},
		{"two faults of one event", `[{"session_id":0,"event_type":""}]`, 422},
		{"names twice in two events", `[` + withMember(`"x":1,"x":1`) + `,` + good + `,` + withMember(`"payload":{"y":1,"y":1}`) + `]`, 422},
		{"one id three times", "[" + withMember(id) + "," + withMember(id) + "," + withMember(id) + "]", 422},
		{"one id twice, once with escapes", "[" + withMember(id) + `,{"session_id":1,"event_type":"t","\u0065vent_id":"\u00301a20d6d-5a00-7abc-8def-0123456789ab"}]`, 422},
		{"10,001 events", "[" + strings.Repeat(good+",", event.MaxBatchEvents) + good + "]", 422},
		{"10,001 numbers", "[" + strings.Repeat("1,", event.MaxBatchEvents) + "1]", 422},
		{"1,000,000 brackets", strings.Repeat("[", 1_000_000), 422},
		{"bad UTF-8 in one event", "[" + good + ",{\"\xff\":1}]", 422},
	}
}

func hostileLines() []hostile {
	id := `"event_id":"01a20d6d-5a00-7abc-8def-0123456789ab"`
	return []hostile{
		{"an array", "[" + good + "]", 422},
		{"an array over two lines", "[" + good + ",\n" + good + "]", 422},
		{"an event over two lines", strings.Replace(good, ",", ",\n", 1), 422},
		{"two events on one line", good + good, 422},
		{"old Macintosh's line ends", good + "\r" + good, 422},
		{"Unicode's line ends", good + "\u2028" + good, 422},
		{"a line of a space that JSON has not", good + "\n\u00a0\n" + good, 422},
		{"a line of a vertical tab", good + "\n\v\n" + good, 422},
		{"a NUL line", good + "\n\x00\n", 422},
		{"a byte order mark", "\ufeff" + good + "\n" + good, 422},
		{"bad UTF-8 in one line", good + "\n\"\xff\"\n" + good, 422},
		{"UTF-16", asUTF16(good+"\n"+good, true), 422},
		{"one id twice", withMember(id) + "\n" + good + "\n" + withMember(id), 422},
		{"server-sent events", "data: " + good + "\n\n", 422},
		{"a record separator", "\x1e" + good + "\n", 422},
		{"65 deep in one line", good + "\n" + withMember(`"payload":`+strings.Repeat(`{"a":`, 65)+"1"+strings.Repeat("}", 65)), 422},
	}
}

// Every body here is refused by exactly the answer of the golden file. Nothing is
// published, nothing is logged above DEBUG, and no memory stays charged.
func TestHostileBodies(t *testing.T) {
	p := new(testPublisher)
	s := start(t, p)
	var out strings.Builder
	n := 0
	for _, table := range []struct {
		path, contentType string
		bodies            []hostile
	}{
		{routeLog, "application/json", hostileEvents()},
		{routeBatch, "application/json", hostileArrays()},
		{routeBatch, "application/x-ndjson", hostileLines()},
	} {
		for _, c := range table.bodies {
			got := s.do(t, http.MethodPost, table.path, c.body, "Content-Type", table.contentType)
			if got.status != c.status {
				t.Errorf("%s, %s: status %d, want %d: %.500s", table.path, c.what, got.status, c.status, got.body)
			}
			fmt.Fprintf(&out, "# %s %s: %s\n%s", table.path, table.contentType, c.what, instanceForm.ReplaceAllString(got.body, "urn:uuid:…"))
			n++
		}
	}
	golden.File(t, "hostile_bodies.txt", out.String())
	if events := p.published(); len(events) > 0 {
		t.Errorf("published %d events", len(events))
	}
	if log := s.log.String(); log != "" {
		t.Errorf("clients' faults fill the log: %s", log)
	}
	if used := s.budgetUsed(t); used != 0 {
		t.Errorf("%d bytes stay charged", used)
	}
	if n < 150 {
		t.Errorf("%d bodies, want 150 at least", n)
	}
}

// The last that is right, beside the first that is wrong.
func TestJustWithinTheBounds(t *testing.T) {
	s := start(t, new(testPublisher))
	for what, body := range map[string]string{
		"a byte less than 256 KiB":  good + strings.Repeat(" ", event.MaxEventBytes-len(good)-1),
		"type of 100 emoji":         `{"session_id":1,"event_type":"` + strings.Repeat("😀", 100) + `"}`,
		"type of 100 escapes":       `{"session_id":1,"event_type":"` + strings.Repeat(`\u00e9`, 100) + `"}`,
		"name of three emoji":       withMember(`"username":"😀😀😀"`),
		"name of 255 characters":    withMember(`"username":"` + strings.Repeat("é", 255) + `"`),
		"objects 64 deep":           withMember(`"payload":` + strings.Repeat(`{"a":`, 64) + "1" + strings.Repeat("}", 64)),
		"1e308":                     inPayload("1e308"),
		"1e-307":                    inPayload("1e-307"),
		"16,383 decimal places":     inPayload("0." + strings.Repeat("1", 16_383)),
		"a surrogate pair":          inPayload(`"\ud83d\ude00"`),
		"an escaped backslash":      inPayload(`"\\u0000"`),
		"the largest session":       `{"session_id":9223372036854775807,"event_type":"t"}`,
		"the first year":            withMember(`"timestamp":"0001-01-01T00:00:00Z"`),
		"the last microsecond":      withMember(`"timestamp":"9999-12-31T23:59:59.999999999Z"`),
		"an id as old as may be":    withMember(`"event_id":"` + idFrom(noon.Add(-event.DefaultMaxAge+time.Millisecond)) + `"`),
		"an id as new as may be":    withMember(`"event_id":"` + idFrom(noon.Add(5*time.Minute)) + `"`),
		"a null of every optional":  withMember(`"payload":null,"timestamp":null,"username":null,"event_id":null`),
		"a name with a line break":  withMember("\"payload\"\r\n:\n{}"),
		"an escaped name":           `{"\u0073ession_id":1,"event_typ\u0065":"t"}`,
		"DEL and private use":       inPayload("\"\x7f\ue000\ufffe\""),
		"1,000 members":             withMember(`"payload":{` + strings.TrimSuffix(numbered(1000, `"m%d":%[1]d,`), ",") + `}`),
		"an unknown member 60 deep": withMember(`"x":` + strings.Repeat("[", 60) + strings.Repeat("]", 60)),
	} {
		if got := s.post(t, routeLog, body); got.status != http.StatusAccepted {
			t.Errorf("%s: %d %.300s", what, got.status, got.body)
		}
	}
}

func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
