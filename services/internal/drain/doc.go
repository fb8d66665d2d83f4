// Package drain empties the queue into the trail: batch → store → ack | dead letter.
//
// A [Worker] takes the messages that are there, stores their events in one transaction, and acks
// when every event of them is committed or dead-lettered. Meanwhile it collects the next batch:
// PostgreSQL never waits for RabbitMQ, nor for the parsing. A crash before the commit redelivers
// what is not stored; one after it redelivers what is, which the store finds by its event_id.
// Trouble with the database delays events and never dead-letters them; only an event that the
// database rejects, alone in its transaction, becomes a dead letter.
//
// One pipeline drains one session. Its batches in flight are attempts, which retry; what they do
// with rejected events is in dead_letter.go. Who may use which events' memory is in
// event_buffers.go.
package drain
