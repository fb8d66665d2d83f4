package broker

import (
	"crypto/tls"
	"log/slog"
	"net"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// QueueType is how the queue is declared.
type QueueType string

const (
	// Quorum is a replicated queue whose dead letters can't be lost.
	Quorum QueueType = "quorum"
	// Classic is what the Python service declares: durable, no arguments.
	Classic QueueType = "classic"
	// Existing declares nothing: the queue and its dead-letter queue must exist.
	Existing QueueType = "existing"
)

// DefaultEventsPerMessage is the default of [Config.EventsPerMessage].
const DefaultEventsPerMessage = 64

// DefaultRequestTimeout is the default of [Config.RequestTimeout].
const DefaultRequestTimeout = 15 * time.Second

// Config says which broker and which queue.
type Config struct {
	Host     string
	Port     int
	User     string
	Password string
	VHost    string
	// TLS is asked before every connection, so that files that were renewed are
	// read; nil: plain TCP.
	TLS func() (*tls.Config, error) `json:"-"`

	Queue            string
	QueueType        QueueType     // "": Quorum
	Unwatched        bool          // nobody asks the management API what the queues are
	AllowLossy       bool          // queues that are known to lose messages are used all the same
	EventsPerMessage int           // most events of a group; 1 turns groups off; 0: DefaultEventsPerMessage
	ConfirmTimeout   time.Duration // how long a publish may wait for its confirm; 0: 10 s
	RequestTimeout   time.Duration // how long a request's events may wait until they are confirmed; 0: 15 s

	Name   string       // connection name that the broker's tools show
	Logger *slog.Logger // nil: slog.Default()
	Tracer trace.Tracer // nil: no spans

	Heartbeat time.Duration // 0: 10 s; tests have less time
}

// WithDefaults returns the configuration with a value for what is zero.
func (c Config) WithDefaults() Config {
	if c.QueueType == "" {
		c.QueueType = Quorum
	}
	if c.EventsPerMessage <= 0 {
		c.EventsPerMessage = DefaultEventsPerMessage
	}
	// The Python service's consumer can't read groups.
	if c.QueueType == Classic {
		c.EventsPerMessage = 1
	}
	if c.ConfirmTimeout <= 0 {
		c.ConfirmTimeout = 10 * time.Second
	}
	if c.RequestTimeout <= 0 {
		c.RequestTimeout = DefaultRequestTimeout
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Address is where the broker listens.
func (c Config) Address() string { return net.JoinHostPort(c.Host, strconv.Itoa(c.Port)) }

// DeadQueue is the name of the dead-letter queue.
func (c Config) DeadQueue() string { return DeadQueue(c.Queue) }

// DeadQueue is the name of queue's dead-letter queue.
func DeadQueue(queue string) string { return queue + ".dead" }
