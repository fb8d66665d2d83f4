package columns

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/event"
)

func someEvents(n int) []event.Event {
	events := make([]event.Event, n)
	for i := range events {
		now := time.Now()
		events[i] = event.Event{ID: uuid.Must(uuid.NewV7()), SessionID: 1, Type: "user_action", Timestamp: now, ReceivedAt: now, Payload: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	return events
}

func TestCopyRowsInPieces(t *testing.T) {
	events := someEvents(5)
	events[1].Username = "alice"
	events[2].Payload = []byte("{}")
	which := []int{0, 1, 2, 3, 4}
	whole, err := io.ReadAll(NewCopy(events, which))
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := io.ReadAll(iotest.OneByteReader(NewCopy(events, which)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(whole, pieces) {
		t.Error("the same rows, read byte by byte, differ")
	}
	if err := iotest.TestReader(NewCopy(events, which), whole); err != nil {
		t.Error(err)
	}
}

func BenchmarkCopyRows(b *testing.B) {
	events := someEvents(1000)
	which := make([]int, len(events))
	for i := range which {
		which[i] = i
	}
	for b.Loop() {
		if _, err := io.Copy(io.Discard, NewCopy(events, which)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "rows/s")
}
