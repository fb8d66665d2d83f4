package event

import (
	"testing"
	"testing/quick"
	"time"
)

// AppendTime writes what the standard library's own layouts do.
func TestAppendTime(t *testing.T) {
	first := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()
	same := func(seconds uint64, nanoseconds uint32) bool {
		at := time.Unix(first+int64(seconds%uint64(last-first+1)), int64(nanoseconds%1_000_000_000)).UTC()
		return string(AppendTime(nil, at, "Z")) == at.Format("2006-01-02T15:04:05.000000Z07:00") &&
			string(AppendTime([]byte("at "), at, pythonUTC)) == "at "+at.Format("2006-01-02T15:04:05.000000-07:00")
	}
	if err := quick.Check(same, &quick.Config{MaxCount: 10_000}); err != nil {
		t.Error(err)
	}
}
