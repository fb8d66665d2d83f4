package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// standbyFaults are those of a synchronous standby, and of failing over to it. They need
// replicas.
func standbyFaults() (faults []fault) {
	faults = []fault{
		{hop: "standby", kind: "cut", felt: logged(cantStore), begin: linkPair(func(h *proxy, _ *rand.Rand) error { h.cut(); return nil })},
		{hop: "standby", kind: "half-open", felt: logged(cantStore), begin: linkPair(func(h *proxy, _ *rand.Rand) error {
			return h.both("timeout", map[string]any{"timeout": 0})
		})},
		{hop: "standby", kind: "its answers vanish", felt: logged(cantStore), begin: linkPair(func(h *proxy, _ *rand.Rand) error {
			return h.add("timeout", toServer, map[string]any{"timeout": 0})
		})},
		{hop: "standby", kind: "delayed", begin: linkPair(func(h *proxy, r *rand.Rand) error {
			return h.both("latency", map[string]any{"latency": 20 + r.IntN(200), "jitter": 20})
		})},
		{hop: "standby", kind: "ends within a record", begin: linkPair(func(h *proxy, r *rand.Rand) error {
			return h.add("limit_data", fromServer, map[string]any{"bytes": 1 + r.IntN(200_000)})
		})},
		{hop: "standby", kind: "stopped and started", felt: logged(cantStore), begin: endedStandby(shutDown)},
		{hop: "standby", kind: "killed and started", felt: logged(cantStore), begin: endedStandby(crash)},
		{hop: "standby", kind: "killed with the primary", felt: logged(cantStore), begin: bothKilled},
		{hop: "database", kind: "address leads to the standby", felt: logged("25006"), begin: addressOfStandby},
		{hop: "database", kind: "failover", felt: logged(cantStore), begin: failover(crash, false)},
		{hop: "database", kind: "failover, and the old primary rewound", felt: logged(cantStore), begin: failover(crash, true)},
		{hop: "database", kind: "switchover", felt: logged(cantStore), begin: failover(shutDown, true)},
	}
	for _, d := range disturbances {
		faults = append(faults,
			fault{hop: "standby", kind: "cut, and " + d.what, felt: logged(cantStore), long: d.long, begin: func(w *world, r *rand.Rand) (func() error, error) {
				return w.wholeAgain, w.disturb(r, d)
			}},
			fault{hop: "database", kind: "failover after " + d.what, felt: logged(cantStore), long: d.long, begin: func(w *world, r *rand.Rand) (func() error, error) {
				if err := w.disturb(r, d); err != nil {
					return w.wholeAgain, err
				}
				return failover(crash, r.IntN(2) == 0)(w, r)
			}})
	}
	return faults
}

// wholeAgain has commits reach both servers.
func (w *world) wholeAgain() error {
	ctx, cancel := context.WithTimeout(context.Background(), replicaTimeout)
	defer cancel()
	return w.replicas.whole(ctx)
}

// linkPair breaks the link, and mends it.
func linkPair(broken func(*proxy, *rand.Rand) error) func(*world, *rand.Rand) (func() error, error) {
	return func(w *world, r *rand.Rand) (func() error, error) {
		return w.wholeAgain, broken(w.replicas.link, r)
	}
}

func endedStandby(end func(*testbed.PostgresServer) error) func(*world, *rand.Rand) (func() error, error) {
	return func(w *world, _ *rand.Rand) (func() error, error) {
		return w.wholeAgain, end(w.replicas.standby)
	}
}

// bothKilled kills both; the primary is there again before the standby is.
func bothKilled(w *world, _ *rand.Rand) (func() error, error) {
	rep := w.replicas
	return w.wholeAgain, errors.Join(rep.primary.Kill(), rep.standby.Kill(), rep.primary.Start(context.Background()))
}

// addressOfStandby has the address lead to the server that only reads.
func addressOfStandby(w *world, _ *rand.Rand) (func() error, error) {
	rep := w.replicas
	lead := func(to *testbed.PostgresServer) error {
		rep.address.lead(to.Address())
		return rep.address.heal()
	}
	return func() error { return lead(rep.primary) }, lead(rep.standby)
}

// failover promotes the standby, and makes the old primary its standby.
func failover(end func(*testbed.PostgresServer) error, rewind bool) func(*world, *rand.Rand) (func() error, error) {
	return func(w *world, _ *rand.Rand) (func() error, error) {
		ctx, cancel := context.WithTimeout(context.Background(), replicaTimeout)
		defer cancel()
		if err := w.replicas.failOver(ctx, end); err != nil {
			return nil, err
		}
		return func() error {
			ctx, cancel := context.WithTimeout(context.Background(), replicaTimeout)
			defer cancel()
			return w.replicas.rebuild(ctx, rewind)
		}, nil
	}
}

// disturbance is something that happens to COMMITs that wait for a standby which is cut
// off. PostgreSQL ends each such wait with rows that are committed on the primary alone.
type disturbance struct {
	what string
	do   func(w *world) error
	long bool
}

var disturbances = []disturbance{
	{what: "the consumers wait no longer", do: func(w *world) error { // they do so by themselves
		since := w.mark()
		for deadline := time.Now().Add(2 * shortStoreTimeout); !logged(cantStore)(w, since) && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	}, long: true},
	{what: "COMMITs are cancelled", do: cancelCommits},
	{what: "sessions that COMMIT are ended", do: endSessions},
	{what: "the primary is killed and started", do: restartPrimary},
	{what: "the primary is shut down and started", do: func(w *world) error {
		p := w.replicas.primary
		return errors.Join(shutDown(p), p.Start(context.Background()))
	}},
}

func cancelCommits(w *world) error { return w.exec("SELECT pg_cancel_backend(pid)" + waiting) }

func endSessions(w *world) error { return w.exec("SELECT pg_terminate_backend(pid)" + waiting) }

func restartPrimary(w *world) error {
	p := w.replicas.primary
	return errors.Join(p.Kill(), p.Start(context.Background()))
}

// waiting are the sessions whose COMMIT waits for the standby.
const waiting = " FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'"

// disturb cuts the standby off, and lets something happen to COMMITs that wait for it.
// It returns a moment later, when who made them may have tried again.
func (w *world) disturb(r *rand.Rand, d disturbance) error {
	w.replicas.link.cut()
	w.commitsWait(5 * time.Second) // among other faults there may be none
	since := w.mark()
	if err := d.do(w); err != nil {
		return fmt.Errorf("%s: %w", d.what, err)
	}
	again := logged(cantStore)
	for deadline := time.Now().Add(5 * time.Second); !again(w, since) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(time.Duration(200+r.IntN(800)) * time.Millisecond)
	return nil
}

// commitsWait waits until a COMMIT waits for the standby.
func (w *world) commitsWait(limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for ctx.Err() == nil {
		var n int
		if conn, err := w.postgres().Connect(ctx, "postgres"); err == nil {
			err = conn.QueryRow(ctx, "SELECT count(*)"+waiting).Scan(&n)
			_ = conn.Close(context.Background())
			if err == nil && n > 0 {
				return true
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}
