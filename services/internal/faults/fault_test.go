package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fault is one way to break one hop.
type fault struct {
	hop, kind string

	// begin breaks something, and returns what mends it. r decides what is left to
	// chance.
	begin func(w *world, r *rand.Rand) (end func() error, err error)

	// felt reports whether somebody noticed since the mark: the fault alone lasts until
	// then, and half a second. nil: nobody need notice, and it lasts a second.
	felt func(w *world, since mark) bool

	// needs returns why the fault can't be had here, "" if it can; nil: everywhere.
	needs func(w *world) string

	long  bool // takes more than ten seconds: stays out of short schedules
	alone bool // destroys what the broker holds, and stays out of all schedules
}

func (f *fault) String() string { return f.hop + "/" + f.kind }

// mark is a moment, by what was said until then.
type mark struct {
	refused, silent int
	logs            []int
}

func (w *world) mark() mark {
	m := mark{refused: w.client.Answers("503"), silent: w.client.Answers("no answer")}
	for _, c := range w.children() {
		m.logs = append(m.logs, c.log.mark())
	}
	return m
}

// refused: a client was told 503.
func refused(w *world, since mark) bool { return w.client.Answers("503") > since.refused }

// unanswered: a client was told nothing.
func unanswered(w *world, since mark) bool { return w.client.Answers("no answer") > since.silent }

// disturbed: a client was told 503, or nothing.
func disturbed(w *world, since mark) bool { return refused(w, since) || unanswered(w, since) }

// logged: some service's log has one of the words.
func logged(words ...string) func(*world, mark) bool {
	return func(w *world, since mark) bool {
		for i, c := range w.children() {
			text := c.log.since(since.logs[i])
			for _, word := range words {
				if strings.Contains(text, word) {
					return true
				}
			}
		}
		return false
	}
}

// Words of the consumers' log.
const (
	cantStore   = "can't store"
	sessionLost = "broker session lost"
)

// alone is every fault of one PostgreSQL.
func alone() (faults []fault) {
	faults = append(faults, networkFaults()...)
	faults = append(faults, requestFaults()...)
	faults = append(faults, brokerFaults()...)
	faults = append(faults, databaseFaults()...)
	return append(faults, processFaults()...)
}

// aProcess: the fault signals the server's own process.
func aProcess(w *world) string {
	if !w.servers.Local() {
		return "the servers are containers"
	}
	return ""
}

// aDisk: the fault makes a file system for the server.
func aDisk(w *world) string {
	switch {
	case os.Geteuid() != 0:
		return "only root may mount a file system"
	case w.replicas != nil:
		return "the standby would have its files on it as well"
	}
	return aProcess(w)
}

// only reports whether -faults.only allows a fault.
func only(f *fault) bool {
	found, err := regexp.MatchString(*onlyFlag, f.String())
	if err != nil {
		panic(err) // the flag is no regular expression
	}
	return found
}

// possible reports whether a fault can be had, and says why not.
func (w *world) possible(f *fault) bool {
	if f.needs == nil {
		return true
	}
	reason := f.needs(w)
	if reason != "" {
		w.t.Logf("not here: %s: %s", f, reason)
	}
	return reason == ""
}

// hold keeps a fault until it was felt.
func (w *world) hold(f *fault, since mark) error {
	time.Sleep(time.Second / 2) // the least that is asked for
	if f.felt == nil {
		time.Sleep(time.Second / 2)
		return nil
	}
	deadline := time.Now().Add(patience)
	for !f.felt(w, since) {
		if time.Now().After(deadline) {
			return fmt.Errorf("nobody felt %s within %s", f, patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// At least 40 faults, and no name twice.
func TestEachFaultHasAName(t *testing.T) {
	names := make(map[string]bool)
	for _, f := range append(alone(), standbyFaults()...) {
		if names[f.String()] {
			t.Errorf("%s is there twice", &f)
		}
		names[f.String()] = true
	}
	if len(names) < 40 {
		t.Errorf("%d faults", len(names))
	}
	t.Logf("%d faults", len(names))
}
