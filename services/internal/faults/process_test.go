package faults

import (
	"errors"
	"math/rand/v2"
	"syscall"
	"time"
)

// processFaults are the services' own ends and pauses.
func processFaults() []fault {
	return []fault{
		{hop: "process", kind: "a consumer is killed", begin: func(w *world, r *rand.Rand) (func() error, error) {
			c := w.consumers[r.IntN(len(w.consumers))]
			return c.start, c.kill()
		}},
		{hop: "process", kind: "all consumers are killed", begin: func(w *world, _ *rand.Rand) (func() error, error) {
			a, b := w.consumers[0], w.consumers[1]
			return func() error { return errors.Join(a.start(), b.start()) }, errors.Join(a.kill(), b.kill())
		}},
		{hop: "process", kind: "a consumer is told to end", begin: func(w *world, r *rand.Rand) (func() error, error) {
			c := w.consumers[r.IntN(len(w.consumers))]
			return c.start, c.terminate()
		}},
		{hop: "process", kind: "a consumer is paused", begin: paused},
		{hop: "process", kind: "a consumer is paused until its messages were given to another", begin: paused, felt: fewerConsumers, long: true},
		{hop: "process", kind: "a consumer is paused for longer than the consumer timeout", begin: pausedTooLong, felt: fewerConsumers, long: true},
		{hop: "process", kind: "the producer is killed", felt: unanswered, begin: func(w *world, _ *rand.Rand) (func() error, error) {
			return w.producer.start, w.producer.kill()
		}},
		{hop: "process", kind: "the producer is told to end", felt: unanswered, begin: func(w *world, _ *rand.Rand) (func() error, error) {
			return w.producer.start, w.producer.terminate()
		}},
		{hop: "process", kind: "the producer is paused", begin: func(w *world, _ *rand.Rand) (func() error, error) {
			return func() error { return w.producer.signal(syscall.SIGCONT) }, w.producer.signal(syscall.SIGSTOP)
		}},
	}
}

func paused(w *world, r *rand.Rand) (func() error, error) {
	c := w.consumers[r.IntN(len(w.consumers))]
	return func() error { return c.signal(syscall.SIGCONT) }, c.signal(syscall.SIGSTOP)
}

// pausedTooLong pauses a consumer with unacked messages until the broker has ended its
// channels. When it wakes, it stores what it holds, and so did the other.
func pausedTooLong(w *world, r *rand.Rand) (func() error, error) {
	mend := func() error { return errors.Join(w.setTimeout(usualTimeout, usualTick), w.restartConsumers()) }
	if err := errors.Join(w.setTimeout(shortTimeout, shortTick), w.restartConsumers()); err != nil {
		return mend, err
	}
	_ = w.readyWithin(5 * time.Second) // among other faults they may not be
	wake, err := paused(w, r)
	return func() error {
		if err := wake(); err != nil {
			return err
		}
		// It shall find out by itself what became of its messages.
		time.Sleep(time.Second)
		return mend()
	}, err
}
