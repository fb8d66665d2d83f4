package followers

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestFollower: a follower by docs/following.md, through crashes and restores of all kinds in any
// order. After each of them, and after what was stored then, its copy equals the trail.
func TestFollower(t *testing.T) {
	first := *seed
	if first == 0 {
		first = rand.Uint64()
	}
	servers := []*testbed.Servers{testbed.PrivatePostgres(t), testbed.PrivatePostgres(t)}
	for n := range *runs {
		if !run(t, servers, first+uint64(n)) {
			return
		}
	}
}

func run(t *testing.T, servers []*testbed.Servers, seed uint64) bool {
	t.Helper()
	return t.Run("", func(t *testing.T) {
		w := &world{t: t, rand: rand.New(rand.NewPCG(seed, 0)), servers: servers}
		w.use(0, servers[0].Database(t))
		f := newFollower(t)
		defer func() {
			w.close()
			if t.Failed() {
				t.Logf("again: -followers.runs=1 -followers.seed=%d", seed)
			}
		}()
		w.ahead = func(n int) {
			for range n {
				w.store(1 + w.rand.IntN(25))
				f.follow(w.db)
			}
		}
		if servers[0].Local() && !archiving(t, servers[0]) {
			w.startArchiving()
		}
		w.store(1)
		f.follow(w.db) // the first epoch that it is told of is no fault's
		for range 4 {
			w.some(f)
			w.mark()
			w.some(f)
			faults := w.faults()
			name := slices.Sorted(maps.Keys(faults))[w.rand.IntN(len(faults))]
			if w.backup == "" && w.at == 0 && servers[0].Local() && w.rand.IntN(2) == 0 {
				name = []string{"back up", "stop, copy and start"}[w.rand.IntN(2)]
			}
			w.note("%s", strings.ToUpper(name))
			f.told = nil
			want := faults[name]()
			w.some(f)
			for len(w.open) > 0 {
				w.end()
			}
			w.store(1 + w.rand.IntN(25))
			f.caughtUp(w.db)
			if told := len(f.told) > 0; told != want {
				t.Fatalf("%s: the follower was told %q of a new epoch, want that %v", name, f.told, want)
			}
		}
	})
}

// archiving reports whether an earlier run has switched it on.
func archiving(t *testing.T, s *testbed.Servers) (on bool) {
	t.Helper()
	conn, err := s.Postgres.Connect(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('archive_mode') = 'on'").Scan(&on); err != nil {
		t.Fatal(err)
	}
	return on
}
