package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/trailpost/trailpost/test/ledger"
)

// requestFaults are clients that go away at every moment of their event's way. Each
// asks again, with the same id, until it is answered.
func requestFaults() []fault {
	return []fault{
		{hop: "request", kind: "cancelled before its group left", begin: impatient(0, time.Millisecond, 0), felt: unanswered},
		{hop: "request", kind: "cancelled while its group waits for the confirm", begin: impatient(5*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond), felt: unanswered},
		{hop: "request", kind: "cancelled when the answer comes", begin: impatient(90*time.Millisecond, 130*time.Millisecond, 100*time.Millisecond), felt: unanswered},
		{hop: "request", kind: "cancelled at any moment", begin: impatient(0, 60*time.Millisecond, 20*time.Millisecond), felt: unanswered},
		{hop: "request", kind: "gives up and never asks again", begin: unfaithful, felt: disturbed},
		{hop: "request", kind: "half a body", begin: halfBodies},
	}
}

// impatient starts clients that cancel most of their requests between two moments,
// while the broker's confirms are late.
func impatient(from, to, late time.Duration) func(*world, *rand.Rand) (func() error, error) {
	return func(w *world, _ *rand.Rand) (func() error, error) {
		if late > 0 {
			if err := w.publish.add("latency", fromServer, map[string]any{"latency": late.Milliseconds()}); err != nil {
				return nil, err
			}
		}
		end := w.another(func(c *ledger.Client) { c.Cancel, c.CancelAfter, c.CancelWithin = 0.8, from, to })
		return func() error {
			return errors.Join(w.publish.heal(), end())
		}, nil
	}
}

// unfaithful starts clients that cancel and leave it at that: their events may be
// stored or not.
func unfaithful(w *world, _ *rand.Rand) (func() error, error) {
	end := w.another(func(c *ledger.Client) { c.Cancel, c.CancelWithin, c.GiveUp = 0.5, 30*time.Millisecond, 1 })
	return end, nil
}

// another starts a client with the world's ledger. end stops it, and waits.
func (w *world) another(change func(*ledger.Client)) (end func() error) {
	c := w.newClient()
	c.Ledger = w.client.Ledger
	change(c)
	return w.start(c, ledger.Pace{PerSecond: 200, Batch: 1, Workers: 32})
}

// start starts a client. end stops it and waits until all that it has sent is accepted,
// which an error says is not to be.
func (w *world) start(c *ledger.Client, pace ledger.Pace) (end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	stop, _ := c.Start(ctx, pace)
	return func() error {
		defer cancel()
		done := make(chan struct{})
		go func() { stop(); close(done) }()
		select {
		case <-done:
			return nil
		case <-time.After(patience):
			summary := c.Summary()
			cancel()
			<-done
			return fmt.Errorf("clients are still not answered after %s: %s, then %s", patience, summary, c.Summary())
		}
	}
}

// halfBodies sends requests that end within their body.
func halfBodies(w *world, _ *rand.Rand) (func() error, error) {
	ctx, cancel := context.WithCancel(context.Background())
	_, events := w.client.Send(1)
	body := events[0].Body()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			conn, err := net.Dial("tcp", w.request.addr())
			if err != nil {
				time.Sleep(10 * time.Millisecond) // the proxy is away
				continue
			}
			_, _ = fmt.Fprintf(conn, "POST /log HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:len(body)/2])
			_ = conn.Close()
			time.Sleep(10 * time.Millisecond) // a hundred a second are enough
		}
	})
	return func() error { cancel(); wg.Wait(); return nil }, nil
}
