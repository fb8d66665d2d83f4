package store

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// model is what the trail has, by the rules alone.
type model struct {
	rows map[uuid.UUID]event.Event
	keys map[[event.EventKeyBytes]byte]uuid.UUID
}

// outcome is that of an event whose id or key has the row; timed says that its time counts.
func (*model) outcome(e, row event.Event, timed bool) Outcome {
	a, b := sourceName(e), sourceName(row)
	payload := func(e event.Event) string {
		if e.Source != nil && string(e.Payload) == `{"n":1,"unsigned":2}` {
			return `{"n":1}`
		}
		return string(e.Payload)
	}
	same := a == b && e.SessionID == row.SessionID && e.Type == row.Type && payload(e) == payload(row) && (!timed || e.Timestamp.Equal(row.Timestamp))
	if same || e.Source != nil && e.Source.NaturalIDIsBytes && a == b {
		return Duplicate
	}
	return Reused
}

func sourceName(e event.Event) string {
	if e.Source == nil {
		return ""
	}
	return e.Source.Name
}

// byTail is the row of a key whose record has the id of an event as its own time's; nil where there
// is none.
func (m *model) byTail(e event.Event) *event.Event {
	for _, id := range m.keys {
		if row, there := m.rows[id]; there && id != e.ID && [10]byte(id[6:]) == [10]byte(e.ID[6:]) {
			return &row
		}
	}
	return nil
}

// store returns what becomes of a batch, and does it.
func (m *model) store(events []event.Event) []Outcome {
	outcomes := make([]Outcome, len(events))
	refused := map[int]bool{}
	for {
		again, rows, keys := m.try(events, outcomes, refused)
		if !again {
			maps.Copy(m.rows, rows)
			maps.Copy(m.keys, keys)
			return outcomes
		}
	}
}

// try is one transaction. It is done again without the events that have a new key and another
// event's id.
func (m *model) try(events []event.Event, outcomes []Outcome, refused map[int]bool) (again bool, rows map[uuid.UUID]event.Event, keys map[[event.EventKeyBytes]byte]uuid.UUID) {
	rows, keys = map[uuid.UUID]event.Event{}, map[[event.EventKeyBytes]byte]uuid.UUID{}
	groups, settled := map[[event.EventKeyBytes]byte][]int{}, map[int]bool{}
	var rest []int
	for i, e := range events {
		switch {
		case refused[i]:
		case e.Source != nil && e.Source.EventKey == nil && m.byTail(e) != nil:
			outcomes[i] = m.outcome(e, *m.byTail(e), false)
			settled[i] = true
		case e.Source != nil && e.Source.EventKey != nil:
			key := [event.EventKeyBytes]byte(e.Source.EventKey)
			groups[key] = append(groups[key], i)
		default:
			rest = append(rest, i)
		}
	}
	repeatsOf, added := map[int][]int{}, map[int]bool{}
	for key, group := range groups {
		own := events[group[0]].OwnTimeID()
		row, there := m.rows[own]
		if !there {
			if id, known := m.keys[key]; known {
				row, there = m.rows[id], true
			}
			// The record's own time comes before its key.
			first := slices.IndexFunc(events, func(e event.Event) bool {
				return e.ID == own && e.Source != nil && e.Source.EventKey == nil
			})
			if first >= 0 && !settled[first] {
				repeatsOf[first] = append(repeatsOf[first], group...)
				continue
			}
		}
		if there {
			for _, i := range group {
				outcomes[i] = m.outcome(events[i], row, false)
			}
			continue
		}
		keys[key], added[group[0]] = events[group[0]].ID, true
		rest = append(rest, group[0])
		repeatsOf[group[0]] = group[1:]
	}
	slices.Sort(rest)
	for _, i := range rest {
		e := events[i]
		row, there := m.rows[e.ID]
		if !there {
			row, there = rows[e.ID]
		}
		if there {
			outcomes[i] = m.outcome(e, row, true)
			continue
		}
		rows[e.ID], outcomes[i] = e, Stored
	}
	for i := range added {
		if outcomes[i] == Reused {
			refused[i], again = true, true
		}
	}
	for first, group := range repeatsOf {
		row, there := m.rows[events[first].ID]
		if !there {
			row = rows[events[first].ID]
		}
		for _, i := range group {
			outcomes[i] = m.outcome(events[i], row, false)
		}
	}
	return again, rows, keys
}

// TestKeysAgainstTheRules stores random batches of few ids, keys and contents, and compares each
// outcome with what the rules say.
func TestKeysAgainstTheRules(t *testing.T) {
	db := testbed.Postgres(t)
	w, reader := newWriter(t, db), db.Connect(t, db.Reader)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	old := time.Now().UTC().Add(-40 * 24 * time.Hour).Truncate(time.Microsecond)
	seen := map[Outcome]int{}
	for range 40 { // trails, of which each begins empty for the ids and keys that it knows
		m := model{rows: map[uuid.UUID]event.Event{}, keys: map[[event.EventKeyBytes]byte]uuid.UUID{}}
		var keys [3][sha256.Size]byte
		var ids []uuid.UUID
		foreign := []uuid.UUID{uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())}
		for n := range keys {
			keys[n] = sha256.Sum256([]byte(uuid.NewString()))
			for range 2 {
				ids = append(ids, recordID(time.Now().Add(-time.Duration(random.IntN(1e6))*time.Millisecond), keys[n][:]))
			}
		}
		for range 12 {
			events := make([]event.Event, 1+random.IntN(6))
			for i := range events {
				n := random.IntN(len(keys))
				e := event.Event{Type: "log", Timestamp: old, ReceivedAt: time.Now().UTC().Truncate(time.Microsecond),
					Payload: []byte([]string{`{"n":1}`, `{"n":1}`, `{"n":1,"unsigned":2}`, `{"n":2}`}[random.IntN(4)])}
				switch random.IntN(4) {
				case 0: // of POST /log's
					e.SessionID, e.ID = 1, foreign[random.IntN(len(foreign))]
				case 1: // of its own time
					e.Source = &event.Source{Name: "in/a", EventKey: keys[n][:]}
					e.ID = e.OwnTimeID()
					e.Source.EventKey = nil
				default:
					e.Source = &event.Source{Name: fmt.Sprintf("in/%c", 'a'+random.IntN(8)/7), EventKey: keys[n][:]}
					e.ID = ids[2*n+random.IntN(2)]
					if random.IntN(8) == 0 {
						e.ID = foreign[random.IntN(len(foreign))]
					}
				}
				if e.Source != nil {
					e.Source.NaturalIDIsBytes = random.IntN(5) == 0
				}
				events[i] = e
			}
			want := m.store(events)
			got := store(t, w, random.IntN(2) == 0, events...)
			if !slices.Equal(got, want) {
				for i, e := range events {
					t.Logf("%d: id %s key %v %+v session %d payload %s: %v, want %v", i, e.ID, e.Source != nil && e.Source.EventKey != nil, e.Source, e.SessionID, e.Payload, got[i], want[i])
				}
				t.Fatal("outcomes that the rules don't have")
			}
			for _, o := range got {
				seen[o]++
			}
		}
		for id, e := range m.rows {
			if n := value[int](t, reader, "SELECT count(*) FROM log_events WHERE event_id = $1 AND payload = $2::text::jsonb", id, string(e.Payload)); n != 1 {
				t.Fatalf("%d rows of %s as it was stored first", n, id)
			}
		}
	}
	if n := value[int](t, reader, "SELECT count(*) FROM event_keys k WHERE NOT EXISTS (SELECT FROM log_events e WHERE e.event_id = k.event_id)"); n != 0 {
		t.Errorf("%d keys without an event", n)
	}
	t.Logf("outcomes: %v", seen)
	for _, o := range []Outcome{Stored, Duplicate, Reused} {
		if seen[o] < 100 {
			t.Errorf("%v only %d times: this test does not test what it says", o, seen[o])
		}
	}
}
