// Package pipeline gives tests the whole pipeline on the servers of the testbed: a producer
// and a consumer, in the test's own process or in processes that it can kill, a client, and
// a view of the trail and of the dead letters.
//
// A package whose tests start such processes hands itself to [Main], since its test binary
// is also the producer and the consumer:
//
//	func TestMain(m *testing.M) { pipeline.Main(m) }
package pipeline
