package broker

import "fmt"

// TooLargeError is a message that is larger than the broker's max_message_size. Neither retries nor
// other replicas help.
type TooLargeError struct {
	Size, Limit int // bytes of the message's body
	Index       int // of the event among those of its request
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("a message of %d bytes, where the broker takes at most %d (max_message_size)", e.Size, e.Limit)
}
