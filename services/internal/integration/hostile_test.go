package integration

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// hostile is a message that somebody else put on the queue, and what becomes of it:
// rows, and dead letters by their reasons.
type hostile struct {
	what    string
	message amqp.Publishing
	rows    int
	reasons []string
}

// hostileEvent is a message of one event with members beside session and type.
func hostileEvent(what, members string, reasons ...string) hostile {
	return hostile{what: what, message: amqp.Publishing{ContentType: "application/json", Body: []byte(`{"session_id":1,"event_type":"user_action",` + members + `}`)}, rows: 1 - len(reasons), reasons: reasons}
}

func hostileBody(what, contentType string, body []byte, reasons ...string) hostile {
	return hostile{what: what, message: amqp.Publishing{ContentType: contentType, Body: body}, rows: 1 - len(reasons), reasons: reasons}
}

func hostileGroup(what string, headers amqp.Table, rows int, body string, reasons ...string) hostile {
	return hostile{what: what, message: amqp.Publishing{ContentType: "application/x-ndjson", Headers: headers, Body: []byte(body)}, rows: rows, reasons: reasons}
}

// hostileHeaders is a good event under such headers: all that matters is that it is stored.
func hostileHeaders(what string, headers amqp.Table) hostile {
	return hostile{what: what, message: amqp.Publishing{ContentType: "application/json", Headers: headers, Body: []byte(queueLine(newID(), 1))}, rows: 1}
}

// withID is the member event_id, of that time.
func withID(at time.Time) string {
	id := uuid.UUID{6: 0x70, 8: 0x80}
	for i := range 6 {
		id[i] = byte(at.UnixMilli() >> (40 - 8*i))
	}
	random := newID()
	copy(id[9:], random[9:])
	return fmt.Sprintf(`"event_id":%q`, id)
}

func ownID() string { return fmt.Sprintf(`"event_id":%q`, newID()) }

func fewLines(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = queueLine(newID(), i)
	}
	return strings.Join(all, "\n")
}

func gzipped(s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s)) // to memory
	_ = w.Close()
	return b.Bytes()
}

// nested is a header's table of some depth.
func nested(depth int) amqp.Table {
	t := amqp.Table{"end": "end"}
	for range depth {
		t = amqp.Table{"a": t, "b": []any{t}}
	}
	return t
}

func hostileMessages() []hostile {
	const (
		badJSON, badEvent, badID = event.ReasonInvalidJSON, event.ReasonInvalidEvent, event.ReasonInvalidID
		tooLarge, count, empty   = deadletter.ReasonGroupTooLarge, deadletter.ReasonGroupCount, deadletter.ReasonEmptyGroup
	)
	now := time.Now()
	const json, group = "application/json", "application/x-ndjson"
	repeated := queueLine(newID(), 1)
	conflict := newID()
	return []hostile{
		// Bodies.
		hostileBody("nothing", json, nil, badJSON),
		hostileBody("nothing of no type", "", nil, badJSON),
		hostileBody("white space", json, []byte(" \r\n"), badJSON),
		hostileBody("a text", "text/plain", []byte("hello"), badJSON),
		hostileBody("XML", "application/xml", []byte("<event/>"), badJSON),
		hostileBody("a NUL byte", json, []byte{0}, badJSON),
		hostileBody("bytes", "application/octet-stream", []byte{0xde, 0xad, 0xbe, 0xef}, badEvent),
		hostileBody("UTF-16", json, []byte("{\x00\"\x00"), badJSON),
		hostileBody("gzip", json, gzipped(queueLine(newID(), 1)), badEvent),
		hostileBody("pickle", "application/x-python-serialize", []byte("\x80\x04\x95."), badEvent),
		hostileBody("cut off", json, []byte(queueLine(newID(), 1)[:60]), badJSON),
		hostileBody("null", json, []byte("null"), badEvent),
		hostileBody("a number", json, []byte("7"), badEvent),
		hostileBody("an array", json, []byte("["+queueLine(newID(), 1)+"]"), badEvent),
		hostileBody("two events", json, []byte(queueLine(newID(), 1)+queueLine(newID(), 2)), badEvent),
		hostileBody("lines that don't say so", json, []byte(fewLines(2)), badEvent),
		hostileBody("an empty object", json, []byte("{}"), badEvent),
		hostileBody("a content type that is none", "\x00\xff;;", []byte(queueLine(newID(), 1))),
		hostileBody("a content type of 255 bytes", strings.Repeat("a", 255), []byte(queueLine(newID(), 1))),
		hostileBody("16 MiB of nothing", json, bytes.Repeat([]byte{' '}, 16<<20), badJSON),
		hostileBody("16 MiB in brackets", json, bytes.Repeat([]byte{'['}, 16<<20), badEvent),
		hostileBody("a group of 16 MiB", group, bytes.Repeat([]byte("\n"), 16<<20), tooLarge),
		hostileBody("an event of 16 MiB", json, []byte(`{"session_id":1,"event_type":"t",`+ownID()+`,"payload":{"a":"`+strings.Repeat("x", 16<<20-200)+`"}}`)),

		// Of events with a source.
		hostileBody("a source and no session", json, []byte(`{"event_type":"t","source":"in/a",`+ownID()+`}`)),
		hostileBody("no source and no session", json, []byte(`{"event_type":"t",`+ownID()+`}`), badEvent),
		hostileBody("a key of another length", json, []byte(`{"event_type":"t","source":"in/a","event_key":"00",`+ownID()+`}`), badEvent),
		hostileBody("a source that is NUL", json, []byte(`{"event_type":"t","source":"\u0000",`+ownID()+`}`), badEvent),
		hostileBody("a username of 1 MiB", json, []byte(`{"event_type":"t","username":"`+strings.Repeat("u", 1<<20)+`","source":"in/a",`+ownID()+`}`)),
		hostileEvent("a source and a session", `"source":"in/a",`+ownID(), badEvent),
		hostileEvent("a key without a source", `"event_key":"`+strings.Repeat("0", 64)+`",`+ownID(), badEvent),

		// Members.
		hostileEvent("session twice", `"session_id":2,`+ownID(), badEvent),
		hostileEvent("a payload that is an array", `"payload":[],`+ownID(), badEvent),
		hostileEvent("a payload that is a text", `"payload":"{}",`+ownID(), badEvent),
		hostileEvent("NUL for jsonb", `"payload":{"a":"\u0000"},`+ownID(), badEvent),
		hostileEvent("a lone surrogate for jsonb", `"payload":{"a":"\ud800"},`+ownID(), badEvent),
		hostileEvent("a number beyond numeric", `"payload":{"a":1e131072},`+ownID(), badEvent),
		hostileEvent("a number of 20,000 places", `"payload":{"a":0.`+strings.Repeat("1", 20_000)+`},`+ownID(), badEvent),
		hostileEvent("65 deep", `"payload":`+strings.Repeat(`{"a":`, 65)+"1"+strings.Repeat("}", 65)+","+ownID(), badEvent),
		hostileEvent("a name twice in the payload", `"payload":{"a":1,"a":2},`+ownID(), badEvent),
		hostileEvent("bad UTF-8", "\"payload\":{\"a\":\"\xff\"},"+ownID(), badEvent),
		hostileEvent("NaN", `"payload":{"a":NaN},`+ownID(), badJSON),
		hostileEvent("username of 255 characters", `"username":"`+strings.Repeat("é", 255)+`",`+ownID()),
		hostileEvent("username of 256 characters", `"username":"`+strings.Repeat("é", 256)+`",`+ownID(), badEvent),
		hostileEvent("username with NUL", `"username":"ab\u0000c",`+ownID(), badEvent),
		hostileEvent("username that is SQL", `"username":"'; DROP TABLE log_events; --",`+ownID()),
		hostileEvent("timestamp in the year 1", `"timestamp":"0001-01-01T00:00:00Z",`+ownID()),
		hostileEvent("timestamp in the year 9999", `"timestamp":"9999-12-31T23:59:59.999999Z",`+ownID()),
		hostileEvent("timestamp in the year 0", `"timestamp":"0000-12-31T00:00:00Z",`+ownID(), badEvent),
		hostileEvent("timestamp that is SQL's", `"timestamp":"-infinity",`+ownID(), badEvent),
		hostileEvent("producer_timestamp a number", `"producer_timestamp":7,`+ownID(), badEvent),
		hostileEvent("producer_timestamp in 9999", `"producer_timestamp":"9999-12-31T23:59:59Z",`+ownID()),
		hostileEvent("a traceparent of another kind", `"traceparent":{"a":[]},`+ownID()),
		hostileEvent("a traceparent with a line break", `"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n",`+ownID()),
		hostileEvent("1,000 unknown members", manyMembers(1000)+ownID()),
		hostileBody("type of 100 characters", json, []byte(`{"session_id":1,"event_type":"`+strings.Repeat("é", 100)+`",`+ownID()+`}`)),
		hostileBody("type of 101 characters", json, []byte(`{"session_id":1,"event_type":"`+strings.Repeat("é", 101)+`",`+ownID()+`}`), badEvent),
		hostileBody("no type", json, []byte(`{"session_id":1,`+ownID()+`}`), badEvent),
		hostileBody("session 0", json, []byte(`{"session_id":0,"event_type":"t",`+ownID()+`}`), badEvent),
		hostileBody("session a text", json, []byte(`{"session_id":"one","event_type":"t",`+ownID()+`}`), badEvent),
		hostileBody("session beyond bigint", json, []byte(`{"session_id":9223372036854775808,"event_type":"t",`+ownID()+`}`), badEvent),
		hostileBody("the largest session", json, []byte(`{"session_id":9223372036854775807,"event_type":"t",`+ownID()+`}`)),

		// Ids.
		hostileEvent("no id and no time", `"payload":{}`, badEvent),
		hostileEvent("id of two hours ahead", withID(now.Add(2*time.Hour)), badID),
		hostileEvent("id from 10889", `"event_id":"ffffffff-ffff-7fff-bfff-ffffffffffff"`, badID),
		hostileEvent("id from 2019", withID(time.Date(2019, 12, 31, 23, 59, 59, 0, time.UTC)), badID),
		hostileEvent("id from 1970", `"event_id":"00000000-0000-7000-8000-000000000000"`, badID),
		hostileEvent("id nil", `"event_id":"00000000-0000-0000-0000-000000000000"`, badID),
		hostileEvent("id of version 4", `"event_id":"`+uuid.NewString()+`"`, badID),
		hostileEvent("id a number", `"event_id":1`, badID),
		hostileEvent("id with NUL", `"event_id":"01a20d6d-5a00-7abc-8def-0123456789a\u0000"`, badID),
		hostileEvent("stand-in from 1969", `"producer_timestamp":"1969-07-20T20:17:40Z"`, badID),
		hostileEvent("stand-in from 2200", `"producer_timestamp":"2200-01-01T00:00:00Z"`, badID),
		hostileEvent("the database's own rule", `"payload":{"n":"poison"},`+ownID(), deadletter.ReasonRejected),

		// Headers, of single events.
		hostileHeaders("events that is a text", amqp.Table{"events": "two"}),
		hostileHeaders("events beyond reason", amqp.Table{"events": int64(math.MaxInt64)}),
		hostileHeaders("a negative delivery count", amqp.Table{"x-delivery-count": int64(-5)}),
		hostileHeaders("a huge delivery count", amqp.Table{"x-delivery-count": int64(math.MaxInt64)}),
		hostileHeaders("a delivery count that is a text", amqp.Table{"x-delivery-count": "many", "x-acquired-count": 1.5}),
		hostileHeaders("a forged x-death", amqp.Table{"x-death": []any{amqp.Table{"reason": int32(7), "count": "x", "time": "noon"}, "x"}, "x-first-death-reason": int32(1)}),
		hostileHeaders("x-death that is no list", amqp.Table{"x-death": "delivery_limit"}),
		hostileHeaders("tables in tables", nested(8)),
		hostileHeaders("a header of 100,000 bytes", amqp.Table{"a": strings.Repeat("x", 100_000)}),
		hostileHeaders("1,000 headers", manyHeaders(1000)),
		hostileHeaders("all types of AMQP", amqp.Table{
			"bool": true, "u8": byte(1), "i16": int16(-1), "i32": int32(-1), "i64": int64(-1), "f32": float32(1), "f64": 1.5, "decimal": amqp.Decimal{Scale: 255, Value: -1},
			"time": time.Unix(0, 0), "bytes": []byte{0, 255}, "list": []any{nil, []any{}}, "void": nil, "table": amqp.Table{},
		}),
		hostileHeaders("the dead letters' own", amqp.Table{deadletter.HeaderReason: int32(1), deadletter.HeaderReplays: "many", deadletter.HeaderFirst: amqp.Table{}}),

		// Headers, of messages that become letters and may carry them along.
		{"a letter with tables for its times", amqp.Publishing{Body: []byte("x"), Headers: amqp.Table{
			deadletter.HeaderFirst: amqp.Table{"a": []any{int32(1)}}, deadletter.HeaderReplays: []any{"x"}, deadletter.HeaderFormerID: true, deadletter.HeaderReason: "forged",
		}}, 0, []string{badJSON}},
		{"a letter whose headers fill a frame", amqp.Publishing{Body: []byte("x"), Headers: amqp.Table{deadletter.HeaderFormerID: strings.Repeat("x", 130_700)}}, 0, []string{badJSON}},
		{"a letter with 255 bytes everywhere", amqp.Publishing{
			Body: []byte("x"), ContentType: strings.Repeat("\xff", 255), MessageId: strings.Repeat("\x80", 255), CorrelationId: strings.Repeat("é", 127), AppId: strings.Repeat("a", 255),
		}, 0, []string{badJSON}},
		{"a letter with a detail of its own length", amqp.Publishing{Body: []byte(`{"` + strings.Repeat("é", 100_000) + `":1,"` + strings.Repeat("é", 100_000) + `":2}`)}, 0, []string{badEvent}},

		// Groups.
		hostileGroup("blank lines among good ones", amqp.Table{"events": int32(2)}, 2, "\n\n"+queueLine(newID(), 1)+"\n \t\n"+queueLine(newID(), 2)+"\n\n"),
		hostileGroup("CRLF", amqp.Table{"events": int32(3)}, 3, strings.ReplaceAll(fewLines(3), "\n", "\r\n")+"\r\n"),
		hostileGroup("no header", nil, 3, fewLines(3)),
		hostileGroup("empty", amqp.Table{"events": int32(2)}, 0, "", empty),
		hostileGroup("of blank lines", amqp.Table{"events": int32(3)}, 0, "\n\r\n \n", empty),
		hostileGroup("of one line", amqp.Table{"events": int32(1)}, 1, fewLines(1)),
		hostileGroup("one bad line", amqp.Table{"events": int32(3)}, 2, queueLine(newID(), 1)+"\nbad\n"+queueLine(newID(), 2), badJSON),
		hostileGroup("only bad lines", amqp.Table{"events": int32(3)}, 0, "a\n[]\n{\"session_id\":1}", badEvent, badEvent, badJSON),
		hostileGroup("every kind of line", nil, 1, queueLine(newID(), 1)+"\n\u00a0\n\x00\n\xff\n"+strings.Repeat("[", 70), badEvent, badEvent, badJSON, badJSON),
		hostileGroup("an array", nil, 0, "["+fewLines(1)+"]", badEvent),
		hostileGroup("UTF-16", nil, 0, "{\x00}\x00\n\x00", badJSON, badJSON),
		hostileGroup("a repeat within", amqp.Table{"events": int32(3)}, 1, repeated+"\n"+repeated+"\n"+repeated),
		hostileGroup("one id, two events", amqp.Table{"events": int32(2)}, 1, queueLine(conflict, 1)+"\n"+queueLine(conflict, 2), deadletter.ReasonIDReused),
		hostileGroup("the database's own rule within", amqp.Table{"events": int32(3)}, 2, queueLine(newID(), 1)+"\n"+strings.Replace(queueLine(newID(), 1), `{"n":1}`, `{"n":"poison"}`, 1)+"\n"+queueLine(newID(), 3), deadletter.ReasonRejected),
		hostileGroup("fewer lines than it says", amqp.Table{"events": int32(3)}, 2, fewLines(2), count),
		hostileGroup("more lines than it says", amqp.Table{"events": int32(1)}, 2, fewLines(2), count),
		hostileGroup("says none", amqp.Table{"events": int32(0)}, 2, fewLines(2), count),
		hostileGroup("says a negative number", amqp.Table{"events": int64(-2)}, 2, fewLines(2), count),
		hostileGroup("says a text", amqp.Table{"events": "2"}, 2, fewLines(2), count),
		hostileGroup("says a table", amqp.Table{"events": amqp.Table{"n": int32(2)}}, 2, fewLines(2), count),
		hostileGroup("says 2.0", amqp.Table{"events": 2.0}, 2, fewLines(2), count),
		hostileGroup("says nothing", amqp.Table{"events": nil}, 2, fewLines(2), count),
		hostileGroup("lies, and has a bad line", amqp.Table{"events": int32(9)}, 1, fewLines(1)+"\nbad", count, badJSON),
		hostileGroup("10,001 lines", amqp.Table{"events": int32(10_001)}, 0, strings.Repeat("{}\n", 10_001), tooLarge),
		hostileGroup("over 1 MiB", amqp.Table{"events": int32(1)}, 0, fewLines(1)+strings.Repeat(" ", 1<<20), tooLarge),
		hostileGroup("nearly 1 MiB", amqp.Table{"events": int32(1)}, 1, fewLines(1)+strings.Repeat(" ", 1<<20-len(fewLines(1)))),
		{"a content type in other words", amqp.Publishing{ContentType: "Application/X-NDJSON ; charset=utf-8", Body: []byte(fewLines(2))}, 2, nil},
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"x%d":1,`, i)
	}
	return b.String()
}

func manyHeaders(n int) amqp.Table {
	t := amqp.Table{}
	for i := range n {
		t[fmt.Sprintf("x-header-%d", i)] = int32(i)
	}
	return t
}

// Whatever stands on the queue becomes rows or dead letters with their reasons, and
// what stands behind it is stored.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	s := pipeline.New(t)
	owner := s.DB.Connect(t, s.DB.Owner)
	if _, err := owner.Exec(t.Context(), `ALTER TABLE log_events ADD CONSTRAINT no_poison CHECK (payload->>'n' <> 'poison')`); err != nil {
		t.Fatal(err)
	}
	consumer := s.Consumer()
	table := hostileMessages()
	rows := 0
	for i, h := range table {
		h.message.Type = fmt.Sprintf("case %d", i) // letters of what can't be read keep it
		for _, was := range []string{"t", "user_action"} {
			h.message.Body = bytes.ReplaceAll(h.message.Body, fmt.Appendf(nil, `"event_type":%q`, was), fmt.Appendf(nil, `"event_type":"case %d"`, i))
		}
		s.Publish(h.message)
		behind := newID()
		s.Publish(amqp.Publishing{ContentType: "application/json", Body: []byte(queueLine(behind, i))})
		rows += h.rows + 1
		pipeline.Eventually(t, h.what+": what stands behind it is stored", func() bool { return s.Rows("event_id = $1", behind) == 1 })
	}
	pipeline.Eventually(t, "all is acked", func() bool {
		return pipeline.Metric(t, consumer, `trailpost_queue_messages{queue="log_queue",state="unacked"}`) == 0
	})
	got := reasons(s)
	for i, h := range table {
		reasons := got[fmt.Sprintf("case %d", i)]
		slices.Sort(reasons)
		slices.Sort(h.reasons)
		if !slices.Equal(reasons, h.reasons) {
			t.Errorf("%s: dead letters %q, want %q", h.what, reasons, h.reasons)
		}
		delete(got, fmt.Sprintf("case %d", i))
		if n := s.Rows("event_type = $1", fmt.Sprintf("case %d", i)); n != h.rows && !strings.Contains(h.what, "type of 100") {
			t.Errorf("%s: %d rows, want %d", h.what, n, h.rows)
		}
	}
	if n := s.Rows(""); n != rows {
		t.Errorf("%d rows in all, want %d", n, rows)
	}
	if len(got) > 0 {
		t.Errorf("dead letters of nothing: %v", got)
	}
	// And the list of dead letters can be read, whatever is in them.
	if n := len(s.Letters()); n == 0 {
		t.Error("no dead letter is listed")
	}
	if code, body := pipeline.Get(t, consumer.URL+"/readyz"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
}

// reasons reads the dead letters as they are, by their messages' type.
func reasons(s *pipeline.Pipeline) map[string][]string {
	s.T.Helper()
	conn, err := amqp.Dial(s.Vhost.URL())
	if err != nil {
		s.T.Fatal(err)
	}
	defer conn.Close() // which gives them back
	ch, err := conn.Channel()
	if err != nil {
		s.T.Fatal(err)
	}
	all := map[string][]string{}
	for {
		d, ok, err := ch.Get("log_queue.dead", false)
		if err != nil {
			s.T.Fatal(err)
		}
		if !ok {
			return all
		}
		reason, _ := d.Headers[deadletter.HeaderReason].(string)
		if detail, _ := d.Headers[deadletter.HeaderDetail].(string); detail == "" {
			s.T.Errorf("%s: a letter without a detail", d.Type)
		}
		all[d.Type] = append(all[d.Type], cmp.Or(reason, "none"))
	}
}
