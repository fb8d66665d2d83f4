// Package app wires the consumer, and has what it shares with the producer, which
// package producer below it wires: plain types with New and Run, which the mains, the
// local service and the tests share.
package app
