package consume

import "time"

// Bounds of the prefetch of a worker, messages. RabbitMQ's documents cap it at 2,000 for quorum
// queues.
const (
	minPrefetch     = 4
	maxPrefetch     = 2000
	initialPrefetch = 64
)

// prefetch follows the sizes of messages, so that a worker has its next batch at hand, and not much
// more.
type prefetch struct {
	messages         int       // as set
	setAt            time.Time // when it was last set
	seen             int       // messages
	eventsPerMessage float64   // moving mean
}

// observe takes note of the events of a message.
func (p *prefetch) observe(events int) {
	p.seen++
	p.eventsPerMessage += (float64(max(events, 1)) - p.eventsPerMessage) / float64(min(p.seen, 64))
}

// want returns the prefetch for batches of that many events; far is false while it need not be set,
// since it is about right, little is known yet, or it was set just now.
func (p *prefetch) want(batch int, now time.Time) (messages int, far bool) {
	if p.seen < 16 || now.Sub(p.setAt) < time.Second {
		return 0, false
	}
	messages = min(max(int(2*float64(batch)/p.eventsPerMessage), minPrefetch), maxPrefetch)
	return messages, messages >= 2*p.messages || 3*messages <= p.messages
}
