// Package deadletter is about what can't be stored: the messages of the dead-letter queue, how they
// are listed, and how they are replayed.
//
// A [Letter] is what a consumer writes, an [Entry] what [List] and [Replay] read. AMQP has no
// browsing: a list takes messages and gives them back, which counts as a return for each; the
// dead-letter queue's delivery limit is out of reach for that reason. A list or a replay that is
// killed loses nothing: what it held unacked goes back, and what it published it acks only after
// the confirm, so that a letter may be there twice, but never not at all.
package deadletter
