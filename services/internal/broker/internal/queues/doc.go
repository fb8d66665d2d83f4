// Package queues declares the queue and its dead-letter queue, asks how many messages they have,
// and finds out what queues are that somebody else has declared.
package queues
