package connection

import (
	"errors"
	"regexp"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
)

// RabbitMQ tells nobody its max_message_size until somebody is over it: then it closes the channel
// (406) with these words (rabbit_channel.erl, 3.10 to 4.3).
var overSize = regexp.MustCompile(`message size (\d+) is larger than (?:configured )?max size (\d+)`)

// AsTooLarge finds in what the broker said that a message was too large; else nil.
func AsTooLarge(err error) *broker.TooLargeError {
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
	return &broker.TooLargeError{Size: size, Limit: limit}
}
