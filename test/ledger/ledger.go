package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Ledger is what a client sent and what it was told. It is safe for concurrent
// use.
type Ledger struct {
	Run string // is in the payload of all its events, so that they are found among others

	mu         sync.Mutex
	records    []record       // by number
	accepted   int            // of them
	answers    map[string]int // by status, or "no answer"
	complaints []string       // answers that are none of those promised; the first few
	last       time.Time      // when the last 202 came
	gap        time.Duration  // longest time between two 202s
}

// record is an event and what is known of it.
type record struct {
	Event
	accepted bool // else it may be stored or not
}

// New returns an empty ledger.
func New() *Ledger {
	return &Ledger{Run: uuid.NewString(), answers: make(map[string]int)}
}

// Send notes the next events, which are about to be sent for the first time.
func (l *Ledger) Send(n int) (numbers []int, events []Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		e := event(l.Run, len(l.records))
		numbers, events = append(numbers, len(l.records)), append(events, e)
		l.records = append(l.records, record{Event: e})
	}
	return numbers, events
}

// SendReusing notes an event whose id is another event's: a client's mistake.
func (l *Ledger) SendReusing(of int) (number int, e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e = event(l.Run, len(l.records))
	e.ID = l.records[of].ID
	l.records = append(l.records, record{Event: e})
	return len(l.records) - 1, e
}

// Accept notes that events were accepted.
func (l *Ledger) Accept(numbers []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range numbers {
		if !l.records[n].accepted {
			l.records[n].accepted = true
			l.accepted++
		}
	}
	now := time.Now()
	if !l.last.IsZero() {
		l.gap = max(l.gap, now.Sub(l.last))
	}
	l.last = now
}

// Answered counts an answer. complaint is "" unless no such answer was promised.
func (l *Ledger) Answered(status, complaint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers[status]++
	if complaint != "" && len(l.complaints) < 10 {
		l.complaints = append(l.complaints, complaint)
	}
}

// Accepted is the number of events that were accepted until now.
func (l *Ledger) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// Answers is how often a status was answered until now; "no answer" is one.
func (l *Ledger) Answers(status string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[status]
}

// Gap is the longest time between two answers of 202.
func (l *Ledger) Gap() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gap
}

// Summary tells in a line what the client was told.
func (l *Ledger) Summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(l.answers)) {
		parts = append(parts, fmt.Sprintf("%s: %d", status, l.answers[status]))
	}
	return fmt.Sprintf("%d events sent, %d accepted; answers: %s; longest time without a 202: %s",
		len(l.records), l.accepted, strings.Join(parts, ", "), l.gap.Round(time.Millisecond))
}
