// Package app wires the producer and the consumer: plain types with New and
// Run, which the mains, the local service and the tests share.
package app
