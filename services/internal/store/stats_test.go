package store

import (
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

func TestDatabaseStats(t *testing.T) {
	db := testbed.Postgres(t)
	owner := db.Connect(t, db.Owner)
	cfg := config(db, db.Writer)
	this := monthStart(time.Now())

	check := func(months int) {
		t.Helper()
		v, err := ReadDatabaseStats(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if want := this.AddDate(0, months, 0); !v.PartitionsEnd.Equal(want) {
			t.Errorf("partitions end %s, want %s", v.PartitionsEnd, want)
		}
		if v.Size < 1<<20 {
			t.Errorf("the database has %d bytes", v.Size)
		}
	}
	check(4) // this month and three ahead
	exec(t, owner, "DROP TABLE "+partitionName(this.AddDate(0, 2, 0)))
	check(2) // the one behind the gap does not count
	exec(t, owner, "DROP TABLE "+partitionName(this))
	check(0) // the end is in the past
}

func TestPartitionsEnd(t *testing.T) {
	month := func(m time.Month) time.Time { return time.Date(2026, m, 1, 0, 0, 0, 0, time.UTC) }
	spans := func(months ...time.Month) (list []timeSpan) {
		for _, m := range months {
			list = append(list, timeSpan{month(m), month(m + 1)})
		}
		return list
	}
	now := month(5).AddDate(0, 0, 9)
	for _, c := range []struct {
		spans []timeSpan
		want  time.Time
	}{
		{nil, time.Time{}},
		{spans(4, 5, 6, 7), month(8)},
		{spans(1, 5, 7), month(6)},
		{spans(3, 4, 6), month(5)}, // there until this month began, and then again
		{spans(1, 3, 7, 8), month(4)},
		{spans(6, 7), time.Time{}},
		{spans(5), month(6)},
	} {
		if got := endOfPartitions(c.spans, now); !got.Equal(c.want) {
			t.Errorf("%v: %s, want %s", c.spans, got, c.want)
		}
	}
}
