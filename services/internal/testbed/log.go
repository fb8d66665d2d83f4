package testbed

import (
	"sync"
	"testing"

	"github.com/trailpost/trailpost/services/internal/devservers"
)

// logger is a server that logs.
type logger interface {
	Mark() devservers.Mark
	LogSince(devservers.Mark, int) string
}

// shown are the tests, and servers' names, that showLog has seen.
var shown sync.Map

// showLog has a failing test print, once, what the server logged since now.
func showLog(t testing.TB, name string, s logger) {
	key := struct {
		t    testing.TB
		name string
	}{t, name}
	if _, again := shown.LoadOrStore(key, true); again {
		return
	}
	mark := s.Mark()
	t.Cleanup(func() {
		shown.Delete(key)
		if !t.Failed() {
			return
		}
		if text := s.LogSince(mark, 40); text != "" {
			t.Logf("the end of what %s logged during this test:\n%s", name, text)
		}
	})
}
