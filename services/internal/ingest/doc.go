// Package ingest is the producer's HTTP side: gin handlers that read events strictly, hand them to
// a [Publisher], and answer 202 only after the broker has them.
//
// [NewServer] serves the routes of [NewHandler]. Every error is an RFC 9457 problem; problem.go has
// the one table of kinds and statuses, and apidocs/openapi.json describes every answer (a test
// holds real answers against it).
//
// # What a body may cost
//
// A body is charged to a budget of bytes while it is read, so many slow or large requests together
// can't fill the memory; what is beyond the budget is answered 503. Batches may use three quarters
// of it, so single events always have room. A body has ten seconds plus a second for each 256 KiB
// to arrive.
//
// Refusals come before a body is read to its end. What clients still send is then discarded without
// a charge, in narrow limits, so that they can read the answer: package linger.
package ingest
