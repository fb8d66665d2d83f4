package ingest

import (
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	refusalInterval = 10 * time.Second // between log lines of one kind of refusal
	noticeInterval  = time.Hour        // between log lines about one name that a client sent
	linesAMinute    = 20               // of all keys together
	maxSampledKeys  = 1000             // remembered, the last that were seen
	maxShown        = 100              // characters of a client's text in the log or an answer
)

// logSampler decides what is worth a line in the log, where clients decide how often it happens: one
// line for each key in an interval, and at most linesAMinute for all keys together.
type logSampler struct {
	now func() time.Time

	mu         sync.Mutex // guards all below
	last       *simplelru.LRU[string, time.Time]
	minute     time.Time // when the current minute began
	lines      int       // in the current minute
	suppressed int       // since the last line
}

func newLogSampler(now func() time.Time) *logSampler {
	last, err := simplelru.NewLRU[string, time.Time](maxSampledKeys, nil)
	if err != nil {
		panic(err) // maxSampledKeys is not positive
	}
	return &logSampler{now: now, last: last}
}

// allow reports whether to log now, and how many lines were kept back since the last one.
func (s *logSampler) allow(key string, interval time.Duration) (more int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.minute) >= time.Minute {
		s.minute, s.lines = now, 0
	}
	last, seen := s.last.Get(key)
	if s.lines >= linesAMinute || seen && now.Sub(last) < interval {
		s.suppressed++
		return 0, false
	}
	s.last.Add(key, now)
	s.lines++
	more, s.suppressed = s.suppressed, 0
	return more, true
}

// printable makes a client's text fit for a log line: cut to maxShown
// characters, and with escapes for what would not be visible.
func printable(s string) string {
	s = shorten(s)
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		quoted := strconv.Quote(s)
		return quoted[1 : len(quoted)-1]
	}
	return s
}

// shorten cuts s after maxShown characters, and shows that by an ellipsis.
func shorten(s string) string {
	if len(s) <= maxShown { // bytes, so characters
		return s
	}
	n := 0
	for i := range s {
		if n == maxShown {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
