package followers

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestPromotion: a standby that lacks the last events takes over. Its epoch is another one at once,
// though it was not restarted, and the follower drops what is lost.
func TestPromotion(t *testing.T) {
	w := &world{t: t, rand: rand.New(rand.NewPCG(1, 1)), servers: []*testbed.Servers{testbed.PrivatePostgres(t)}}
	if !w.servers[0].Local() {
		// make test has them; those of make test-new are in containers.
		t.Skip("a standby needs servers from packages")
	}
	primary := w.servers[0].Postgres
	w.use(0, w.servers[0].Database(t))
	defer func() { w.leave() }()
	f := newFollower(t)
	w.store(5)
	w.noteHorizon()

	standby := testbed.Beside(t, primary, "standby")
	w.must(standby.StandBy(t.Context(), primary, primary.Address()))
	w.must(standby.Start(t.Context()))
	there := w.db.On(standby)
	before, admin := there.Connect(t, there.Reader), there.Connect(t, there.Admin)
	if _, err := before.Exec(t.Context(), "SELECT trail_resume(NULL)"); err == nil || !strings.Contains(err.Error(), "recovery is in progress") {
		t.Errorf("following a standby: %v", err)
	}
	w.store(5)
	f.caughtUp(w.db)
	f.told = nil
	want := trail(t, w.db)
	for deadline := time.Now().Add(time.Minute); trail(t, there) != want; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the standby does not follow the primary")
		}
	}
	w.must(standby.Exec(t.Context(), "postgres", "ALTER SYSTEM SET primary_conninfo = ''"))
	w.must(standby.Exec(t.Context(), "postgres", "SELECT pg_reload_conf()"))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var receivers int
		w.must(admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walreceiver'").Scan(&receivers))
		if receivers == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the standby still receives")
		}
	}
	w.store(20)
	f.caughtUp(w.db)
	if len(f.told) > 0 {
		t.Errorf("told %q before anything has happened", f.told)
	}

	w.must(primary.Kill())
	w.must(standby.Promote(t.Context()))
	var timeline string
	w.must(before.QueryRow(t.Context(), "SELECT split_part(epoch, '/', 2) FROM trail_resume(NULL)").Scan(&timeline)) // by the same connection
	if timeline != "00000002" {
		t.Errorf("the timeline is %s, want 00000002 at once", timeline)
	}
	w.use(0, there)
	f.caughtUp(w.db)
	if len(f.told) != 1 || strings.HasSuffix(f.told[0], "tx 0") || f.copied() != want {
		t.Errorf("told %q, has\n%s", f.told, brief(f.copied()))
	}
	w.store(7)
	f.caughtUp(w.db)
}
