package followers

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestAwayForTenMinutesAndTwoEpochs: a follower that misses ten notes of the horizon and two epochs
// goes back to the first of them that it has not seen, not to the last; one that comes from an
// epoch that the trail never had begins again.
func TestAwayForTenMinutesAndTwoEpochs(t *testing.T) {
	w := &world{t: t, rand: rand.New(rand.NewPCG(1, 1)), servers: []*testbed.Servers{testbed.PrivatePostgres(t)}}
	w.use(0, w.servers[0].Database(t))
	defer w.leave()
	f := newFollower(t)

	local := w.servers[0].Local()
	if local {
		w.startArchiving()
	}
	w.store(5)
	w.noteHorizon()
	f.caughtUp(w.db)
	if local {
		w.backUp(false)
	}
	w.store(5)
	if local {
		w.mark()
	}
	w.store(20) // the follower has them, and the server soon won't
	f.caughtUp(w.db)
	ahead := f.copied()

	// The first epoch it misses: the server as it was at the mark, whose next transactions have the
	// ids of those that the follower has.
	if local {
		w.restore(true)
	} else {
		w.must(w.servers[0].Postgres.Kill())
		w.start()
	}
	for range 10 {
		w.store(7)
		w.noteHorizon()
	}
	// And the second one.
	w.must(w.servers[0].Postgres.Kill())
	w.start()
	for range 3 {
		w.store(3)
		w.noteHorizon()
	}
	f.told = nil
	f.caughtUp(w.db)
	if len(f.told) != 1 {
		t.Errorf("told %q, want one new epoch", f.told)
	}
	// It has kept what is below: not all was read again.
	kept := strings.SplitAfter(ahead, "\n")[:5]
	if !strings.HasPrefix(f.copied(), strings.Join(kept, "")) || strings.HasSuffix(f.told[0], "tx 0") {
		t.Errorf("told %q: it has read everything again", f.told)
	}

	cursor := filepath.Join(f.folder, "cursor")
	text, err := os.ReadFile(cursor)
	w.must(err)
	w.must(os.WriteFile(cursor, []byte("another/epoch "+strings.SplitN(string(text), " ", 2)[1]), 0o600))
	w.store(1)
	f.told = nil
	f.caughtUp(w.db)
	if len(f.told) != 1 || !strings.HasSuffix(f.told[0], "tx 0") {
		t.Errorf("told %q, want to begin anew", f.told)
	}
}

// TestFewAtATime: a batch whose events have one tx is read whole, each event once, by pages that
// are smaller than it.
func TestFewAtATime(t *testing.T) {
	w := &world{t: t, rand: rand.New(rand.NewPCG(1, 1))}
	w.use(0, testbed.Postgres(t))
	defer w.leave()
	f := newFollower(t)
	f.page = 5
	w.store(60)
	w.store(1)
	f.caughtUp(w.db)

	// By the statement alone it is quicker: 1,000 of them, 5 at a time.
	w.store(1000)
	reader := w.db.Connect(t, w.db.Reader)
	var all, pages int
	var tx int64
	id := "00000000-0000-0000-0000-000000000000"
	w.must(reader.QueryRow(t.Context(), "SELECT max(tx) FROM log_events").Scan(&tx))
	for {
		n, last := 0, id
		list, err := reader.Query(t.Context(), page, tx, id, int64(1), int64(1<<62), 5)
		w.must(err)
		for list.Next() {
			w.must(list.Scan(&tx, &last))
			n++
		}
		w.must(list.Err())
		if n == 0 {
			break
		}
		if last <= id {
			t.Fatalf("%s comes after %s", last, id)
		}
		id, all, pages = last, all+n, pages+1
	}
	if all != 1000 || pages != 200 {
		t.Errorf("read %d events in %d pages, want 1000 in 200", all, pages)
	}
}

// page is docs/following.md's, with the cursor, the width, the horizon and the limit as parameters.
const page = `SELECT tx, event_id::text FROM log_events
	WHERE tx >= $1 AND tx < least($1 + $3, $4::bigint) AND (tx, event_id) > ($1, $2)
	ORDER BY tx, event_id LIMIT $5`
