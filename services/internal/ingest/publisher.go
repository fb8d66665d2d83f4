package ingest

import (
	"context"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/event"
)

// Publisher puts events on the queue. A nil error promises that the broker has
// confirmed every event, durably; only then is a client told 202.
//
// An error that is [broker.ErrUnavailable] promises that nothing was published.
// Any other says that events may be on the queue or not, and the client gets
// their ids, since a retry with the same ids is safe. There is one of either kind
// as soon as ctx ends, or [Config.RequestTimeout] is over.
type Publisher interface {
	Publish(ctx context.Context, e *event.Event) error
	PublishBatch(ctx context.Context, events []event.Event) error
	// Ready is nil if an event could be published now. It answers from memory.
	Ready() error
	// Refused is why an event would be refused though it could be published: the queue is full. It answers from memory.
	Refused() error
	// QueueStatus asks the broker about the queue.
	QueueStatus(ctx context.Context) (broker.QueueStatus, error)
}
