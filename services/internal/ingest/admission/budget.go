package admission

import "sync/atomic"

// Budget counts the bytes of request bodies in memory.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Limit returns the most bytes that may be in use.
func (b *Budget) Limit() int64 { return b.limit }

// Used returns how many bytes are in use now.
func (b *Budget) Used() int64 { return b.used.Load() }

// Charge adds n bytes, unless more than most would then be in use; it reports whether it did.
func (b *Budget) Charge(n, most int64) bool {
	if b.used.Add(n) > most {
		b.used.Add(-n)
		return false
	}
	return true
}

// Release gives n bytes back.
func (b *Budget) Release(n int64) { b.used.Add(-n) }
