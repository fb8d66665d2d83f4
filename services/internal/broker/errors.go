package broker

import "errors"

var (
	// ErrUnavailable says that nothing was published: there is no connection, the broker blocks
	// publishers, or the publisher is closed.
	ErrUnavailable = errors.New("the message broker is unavailable")
	// ErrBlocked is an ErrUnavailable: the broker takes nothing from any publisher, since an alarm
	// of its memory or disk is on.
	ErrBlocked = errors.New("the broker blocks publishers")
	// ErrRefused says that the broker's last word was a refusal (nack), as a full queue's is.
	ErrRefused = errors.New("the broker refused the message (nack): is the queue full?")
	// ErrNotConfirmed says that publishing began and was not confirmed: nacked, returned, timed
	// out, or the connection was lost. The event may be on the queue or not; a retry with the same
	// event_id is safe.
	ErrNotConfirmed = errors.New("the message broker did not confirm")
	// ErrTopology says that a queue can't be used as configured. It does not pass by itself.
	ErrTopology = errors.New("queue can't be used as configured")
	// ErrSessionLost says that a connection or channel is gone, and with it everything that was
	// delivered on it.
	ErrSessionLost = errors.New("broker session lost")
)
