package broker

import "fmt"

// singleRequest is an event that one request waits for.
type singleRequest struct {
	item
	result chan error // capacity 1
	state  singleState
}

type singleState uint8

const (
	waiting   singleState = iota
	taken                 // by a group: will be published
	withdrawn             // by its request, before a group took it
)

// batchRequest is the events of one batch request.
type batchRequest struct {
	items       []item     // not yet taken
	published   bool       // a group of it has left
	outstanding int        // groups without a confirm
	over        bool       // answered: nothing more is published
	result      chan error // capacity 1
}

// giveUp answers the batch with what is known of it.
func (b *batchRequest) giveUp(reason error) {
	kind := ErrUnavailable
	if b.published {
		kind = ErrNotConfirmed
	}
	b.answer(fmt.Errorf("%w: %w", kind, reason))
}

// refuse answers the batch that it has an event which the broker takes in no message.
func (b *batchRequest) refuse(reason *TooLargeError) {
	if b.published {
		b.answer(fmt.Errorf("%w: %w", ErrNotConfirmed, reason))
		return
	}
	b.answer(reason)
}

// answer tells the batch's request, once.
func (b *batchRequest) answer(err error) {
	if !b.over {
		b.over = true
		b.items = nil
		b.result <- err
	}
}
