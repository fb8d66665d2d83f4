package drain

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/deadletter"
	"github.com/trailpost/trailpost/services/internal/event"
)

// For a longer run: go test ./services/internal/drain -run Model -rapid.checks=100000
func init() { _ = flag.Set("rapid.checks", "600") }

// noon is the workers' clock for ids.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// Whatever fails, wherever a process ends, whenever a session is lost: every event
// becomes a row or a dead letter and not both, nothing is acked before, acks are in
// order and cover what is settled alone, nothing is left running, and when faults end
// all is done. The store, the queue and the dead-letter queue are a model; the clock
// is one, too, so that hours of retries cost nothing.
func TestDrainAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { checkModel(t, rt, 1) })
}

// The same with workers that get each other's redeliveries. Which worker is first is
// up to the scheduler, so a failure may not come again with its seed.
func TestDrainOfManyWorkersAgainstModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { checkModel(t, rt, rapid.IntRange(2, 3).Draw(rt, "workers")) })
}

// setup is a worker's.
type setup struct {
	batch, prefetch int
	linger          time.Duration
}

func checkModel(t *testing.T, rt *rapid.T, workers int) {
	messages := drawMessages(rt)
	scripts := make([]*script, workers)
	for i := range scripts {
		scripts[i] = &script{faults: drawFaults(rt, i)}
	}
	s := setup{
		batch:    rapid.IntRange(1, 12).Draw(rt, "batch"),
		prefetch: rapid.IntRange(1, 8).Draw(rt, "prefetch"),
		linger:   time.Duration(rapid.IntRange(0, 5).Draw(rt, "linger")) * time.Millisecond,
	}
	var m *model
	synctest.Test(t, func(*testing.T) {
		m = newModel(messages)
		m.run(s, scripts)
	})
	m.checkEnd(messages)
	if len(m.broken) > 0 {
		var steps strings.Builder
		for i, script := range scripts {
			fmt.Fprintf(&steps, "\nworker %d: %s", i, strings.Join(script.steps, ", "))
		}
		rt.Fatalf("%s%s", strings.Join(m.broken, "\n"), steps.String())
	}
}

// drawFaults draws what goes wrong: most steps go well, or nothing would ever get far.
func drawFaults(rt *rapid.T, worker int) []fault {
	one := rapid.Custom(func(rt *rapid.T) fault {
		if rapid.IntRange(0, 9).Draw(rt, "chance") < 6 {
			return nothing
		}
		return fault(rapid.IntRange(1, int(faults)-1).Draw(rt, "fault"))
	})
	return rapid.SliceOfN(one, 0, 60).Draw(rt, fmt.Sprintf("faults of worker %d", worker))
}

// drawMessages draws a queue.
func drawMessages(rt *rapid.T) []*queued {
	g := generator{rt: rt}
	n := rapid.IntRange(1, 14).Draw(rt, "messages")
	messages := make([]*queued, n)
	for i := range messages {
		messages[i] = g.message(i)
	}
	return messages
}

// generator draws messages. What must become a letter is told apart by a number, so
// that no other's letter can pass for it.
type generator struct {
	rt     *rapid.T
	number int
	former []event.Event // those that may be stored
}

func (g *generator) message(number int) *queued {
	q := &queued{number: number, Delivery: broker.Delivery{ContentType: broker.ContentEvent}}
	kind := rapid.SampledFrom([]string{"event", "event", "group", "group", "group of wrong count", "empty group"}).Draw(g.rt, "message")
	lines := 1
	switch kind {
	case "group", "group of wrong count":
		lines = rapid.IntRange(2, 7).Draw(g.rt, "lines")
	case "empty group":
		lines = 0
	}
	body := make([][]byte, lines)
	for i := range body {
		line, end := g.line()
		body[i] = line
		q.ends = append(q.ends, end)
	}
	q.Body = bytes.Join(body, []byte("\n"))
	if kind == "event" {
		return q
	}
	q.ContentType = broker.ContentGroup
	switch kind {
	case "empty group":
		g.number++
		q.Body = []byte(strings.Repeat("\n", g.number)) // told apart by its length
		q.ends = []ending{{letter: letterKey(deadletter.ReasonEmptyGroup, q.Body)}}
	case "group of wrong count":
		q.Headers = map[string]any{broker.HeaderEvents: int32(lines + 1)}
		q.ends = append(q.ends, ending{letter: letterKey(deadletter.ReasonGroupCount, q.Body)})
	}
	return q
}

// line draws a line of a message, and what may become of it.
func (g *generator) line() ([]byte, ending) {
	g.number++
	kind := rapid.SampledFrom([]string{"new", "new", "new", "repeat", "reused id", "rejected", "unreadable", "raw", "raw rejected"}).Draw(g.rt, "line")
	if len(g.former) == 0 && (kind == "repeat" || kind == "reused id") {
		kind = "new"
	}
	id := noonID(g.number)
	e := event.Event{ID: id, SessionID: 1, Type: "t", Timestamp: noon, ReceivedAt: noon, Payload: fmt.Appendf(nil, `{"n":%d}`, g.number)}
	switch kind {
	case "unreadable":
		line := fmt.Appendf(nil, "no JSON %d", g.number)
		return line, ending{letter: letterKey(event.ReasonInvalidJSON, line)}
	case "raw", "raw rejected":
		return g.raw(kind == "raw rejected")
	case "rejected":
		e.Payload = []byte(rejectedPayload)
		line := event.AppendWire(nil, &e)
		return line, ending{letter: letterKey(deadletter.ReasonRejected, line)}
	case "repeat", "reused id":
		former := g.former[rapid.IntRange(0, len(g.former)-1).Draw(g.rt, "former")]
		if kind == "repeat" {
			e = former
		}
		e.ID = former.ID
	}
	g.former = append(g.former, e)
	line := event.AppendWire(nil, &e)
	return line, ending{id: e.ID, row: string(line), letter: letterKey(deadletter.ReasonIDReused, line)}
}

// raw is a line without an id, which is derived from its bytes: a letter of it has those.
func (g *generator) raw(rejected bool) ([]byte, ending) {
	payload := fmt.Sprintf("{\r\"n\":%d}", g.number)
	if rejected {
		payload = rejectedPayload
	}
	line := fmt.Appendf(nil, `{"session_id":%d,"event_type":"t","payload":%s,"producer_timestamp":%q}`, g.number, payload, noon.Format(time.RFC3339))
	e, err := event.ParseWire(line, noon)
	if err != nil {
		g.rt.Fatal(err)
	}
	if rejected {
		return line, ending{letter: letterKey(deadletter.ReasonRejected, line)}
	}
	return line, ending{id: e.ID, row: string(event.AppendWire(nil, &e))}
}

// noonID is an event_id of noon's.
func noonID(number int) uuid.UUID {
	id := uuid.UUID{6: 0x70, 8: 0x80, 14: byte(number >> 8), 15: byte(number)}
	ms := noon.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// Bounds of a run, by the model's clock.
const (
	longest = 24 * time.Hour   // until all is settled
	calmFor = 10 * time.Minute // afterwards, until health is looked at
	toEnd   = 2 * time.Minute  // of a process that was told to
)

// run drains the model by one process a script at a time, until all is settled.
func (m *model) run(s setup, scripts []*script) {
	finish, abandon := context.WithCancel(context.Background())
	var slots sync.WaitGroup
	for _, script := range scripts {
		slots.Go(func() {
			for finish.Err() == nil {
				m.live(finish, s, script)
			}
		})
	}
	select {
	case <-m.settled:
	case <-time.After(longest):
		m.mu.Lock()
		m.breaks("%d messages are not settled although faults ended", m.open)
		m.mu.Unlock()
	}
	m.mu.Lock()
	m.calm = true
	m.mu.Unlock()
	time.Sleep(calmFor)
	abandon()
	slots.Wait()
}

// live is one process, from its start to its end.
func (m *model) live(finish context.Context, s setup, script *script) {
	take, stopTake := context.WithCancel(finish)
	work, stopWork := context.WithCancel(context.Background())
	defer stopWork()
	defer stopTake()
	p := &process{model: m, script: script, stopTake: stopTake, stopWork: stopWork, health: NewHealth()}
	w := NewWorker(Options{
		Open: p.connect(s.prefetch), Store: modelStore{p}, Publisher: modelPublisher{p}, DeadQueue: "dead",
		BatchSize: s.batch, Linger: s.linger, RetryDelay: 5 * time.Second, Grace: 20 * time.Second,
		Health: p.health, Metrics: NewMetrics(prometheus.NewRegistry(), p.health), Logger: slog.New(slog.DiscardHandler),
		Now:         func() time.Time { return noon },
		AfterCommit: func() { p.after(p.step("before ack")) },
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.Run(take, work); err != nil {
			m.mu.Lock()
			m.breaks("the worker ended: %v", err)
			m.mu.Unlock()
		}
	}()
	select {
	case <-ended:
	case <-finish.Done():
		m.checkHealth(p)
		select {
		case <-ended:
		case <-time.After(toEnd):
			m.mu.Lock()
			m.breaks("the worker did not end")
			m.mu.Unlock()
			stopWork()
			<-ended
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case p.crashed:
	case p.session != nil && !p.session.closed:
		m.breaks("the worker ended and left its session open")
	case !p.closed:
		m.breaks("the worker ended and left its store open")
	}
}

// checkHealth: all was calm for a while.
func (m *model) checkHealth(p *process) {
	if err := p.health.Ready(); err != nil && !strings.Contains(err.Error(), "no worker runs") {
		m.mu.Lock()
		m.breaks("not ready although faults ended: %v", err)
		m.mu.Unlock()
	}
}

// checkEnd: every line is a row or a letter and not both, and nothing else is.
func (m *model) checkEnd(messages []*queued) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rows, letters := map[string]bool{}, map[string]bool{}
	for _, q := range messages {
		for _, e := range q.ends {
			row, letter := m.ended(e)
			if row == letter {
				m.breaks("message %d: a row: %t, a letter: %t, of %+v", q.number, row, letter, e)
			}
			rows[e.row], letters[e.letter] = true, true
		}
	}
	for _, content := range m.rows {
		if !rows[content] {
			m.breaks("a row that nobody sent: %s", content)
		}
	}
	for key := range m.letters {
		if !letters[key] {
			m.breaks("a letter that nothing asked for: %s", key)
		}
	}
}
