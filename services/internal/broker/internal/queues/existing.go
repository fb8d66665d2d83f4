package queues

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
)

// Examiner finds out over AMQP what the queues are that somebody else has declared
// ([broker.Existing]): of a stream, or of a queue that is not durable, the broker confirms what is
// lost later. It asks until it has an answer, once a process, and only where nobody asks the
// management API, which knows more.
type Examiner struct {
	mu    sync.Mutex
	asked bool
}

// Check returns an ErrTopology where a queue keeps nothing. What it can't find out is a warning in
// the log. Both queues must exist.
func (x *Examiner) Check(ctx context.Context, cfg broker.Config) error {
	if cfg.QueueType != broker.Existing || !cfg.Unwatched {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.asked {
		return nil
	}
	// A connection of its own, since each answer is a refusal, and a version of the broker may
	// answer by ending the connection.
	conn, err := connection.Dial(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close()
	const remedy = "set RABBITMQ_MANAGEMENT_URL, so that it is checked"
	for _, queue := range []string{cfg.Queue, cfg.DeadQueue()} {
		fault, err := examine(conn, queue)
		switch {
		case errors.Is(err, errUntold):
			cfg.Logger.Warn("nobody has checked that the queue is durable, is not deleted with its last consumer and is no stream, nor what its arguments and "+
				"policies drop: RABBITMQ_QUEUE_TYPE is existing; "+remedy, "queue", queue, "error", err)
		case err != nil:
			return fmt.Errorf("ask what queue %q is: %w", queue, err)
		case fault == "":
			cfg.Logger.Warn("nobody has checked what the queue's arguments and policies drop: RABBITMQ_QUEUE_TYPE is existing; "+remedy, "queue", queue)
		case cfg.AllowLossy:
			cfg.Logger.Warn("the queue may lose what it confirms: it "+fault, "queue", queue, "accepted", true)
		default:
			return existingError(queue, fault)
		}
	}
	x.asked = true
	return nil
}

func existingError(queue, fault string) error {
	return fmt.Errorf("%w: with RABBITMQ_QUEUE_TYPE=existing %q must be a durable quorum or classic queue, and it %s", broker.ErrTopology, queue, fault)
}

// Faults of a queue that somebody else has declared.
const (
	faultTransient  = "is not durable: all that is in it is gone when RabbitMQ restarts"
	faultAutoDelete = "is deleted, with all that is in it, when its last consumer goes"
	faultStream     = "is a stream: a consumer gets nothing that came before it did, and can give nothing back"
)

// errUntold says that the broker does not tell what a queue is.
var errUntold = errors.New("not told over AMQP")

const (
	noType       = "trailpost-asks" // there is no such type, so that a question never declares a queue
	maxQuestions = 16               // a queue has fewer arguments
)

// examine declares a queue as no queue can be, again and again: the broker compares that with the
// queue, and its refusal names the first property that differs: durable, auto_delete, then the
// arguments in an order of its own, so that those before the type have to be learnt. That takes the
// configure permission (seen on 3.10.8). fault is "" of a queue that keeps what it confirms.
func examine(conn *connection.Connection, queue string) (fault string, err error) {
	arguments := amqp.Table{argumentType: noType}
	for range maxQuestions {
		ch, err := conn.Channel()
		if err != nil {
			return "", fmt.Errorf("open channel: %w", err)
		}
		_, err = ch.QueueDeclare(queue, true, false, false, false, arguments)
		var refusal *amqp.Error
		switch {
		case err == nil:
			_ = ch.Close()
			return "", errUntold
		case !errors.As(err, &refusal) || !refusal.Server:
			return "", err
		case refusal.Code == amqp.AccessRefused:
			return "", fmt.Errorf("%w: it takes the configure permission", errUntold)
		}
		name, value, ok := difference(refusal)
		switch {
		case !ok:
			return "", fmt.Errorf("%w: %w", errUntold, refusal)
		case name == "durable":
			return faultTransient, nil
		case name == "auto_delete":
			return faultAutoDelete, nil
		case name == argumentType && value == "stream":
			return faultStream, nil
		case name == argumentType:
			return "", nil
		}
		arguments[name] = value
	}
	return "", errUntold
}

const argumentType = "x-queue-type"

// inequivalent is RabbitMQ's refusal of a declaration that differs, with the property of the queue.
var inequivalent = regexp.MustCompile(`inequivalent arg '([a-z_-]+)' for queue .* but current is (?:none|(?:the value )?'(.*?)'(?: of type '(\w+)')?)$`)

// difference reads the property that differs, and what the queue has.
func difference(refusal *amqp.Error) (name string, value any, ok bool) {
	found := inequivalent.FindStringSubmatch(refusal.Reason)
	if refusal.Code != amqp.PreconditionFailed || found == nil {
		return "", nil, false
	}
	name, text, kind := found[1], found[2], found[3]
	switch kind {
	case "", "longstr":
		return name, text, true
	case "bool":
		return name, text == "true", true
	}
	n, err := strconv.ParseInt(text, 10, 64) // RabbitMQ compares all kinds of whole numbers as one
	return name, n, err == nil
}
