package broker

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"
)

// TooLargeError is a message that is larger than the broker's max_message_size. Neither retries nor other replicas help.
type TooLargeError struct {
	Size, Limit int // bytes of the message's body
	Index       int // of the event among those of its request
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("a message of %d bytes, where the broker takes at most %d (max_message_size)", e.Size, e.Limit)
}

// tooLarge finds an item that is larger than the limit; 0 is none.
func tooLarge(limit int, items ...item) *TooLargeError {
	if limit > 0 {
		for _, it := range items {
			if size := len(it.line); size > limit {
				return &TooLargeError{Size: size, Limit: limit, Index: it.index}
			}
		}
	}
	return nil
}

// RabbitMQ tells nobody its max_message_size until somebody is over it: then it closes the channel (406) with these words
// (rabbit_channel.erl, 3.10 to 4.3).
var overSize = regexp.MustCompile(`message size (\d+) is larger than (?:configured )?max size (\d+)`)

// asTooLarge finds in what the broker said that a message was too large; else nil.
func asTooLarge(err error) *TooLargeError {
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed {
		return nil
	}
	found := overSize.FindStringSubmatch(refusal.Reason)
	if found == nil {
		return nil
	}
	size, errSize := strconv.Atoi(found[1])
	limit, errLimit := strconv.Atoi(found[2])
	if errSize != nil || errLimit != nil || limit <= 0 {
		return nil
	}
	return &TooLargeError{Size: size, Limit: limit}
}
