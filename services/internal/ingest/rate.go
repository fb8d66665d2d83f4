package ingest

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxBuckets is how many keys, and how many addresses, are remembered; a bucket takes
// some 250 bytes. Who comes when all are taken gets the one that was not used for the
// longest time.
const maxBuckets = 10_000

// rates limits how many events a second each client sends, by token buckets. nil
// limits nobody.
//
// A request costs one token, and its events after the first one each. The first is
// taken before the body is read. The others are known only after that, and are
// taken even if they are not there: the bucket is then in debt, and the client's next
// request waits until it is paid. So a batch may be larger than the burst, and the
// mean rate still holds.
type rates struct {
	now             func() time.Time
	keys, addresses *buckets
}

// newRates returns nil for a limit of 0.
func newRates(perSecond, burst int, now func() time.Time) *rates {
	if perSecond == 0 {
		return nil
	}
	return &rates{now, newBuckets(perSecond, burst), newBuckets(perSecond, burst)}
}

// admit takes a request's first token, or says how long it will be till there is one.
func (r *rates) admit(c client) (wait time.Duration, ok bool) {
	if r == nil {
		return 0, true
	}
	b, now := r.of(c), r.now()
	if b.AllowN(now, 1) {
		return 0, true
	}
	missing := max(0, 1-b.TokensAt(now))
	return time.Duration(missing / float64(b.Limit()) * float64(time.Second)), false
}

// charge takes the tokens of a request's other events.
func (r *rates) charge(c client, events int) {
	if r == nil {
		return
	}
	b, now := r.of(c), r.now()
	for events > 0 { // a reservation is of at most the burst
		n := min(events, b.Burst())
		b.ReserveN(now, n)
		events -= n
	}
}

func (r *rates) of(c client) *rate.Limiter {
	if c.keyName != "" {
		return r.keys.of(c.keyName)
	}
	return r.addresses.of(c.address)
}

// buckets are the last that were used, of a bounded number.
type buckets struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex // guards below
	byName map[string]*list.Element
	recent *list.List // of *bucket, the last used first
}

type bucket struct {
	name    string
	limiter *rate.Limiter
}

func newBuckets(perSecond, burst int) *buckets {
	return &buckets{limit: rate.Limit(perSecond), burst: burst, byName: make(map[string]*list.Element), recent: list.New()}
}

func (s *buckets) of(name string) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.byName[name]; ok {
		s.recent.MoveToFront(e)
		return e.Value.(*bucket).limiter //nolint:errcheck // the list has nothing else
	}
	if s.recent.Len() >= maxBuckets {
		oldest := s.recent.Remove(s.recent.Back()).(*bucket) //nolint:errcheck // the list has nothing else
		delete(s.byName, oldest.name)
	}
	b := &bucket{name, rate.NewLimiter(s.limit, s.burst)}
	s.byName[name] = s.recent.PushFront(b)
	return b.limiter
}
