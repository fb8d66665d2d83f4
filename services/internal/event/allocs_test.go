package event

import (
	"fmt"
	"testing"
	"time"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

const typicalEvent = `{"session_id":42,"event_type":"llm_query","payload":{"model":"gpt-4","prompt_tokens":1532,"cached":false}}`

// typicalWire is typicalEvent as the producer puts it on the queue.
func typicalWire(tb testing.TB) []byte {
	tb.Helper()
	e, _, err := new(Parser).Parse([]byte(typicalEvent), Origin{})
	if err != nil {
		tb.Fatal(err)
	}
	return AppendWire(nil, &e)
}

// What an event costs in allocations, which the garbage collector pays for at every one. A change
// that needs more should know it.
func TestAllocations(t *testing.T) {
	body, wire, now := []byte(typicalEvent), typicalWire(t), time.Now()
	parser := new(Parser)
	e, _, err := parser.Parse(body, Origin{})
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0, 1024)
	for _, c := range []struct {
		name string
		most int
		do   func()
	}{
		{"Parse", 2, func() { _, _, err = parser.Parse(body, Origin{}) }},
		{"ParseWire", 1, func() { _, err = ParseWire(wire, now) }},
		{"AppendWire", 0, func() { buf = AppendWire(buf[:0], &e) }},
	} {
		if n := testbed.Allocations(c.do); n > c.most || err != nil {
			t.Errorf("%s: %d allocations, want at most %d; %v", c.name, n, c.most, err)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	body, parser := []byte(typicalEvent), new(Parser)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parser.Parse(body, Origin{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseWire(b *testing.B) {
	wire, now := typicalWire(b), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseWire(wire, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseLines(b *testing.B) {
	var body []byte
	for range 1000 {
		body = fmt.Appendln(body, typicalEvent)
	}
	parser := new(Parser)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := parser.ParseLines(body, Origin{}); err != nil {
			b.Fatal(err)
		}
	}
}
