package publish

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
)

// QueueStatus asks the broker.
func (p *Publisher) QueueStatus(ctx context.Context) (broker.QueueStatus, error) {
	p.mu.Lock()
	err := p.readyLocked()
	s := p.session
	p.mu.Unlock()
	// A broker that blocks publishers still answers, but not on a connection that it no longer
	// reads.
	if err != nil {
		return broker.QueueStatus{}, err
	}
	var status broker.QueueStatus
	err = s.conn.Ask(ctx, func(ch *amqp.Channel) (err error) {
		status, err = queues.Status(ch, p.cfg.Queue)
		return err
	})
	return status, err
}

// Register registers the gauges of the publisher's session.
func (p *Publisher) Register(reg prometheus.Registerer) {
	broker.RegisterUp(reg, p.connected)
	broker.RegisterFlag(reg, prometheus.GaugeOpts{
		Name: "trailpost_broker_blocked",
		Help: "Whether RabbitMQ takes nothing from this producer because of an alarm of its memory or disk: 1 or 0.",
	}, p.blocked)
	broker.RegisterFlag(reg, prometheus.GaugeOpts{
		Name: "trailpost_queue_refuses",
		Help: "Whether RabbitMQ's last word to this producer, of a minute ago at most, was that it refuses a message, as a full queue's is: 1 or 0.",
	}, func() bool { return p.Refused() != nil })
}

// connected reports whether there is a session.
func (p *Publisher) connected() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session != nil
}

// blocked reports whether the broker takes nothing on the session.
func (p *Publisher) blocked() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session != nil && p.scheduler.blocked != ""
}
