package drain

import "github.com/trailpost/trailpost/services/internal/event"

// eventBuffers are a pipeline's slices of events, which it uses again so that a batch needs no
// memory of its own. This is who may use them, and until when:
//
//   - message holds the events of the message that was read last. They are valid until the next one
//     is read: [batch.add] copies them into the batch before that. (A message that is carried over
//     to the next batch is added before another is read.)
//   - batch is for the events of the next batch. A batch has its slice to itself from its first
//     message to its ack. [pipeline.awaitAndAck] then gives it back. Meanwhile the next batch is
//     collected into another: at most two exist.
//
// An event's strings and payload are not copied: they refer to the body of its message, which lives
// as long as they do.
type eventBuffers struct {
	message []event.Event
	batch   []event.Event
}

// takeBatch returns the memory for a batch's events; nil if there is none that is free.
func (b *eventBuffers) takeBatch() []event.Event {
	events := b.batch
	b.batch = nil
	return events
}

// giveBackBatch takes back the memory of a batch that is acked.
func (b *eventBuffers) giveBackBatch(events []event.Event) {
	clear(events) // releases the messages' bodies
	b.batch = events[:0]
}
