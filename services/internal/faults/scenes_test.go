package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
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

// someEvents are sent in a scene, in requests of ten.
const someEvents = 200

// send sends them in the background. end waits until they are accepted.
func (w *world) send() (end func() error) {
	_, wait := w.client.Start(w.t.Context(), ledger.Pace{Events: someEvents, PerSecond: 4000, Batch: 10, Workers: 20})
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

// The consumers are killed when they have all events in hand, and could commit none.
var killedBeforeCommit = scene{false, "consumers that wait for the database are killed", func(w *world) error {
	unlock, err := lockTrail(w, rand.New(rand.NewPCG(0, 0)))
	if err != nil {
		return err
	}
	if err := w.send()(); err != nil {
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
	end := w.send()
	w.await("clients are answered", func() bool {
		return w.client.Accepted() > 0 || refused(w, since)
	})
	return errors.Join(w.producer.kill(), w.publish.heal(), w.producer.start(), end())
}}

// halfOpen leaves connections that are there open, and lets nothing through. hop.add may
// have ended them instead (see there).
func (w *world) halfOpen(h *hop) error {
	for range 10 {
		w.ready()
		if err := h.both("timeout", map[string]any{"timeout": 0}); err != nil {
			return err
		}
		if len(h.proxy.Toxics.GetToxicArray()) == 2 {
			return nil
		}
		w.t.Log("toxiproxy was stuck")
	}
	return errors.New("toxiproxy is stuck")
}

// allAcked: the queue holds nothing, and nobody has a message of it in hand. The queue's
// own process is asked: what rabbitmqctl lists is seconds old.
func (w *world) allAcked() bool {
	return w.servers.Rabbit.Eval(w.t.Context(), fmt.Sprintf(`{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)),
		{ok, {_, 0}, _} = ra:leader_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1), ok`, w.vhost.Name, queue)) == nil
}
