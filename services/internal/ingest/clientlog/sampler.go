package clientlog

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// LinesAMinute is how many lines a Sampler lets pass in a minute, of all keys together.
	LinesAMinute = 20
	// maxKeys is how many keys are remembered, those that were seen last.
	maxKeys = 1000
)

// Sampler decides what is worth a line in the log, where clients decide how often it happens: one
// line for each key in an interval, and at most LinesAMinute for all keys together.
type Sampler struct {
	now func() time.Time

	mu         sync.Mutex // guards all below
	last       *simplelru.LRU[string, time.Time]
	minute     time.Time // when the current minute began
	lines      int       // in the current minute
	suppressed int       // since the last line
}

// NewSampler returns a Sampler by the given clock.
func NewSampler(now func() time.Time) *Sampler {
	last, err := simplelru.NewLRU[string, time.Time](maxKeys, nil)
	if err != nil {
		panic(err) // maxKeys is not positive
	}
	return &Sampler{now: now, last: last}
}

// Allow reports whether to log now, and how many lines were kept back since the last one.
func (s *Sampler) Allow(key string, interval time.Duration) (more int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if now.Sub(s.minute) >= time.Minute {
		s.minute, s.lines = now, 0
	}
	last, seen := s.last.Get(key)
	if s.lines >= LinesAMinute || seen && now.Sub(last) < interval {
		s.suppressed++
		return 0, false
	}
	s.last.Add(key, now)
	s.lines++
	more, s.suppressed = s.suppressed, 0
	return more, true
}
