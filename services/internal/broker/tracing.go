package broker

import "github.com/trailpost/trailpost/services/internal/tracing"

// TracedQueue is what spans about the queue tell of it.
func (c Config) TracedQueue() tracing.Queue {
	return tracing.Queue{Name: c.Queue, Host: c.Host, Port: c.Port}
}
