package admission

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

// maxBuckets is how many keys, and how many addresses, have a bucket, of some 250 bytes. When the
// table is full, the least recently used bucket is evicted.
const maxBuckets = 10_000

// Rates limits how many events a second each client sends, by token buckets. nil limits nobody.
//
// An event costs one token. The first event's is taken before the body is read. The number of the
// others is known only afterwards, and theirs are taken even if the bucket does not hold so many:
// it is then in debt, and the client's next request waits until the debt is paid. So a batch may be
// larger than the burst, and the mean rate still holds.
type Rates struct {
	now             func() time.Time
	keys, addresses *buckets
}

// NewRates returns nil for a limit of 0.
func NewRates(perSecond, burst int, now func() time.Time) *Rates {
	if perSecond == 0 {
		return nil
	}
	return &Rates{now, newBuckets(perSecond, burst), newBuckets(perSecond, burst)}
}

// Admit takes a request's first token, or returns how long it takes until there is one.
func (r *Rates) Admit(c Client) (wait time.Duration, ok bool) {
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

// Charge takes the tokens of a request's other events.
func (r *Rates) Charge(c Client, events int) {
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

func (r *Rates) of(c Client) *rate.Limiter {
	if c.KeyName != "" {
		return r.keys.of(c.KeyName)
	}
	return r.addresses.of(c.Address)
}

// buckets are those of the clients that were there last, up to maxBuckets.
type buckets struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex // guards below
	byName *simplelru.LRU[string, *rate.Limiter]
}

func newBuckets(perSecond, burst int) *buckets {
	byName, err := simplelru.NewLRU[string, *rate.Limiter](maxBuckets, nil)
	if err != nil {
		panic(err) // maxBuckets is not positive
	}
	return &buckets{limit: rate.Limit(perSecond), burst: burst, byName: byName}
}

func (s *buckets) of(name string) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limiter, ok := s.byName.Get(name); ok {
		return limiter
	}
	limiter := rate.NewLimiter(s.limit, s.burst)
	s.byName.Add(name, limiter)
	return limiter
}
