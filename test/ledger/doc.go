// Package ledger is the one judge of every test that breaks something.
//
// A [Client] posts events as README tells clients to: with ids of its own, and
// what is not accepted again, with the same id. Its [Ledger] keeps what was
// sent, before it is sent, and what the client was told. Afterwards
// [Ledger.Judge] compares that with the rows of the trail and the dead letters:
//
//   - An accepted event is stored or dead-lettered: accepted = stored + dead-lettered.
//   - No event is stored twice, under whatever id.
//   - What is stored is what was sent: id, session, type, username, timestamp, and
//     the payload as a JSON value.
//   - Nothing is stored that was never sent.
//   - An event whose client was told 503 and gave up may be stored or not; one that was
//     sent again until it was accepted is stored once.
//
// It stands outside services/, so that the end-to-end tests share it.
package ledger
