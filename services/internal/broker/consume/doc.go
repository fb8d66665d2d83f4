// Package consume takes messages off the queue. A [SessionOpener] opens sessions until it can; a
// [Session] is the connection of one worker, and ends with it. Its prefetch follows the sizes of
// messages, and a window of bytes bounds what it holds before the worker takes it.
package consume
