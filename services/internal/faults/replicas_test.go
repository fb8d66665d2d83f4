package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// replicas are a primary and its synchronous standby, instead of the one PostgreSQL:
//
//	consumers ─▶ store ─▶ address ─▶ primary ◀─ link ◀─ standby
//
// Its methods are used by one goroutine.
type replicas struct {
	t testing.TB

	address *proxy // the database's, as an operator keeps it: leads to the primary
	link    *proxy // from the standby to the primary

	primary, standby *testbed.PostgresServer
}

// standbyName is whom commits wait for, whichever server it is.
const standbyName = "standby"

// replicaSettings are the two servers'.
var replicaSettings = []string{
	"synchronous_standby_names = '" + standbyName + "'", // at every moment: what was acked is always on both
	"wal_log_hints = on",                  // for pg_rewind
	"wal_keep_size = 512MB",               // more than is written while the link is cut
	"wal_retrieve_retry_interval = 200ms", // the link comes back often
}

// shortStoreTimeout is how long an attempt to store may take where there is a standby, to
// wait for which takes up all of it.
const shortStoreTimeout = 10 * time.Second

// replicaTimeout bounds what the servers do for a fault.
const replicaTimeout = 10 * time.Minute

// newReplicas makes them from the shared server, with what it has. It is left as it was.
func newReplicas(t testing.TB, of *testbed.PostgresServer) *replicas {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), replicaTimeout)
	defer cancel()
	server := func() *testbed.PostgresServer { return testbed.Beside(t, of, standbyName, replicaSettings...) }
	rep := &replicas{t: t, primary: server(), standby: server()}
	rep.address = newProxy(t, "address", rep.primary.Address())
	rep.link = newProxy(t, "link", rep.primary.Address())
	if err := rep.primary.Restore(ctx, of); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(rep.primary.Start(ctx), rep.rebuild(ctx, false)); err != nil {
		t.Fatal(err)
	}
	return rep
}

// rebuild makes the server that does not run the standby again.
func (rep *replicas) rebuild(ctx context.Context, rewind bool) error {
	if err := rep.link.heal(); err != nil {
		return err
	}
	if rewind {
		err := rep.standby.Rewind(ctx, rep.primary, rep.link.addr())
		if err == nil {
			return rep.whole(ctx)
		}
		rep.t.Logf("not to be rewound, so made anew: %v", err) // it asks for WAL that may be gone
	}
	if err := rep.standby.StandBy(ctx, rep.primary, rep.link.addr()); err != nil {
		return err
	}
	return rep.whole(ctx)
}

// whole heals the link, starts what does not run and waits until commits reach both.
func (rep *replicas) whole(ctx context.Context) error {
	err := errors.Join(rep.link.heal(), rep.primary.Start(ctx), rep.standby.Start(ctx))
	if err != nil {
		return err
	}
	return rep.primary.AwaitSync(ctx, standbyName)
}

// failOver has the standby take the primary's place, as an operator does it: nobody
// reaches the old primary, and it ends, before the standby becomes the new one. What was
// committed is on both, whatever became of the link: commits waited for the standby.
func (rep *replicas) failOver(ctx context.Context, end func(*testbed.PostgresServer) error) error {
	rep.address.cut()
	if err := end(rep.primary); err != nil {
		return err
	}
	rep.link.cut()
	if err := rep.standby.Promote(ctx); err != nil {
		return err
	}
	rep.primary, rep.standby = rep.standby, rep.primary
	rep.link.lead(rep.primary.Address())
	rep.address.lead(rep.primary.Address())
	return rep.address.heal()
}

// crash ends a server as a power cut does.
func crash(p *testbed.PostgresServer) error { return p.Kill() }

// shutDown ends a server in its own way: its standby gets all that it has.
func shutDown(p *testbed.PostgresServer) error { return p.Stop(context.Background()) }
