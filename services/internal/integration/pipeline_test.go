package integration

import (
	"fmt"
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

func TestAnEventBecomesARow(t *testing.T) {
	s := pipeline.New(t)
	producer, consumer := s.Producer(), s.Consumer()

	first := pipeline.Post(t, producer.URL+"/log", "application/json", pipeline.Example)
	if first.Code != 202 || first.Status != "accepted" || first.EventID == "" {
		t.Fatalf("%d %s", first.Code, first.Body)
	}
	pipeline.Within(t, 5*time.Second, "the row is there (a second, and its slack)", func() bool { return s.Rows("event_id = $1", first.EventID) == 1 })
	if n := s.Rows(`session_id = 123 AND event_type = 'review_started' AND username IS NULL AND "timestamp" <= received_at
		AND payload = '{"code_language":"python","file_count":3,"user_agent":"VSCode/1.74.0"}'`); n != 1 {
		t.Error("the row is not what was sent")
	}

	// The same event again is one row.
	again := strings.Replace(pipeline.Example, `"session_id"`, `"event_id": "`+first.EventID+`", "session_id"`, 1)
	if a := pipeline.Post(t, producer.URL+"/log", "application/json", again); a.Code != 202 || a.EventID != first.EventID {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	pipeline.Eventually(t, "the duplicate is counted", func() bool { return pipeline.Metric(t, consumer, "trailpost_events_duplicate_total") == 1 })
	s.WaitRows(1)

	// Another event under that id is a dead letter, with its reason.
	other := strings.Replace(again, "python", "go", 1)
	if a := pipeline.Post(t, producer.URL+"/log", "application/json", other); a.Code != 202 {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	letter := s.WaitLetters(1)[0]
	if letter.EventID != first.EventID || letter.Reason != deadletter.ReasonIDReused || letter.EventType != "review_started" || letter.SessionID != 123 {
		t.Errorf("%+v", letter)
	}

	// A plain replay puts it there again, once.
	if n := len(s.Replay(deadletter.ReplayOptions{})); n != 1 {
		t.Fatalf("%d replayed", n)
	}
	pipeline.Eventually(t, "it is dead again", func() bool {
		return pipeline.Metric(t, consumer, `trailpost_events_dead_lettered_total{reason="event_id_reused"}`) == 2
	})
	dead := s.WaitLetters(1)[0]
	if dead.Replays != 1 || !dead.FirstTime.Equal(letter.FirstTime) || !dead.LastTime.After(letter.LastTime) {
		t.Errorf("first %+v, then %+v", letter, dead)
	}

	// A dry run changes nothing, a new id stores it.
	if n := len(s.Replay(deadletter.ReplayOptions{NewID: true, DryRun: true})); n != 1 {
		t.Fatalf("%d would be replayed", n)
	}
	s.WaitLetters(1)
	if n := len(s.Replay(deadletter.ReplayOptions{ID: uuid.NewString(), NewID: true})); n != 0 {
		t.Fatalf("%d replayed of an id that isn't there", n)
	}
	replayed := s.Replay(deadletter.ReplayOptions{ID: first.EventID, NewID: true})
	if len(replayed) != 1 || replayed[0].NewID == "" {
		t.Fatalf("%+v", replayed)
	}
	s.WaitRows(2)
	if n := s.Rows(`event_id = $1 AND payload->>'code_language' = 'go'`, replayed[0].NewID); n != 1 {
		t.Error("the replayed event is not what was sent")
	}
	s.WaitLetters(0)
}

func TestTenThousandLinesInOneRequest(t *testing.T) {
	s := pipeline.New(t)
	producer := s.Producer()
	good := pipeline.Lines(10_000, `{"session_id":1,"event_type":"user_action","payload":{"n":%d}}`)

	// One bad line: nothing is published, and the answer names it.
	all := strings.Split(strings.TrimSpace(good), "\n")
	all[4321] = `{"session_id":0,"event_type":"user_action"}`
	a := pipeline.Post(t, producer.URL+"/log/batch", "application/x-ndjson", pipeline.NDJSON(all...))
	if a.Code != 422 || len(a.Errors) != 1 || a.Errors[0].Index == nil || *a.Errors[0].Index != 4321 || a.Errors[0].Field != "session_id" {
		t.Fatalf("%d %.500s", a.Code, a.Body)
	}
	if n := pipeline.Metric(t, producer, "trailpost_events_published_total"); n != 0 {
		t.Errorf("%v events were published", n)
	}

	a = pipeline.Post(t, producer.URL+"/log/batch", "application/x-ndjson", good)
	if a.Code != 202 || a.Accepted != 10_000 || len(a.EventIDs) != 10_000 {
		t.Fatalf("%d %.500s", a.Code, a.Body)
	}
	s.Consumer()
	s.WaitRows(10_000)
	if n := s.Rows("event_id = ANY($1)", a.EventIDs); n != 10_000 {
		t.Errorf("%d rows of the ids that the client was told", n)
	}
}

// What the Python service's producer puts on the queue.
const originalMessage = `{"session_id": 7, "event_type": "llm_error", "payload": {"error": "timed out", "retries": 2}, ` +
	`"timestamp": "%[1]s", "producer_timestamp": "%[1]s"}`

func pythonTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000") }

func TestTheOriginalsMessageIsStoredOnce(t *testing.T) {
	s := pipeline.New(t)
	consumer := s.Consumer()
	body := []byte(fmt.Sprintf(originalMessage, pythonTime(time.Now())))
	s.Publish(amqp.Publishing{ContentType: "application/json", Body: body})
	s.Publish(amqp.Publishing{Body: body}) // pika sends no content type unless told
	pipeline.Eventually(t, "the repeat is counted", func() bool { return pipeline.Metric(t, consumer, "trailpost_events_duplicate_total") == 1 })
	s.WaitRows(1)
	if n := s.Rows(`session_id = 7 AND event_type = 'llm_error' AND payload->>'error' = 'timed out' AND received_at = "timestamp"`); n != 1 {
		t.Error("the row is not what was sent")
	}
}

// queueLine is an event as our producer writes it.
func queueLine(id uuid.UUID, n int) string {
	e := event.Event{ID: id, SessionID: 1, Type: "user_action", Timestamp: event.IDTime(id), ReceivedAt: event.IDTime(id),
		Payload: fmt.Appendf(nil, `{"n":%d}`, n)}
	return string(event.AppendWire(nil, &e))
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

func TestAGroupWithEveryFault(t *testing.T) {
	s := pipeline.New(t)
	// A rule of the database's own makes one event poison.
	owner := s.DB.Connect(t, s.DB.Owner)
	if _, err := owner.Exec(t.Context(), `ALTER TABLE log_events ADD CONSTRAINT no_poison CHECK (payload->>'n' <> '666')`); err != nil {
		t.Fatal(err)
	}
	consumer := s.Consumer()
	stored := newID()
	s.Publish(amqp.Publishing{ContentType: "application/json", MessageId: stored.String(), Body: []byte(queueLine(stored, 1))})
	s.WaitRows(1)
	acked := pipeline.Metric(t, consumer, "trailpost_events_stored_total")

	ids := make([]uuid.UUID, 64)
	group := make([]string, 64)
	for i := range group {
		ids[i] = newID()
		group[i] = queueLine(ids[i], i)
	}
	group[10] = `{"session_id":1,"event_type":` // unreadable
	group[20] = queueLine(ids[20], 666)         // poison
	group[30] = group[29]                       // repeat
	group[40] = queueLine(stored, 2)            // reused id
	s.Publish(amqp.Publishing{
		ContentType: "application/x-ndjson", Headers: amqp.Table{"events": int32(64)}, Body: []byte(strings.Join(group, "\n")),
	})
	letters := s.WaitLetters(3)
	s.WaitRows(1 + 60)
	if n := pipeline.Metric(t, consumer, "trailpost_events_stored_total") - acked; n != 60 {
		t.Errorf("%v stored", n)
	}
	if n := pipeline.Metric(t, consumer, "trailpost_events_duplicate_total"); n != 1 {
		t.Errorf("%v duplicates", n)
	}
	byReason := map[string]deadletter.Entry{}
	for _, l := range letters {
		byReason[l.Reason] = l
	}
	if l := byReason[deadletter.ReasonRejected]; l.EventID != ids[20].String() || l.SQLState != "23514" {
		t.Errorf("poison: %+v", l)
	}
	if l := byReason[deadletter.ReasonIDReused]; l.EventID != stored.String() {
		t.Errorf("reused: %+v", l)
	}
	if l := byReason[event.ReasonInvalidJSON]; l.EventID != "" || l.Detail == "" {
		t.Errorf("unreadable: %+v", l)
	}
	// One message, one ack: nothing is left, ready or unacked.
	pipeline.Eventually(t, "all is acked", func() bool {
		return pipeline.Metric(t, consumer, `trailpost_queue_messages{queue="log_queue",state="unacked"}`) == 0
	})
	if out, err := s.Vhost.Ctl(t.Context(), "list_queues", "name", "messages"); err != nil || !strings.Contains(string(out), "log_queue\t0") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestMalformedGroups(t *testing.T) {
	s := pipeline.New(t)
	s.Consumer()
	two := queueLine(newID(), 1) + "\n" + queueLine(newID(), 2)
	group := func(headers amqp.Table, body string) {
		s.Publish(amqp.Publishing{ContentType: "application/x-ndjson", Headers: headers, Body: []byte(body)})
	}
	group(amqp.Table{"events": int64(3)}, two)                                          // header and lines disagree: stored, and a copy is dead
	group(nil, "")                                                                      // nothing in it
	group(nil, strings.Repeat(queueLine(newID(), 1)+"\n", 10_001))                      // too many lines
	group(nil, strings.Repeat(" ", 1<<20)+"\n"+queueLine(newID(), 1))                   // too many bytes
	s.Publish(amqp.Publishing{ContentType: "application/json", Body: []byte(two)})      // lines, and not said so
	s.Publish(amqp.Publishing{ContentType: "text/plain", Body: []byte("hello")})        // not ours
	s.Publish(amqp.Publishing{Body: []byte(queueLine(uuid.UUID{6: 0x70, 8: 0x80}, 1))}) // from 1970
	var reasons []string
	// The first one is a group of two, each of which is listed.
	for _, l := range s.WaitLetters(8) {
		reasons = append(reasons, l.Reason)
	}
	slices.Sort(reasons)
	want := []string{"empty_group", "group_count", "group_count", "group_too_large", "group_too_large", "invalid_event", "invalid_event_id", "invalid_json"}
	if !slices.Equal(reasons, want) {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
	s.WaitRows(2)
}

func TestSessionsAndUsersFollowTheEvents(t *testing.T) {
	s := pipeline.New(t)
	producer := s.Producer()
	s.Consumer()
	for _, body := range []string{
		`{"session_id":5,"event_type":"review_completed","timestamp":"2026-01-01T12:00:00Z"}`,
		`{"session_id":5,"event_type":"review_started","timestamp":"2026-01-01T10:00:00Z","username":"ada"}`,
		`{"session_id":5,"event_type":"user_action","username":"bob"}`,
	} {
		if a := pipeline.Post(t, producer.URL+"/log", "application/json", body); a.Code != 202 {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
	}
	s.WaitRows(3)
	var n int
	err := s.Reader.QueryRow(t.Context(), `SELECT count(*) FROM review_sessions JOIN users USING (user_id)
		WHERE session_id = 5 AND username IN ('ada', 'bob') AND start_time = '2026-01-01T10:00:00Z' AND end_time = '2026-01-01T12:00:00Z'`).Scan(&n)
	if err != nil || n != 1 {
		t.Errorf("%d sessions as they should be, %v", n, err)
	}
}

func TestTheTraceIsCarriedIntoTheLog(t *testing.T) {
	s := pipeline.New(t)
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	e := queueLine(newID(), 1)
	e = strings.TrimSuffix(e, "}") + `,"traceparent":"` + trace + `"}`
	id := s.Logged("LOG_LEVEL=DEBUG")
	s.Consumer()
	s.Publish(amqp.Publishing{ContentType: "application/json", Body: []byte(e)})
	pipeline.Eventually(t, "the event is logged with its trace", func() bool {
		return strings.Contains(id.String(), trace) && strings.Contains(id.String(), "Log event processed")
	})
}
