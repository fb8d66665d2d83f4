// Package integration holds tests of the whole pipeline: a producer and a consumer, in this
// process or in processes of their own that a test can kill, on real servers. What becomes
// of events is read where an operator would look: in the trail, in the dead-letter queue, in
// metrics, logs and traces.
//
// The test binary is also the producer and the consumer of such tests. Tests
// that break the pipeline at random, under load, are in package faults.
package integration
