package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/trailpost/trailpost/test/ledger"
)

// scene is a short play around one promise. Who keeps the promise loses nothing in it,
// and who breaks it does.
type scene struct {
	standby bool // asks for replicas
	name    string
	play    func(w *world) error
}

// send sends events in the background, in requests of batch. end waits until they are
// accepted.
func (w *world) send(events, batch int) (end func() error) {
	_, wait := w.client.Start(w.t.Context(), ledger.Pace{Events: events, PerSecond: 20 * events, Batch: batch, Workers: 20})
	return func() error {
		done := make(chan struct{})
		go func() { wait(); close(done) }()
		select {
		case <-done:
			return nil
		case <-time.After(patience):
			return fmt.Errorf("not all are accepted within %s: %s", patience, w.client.Summary())
		}
	}
}

// The consumers are killed when all events are unacked, and they could commit none.
var killedBeforeCommit = scene{false, "consumers that wait for the database are killed", func(w *world) error {
	unlock, err := lockTrail(w, rand.New(rand.NewPCG(0, 0)))
	if err != nil {
		return err
	}
	if err := w.send(200, 10)(); err != nil {
		return errors.Join(err, unlock())
	}
	w.await("the consumers take all", func() bool {
		waiting, _, err := w.onQueue()
		return err == nil && waiting == 0
	})
	if w.mutant.store != nil {
		w.await("they ack what is not committed", w.allAcked)
	}
	return errors.Join(err, w.consumers[0].kill(), w.consumers[1].kill(), unlock(), w.consumers[0].start(), w.consumers[1].start())
}}

// The producer is killed when clients wait for the confirms of events that never reached
// the broker.
var killedBeforeConfirm = scene{false, "a producer that waits for confirms is killed", func(w *world) error {
	if err := w.halfOpen(w.publish); err != nil {
		return err
	}
	since := w.mark()
	end := w.send(200, 10)
	w.await("clients are answered", func() bool {
		return w.client.Accepted() > 0 || refused(w, since)
	})
	return errors.Join(w.producer.kill(), w.publish.heal(), w.producer.start(), end())
}}

// halfOpen leaves connections that are there open, and lets nothing through. proxy.add may
// have ended them instead (see there).
func (w *world) halfOpen(h *proxy) error {
	for range 10 {
		w.ready()
		if err := h.both("timeout", map[string]any{"timeout": 0}); err != nil {
			return err
		}
		if len(h.inner.Toxics.GetToxicArray()) == 2 {
			return nil
		}
		w.t.Log("toxiproxy was stuck")
	}
	return errors.New("toxiproxy is stuck")
}

// Somebody cancels a COMMIT that waits for the standby, and the primary fails over.
var failedOverAfterCancel = scene{true, "failover after a COMMIT is cancelled", func(w *world) error {
	return w.failOverAfter(cancelCommits)
}}

// The primary crashes while a COMMIT waits for the standby, and has its rows when it is
// started; then it fails over.
var failedOverAfterCrash = scene{true, "failover after the primary is killed and started", func(w *world) error {
	return w.failOverAfter(restartPrimary)
}}

// All of that, one after the other.
var failedOverAfterAll = scene{true, "failover after all that may happen to a COMMIT", func(w *world) error {
	return w.failOverAfter(cancelCommits, endSessions, restartPrimary)
}}

// failOverAfter has events accepted while the standby is cut off, things happen to the
// COMMIT that waits for it, and then the standby promoted.
func (w *world) failOverAfter(happen ...func(*world) error) error {
	w.replicas.link.cut()
	const events = 40
	if err := w.send(events, events)(); err != nil { // one message, so one COMMIT; on a busy machine, more than one
		return err
	}
	waits := func() bool { return w.commitsWait(time.Second) }
	w.await("a COMMIT waits for the standby", waits)
	failed := logged(cantStore)
	for _, disturb := range happen {
		since := w.mark()
		if err := disturb(w); err != nil {
			return err
		}
		var err error
		w.await("the consumers try again, or ack", func() bool {
			if w.allAcked() {
				return true
			}
			if w.mutant.store == nil {
				return failed(w, since) && waits()
			}
			// Another COMMIT of the mutant's, which began to wait after the disturbance of the first.
			if waits() {
				err = disturb(w)
			}
			return err != nil
		})
		if err != nil {
			return err
		}
	}
	mend, err := failover(crash, true)(w, nil)
	return joinEnd(err, mend)
}

// allAcked: the queue holds nothing, and no message of it is unacked. The queue's
// own process is asked: what rabbitmqctl lists is seconds old.
func (w *world) allAcked() bool {
	if !w.servers.Local() {
		// A newer RabbitMQ's inside is another. What it counts it says every 5 s.
		for range 2 {
			out, err := w.vhost.Ctl(w.t.Context(), "list_queues", "name", "messages", "--no-table-headers")
			if err != nil || !strings.Contains(string(out)+"\n", queue+"\t0\n") {
				return false
			}
			time.Sleep(6 * time.Second)
		}
		return true
	}
	return w.servers.Rabbit.Eval(w.t.Context(), fmt.Sprintf(`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)),
		{ok, {_, 0}, _} = ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1), ok`, w.vhost.Name, queue)) == nil
}
