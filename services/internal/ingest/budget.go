package ingest

import "sync/atomic"

// budget counts the bytes of request bodies in memory.
type budget struct {
	limit int64
	used  atomic.Int64
}

// charge adds n bytes unless more than most would then be in use; it tells
// whether it did.
func (b *budget) charge(n, most int64) bool {
	if b.used.Add(n) > most {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) release(n int64) { b.used.Add(-n) }
