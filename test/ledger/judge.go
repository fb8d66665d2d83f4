package ledger

import (
	"fmt"
	"strings"
)

// Verdict is what a comparison found. The sums are events.
type Verdict struct {
	Sent         int
	Accepted     int
	Stored       int // rows of events that were sent
	DeadLettered int // events with a dead letter and no row

	Lost    int // accepted, and neither a row nor a dead letter
	Altered int // rows or dead letters that differ from what was sent
	Twice   int // rows too many; also events that are a row and a dead letter
	Foreign int // rows and dead letters of events that were never sent

	// Faults tells of the first few of each in words, and of answers that no client
	// should get.
	Faults []string
}

// Clean reports whether nothing was found.
func (v *Verdict) Clean() bool { return len(v.Faults) == 0 }

// String is the verdict in a line.
func (v *Verdict) String() string {
	return fmt.Sprintf("%d sent, %d accepted, %d stored, %d dead-lettered, %d lost, %d altered, %d twice, %d foreign",
		v.Sent, v.Accepted, v.Stored, v.DeadLettered, v.Lost, v.Altered, v.Twice, v.Foreign)
}

// mostWords is how many faults of a kind are told in words.
const mostWords = 5

func (v *Verdict) fault(count *int, format string, args ...any) {
	if *count++; *count <= mostWords {
		v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
	}
}

// byLimit is the reason of a letter that the broker's own delivery limit wrote. It may
// come after the event's commit, when the ack was lost too often.
const byLimit = "delivery_limit"

// Judge compares the ledger with the rows of its run and the dead letters. All of
// both must be given: what is not there is lost.
func (l *Ledger) Judge(rows []Event, letters []Letter) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := Verdict{Sent: len(l.records), Accepted: l.accepted, Faults: append([]string(nil), l.complaints...)}
	stored, dead := make([]int, len(l.records)), make([]int, len(l.records))
	for i := range rows {
		if n, ok := l.find(&rows[i], "row", &v); ok {
			stored[n]++
		}
	}
	for i := range letters {
		if n, ok := l.find(&letters[i].Event, "dead letter ("+letters[i].Reason+")", &v); ok {
			dead[n]++
			if stored[n] > 0 && letters[i].Reason != byLimit {
				v.fault(&v.Twice, "event %d (%s) is stored, and a dead letter too: %s", n, letters[i].ID, letters[i].Reason)
			}
		}
	}
	for n := range l.records {
		switch {
		case stored[n] > 0:
			v.Stored++
			if stored[n] > 1 {
				v.fault(&v.Twice, "event %d (%s) is stored %d times", n, l.records[n].ID, stored[n])
			}
		case dead[n] > 0:
			v.DeadLettered++
		case l.records[n].accepted:
			v.fault(&v.Lost, "event %d (%s) was accepted, and is neither stored nor a dead letter", n, l.records[n].ID)
		}
	}
	return v
}

// find returns which of the ledger's events e is, and compares the two. l.mu is held.
func (l *Ledger) find(e *Event, what string, v *Verdict) (n int, ok bool) {
	run, n, ok := owner(e.Payload)
	if !ok || run != l.Run || n < 0 || n >= len(l.records) {
		v.fault(&v.Foreign, "a %s that was never sent: %s %.200s", what, e.ID, e.Payload)
		return 0, false
	}
	if differing := differences(&l.records[n].Event, e); len(differing) > 0 {
		v.fault(&v.Altered, "the %s of event %d (%s) differs from what was sent in %s", what, n, l.records[n].ID, strings.Join(differing, ", "))
	}
	return n, true
}

// differences names the fields in which two events differ.
func differences(sent, found *Event) (names []string) {
	for _, f := range []struct {
		name string
		same bool
	}{
		{"event_id", sent.ID == found.ID},
		{"session_id", sent.SessionID == found.SessionID},
		{"event_type", sent.Type == found.Type},
		{"username", sent.Username == found.Username},
		{"timestamp", sent.Timestamp.Equal(found.Timestamp)},
		{"payload", equalJSON(sent.Payload, found.Payload)},
	} {
		if !f.same {
			names = append(names, f.name)
		}
	}
	return names
}
