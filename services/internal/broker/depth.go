package broker

import (
	"context"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueStatus is what a passive declaration tells: messages that are ready,
// not those in consumers' hands.
type QueueStatus struct {
	Name      string
	Messages  int
	Consumers int
}

// QueueStatus asks the broker.
func (p *Publisher) QueueStatus(ctx context.Context) (QueueStatus, error) {
	p.mu.Lock()
	err := p.readyLocked()
	s := p.session
	p.mu.Unlock()
	// A broker that blocks publishers still answers, but not on a connection that it
	// no longer reads.
	if err != nil {
		return QueueStatus{}, err
	}
	var status QueueStatus
	err = withChannel(ctx, s.conn, func(ch *amqp.Channel) (err error) {
		status, err = queueStatus(ch, p.cfg.Queue)
		return err
	})
	return status, err
}

func queueStatus(ch *amqp.Channel, queue string) (QueueStatus, error) {
	q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
	if err != nil {
		return QueueStatus{}, fmt.Errorf("ask for the depth of %q: %w", queue, err)
	}
	return QueueStatus{Name: q.Name, Messages: q.Messages, Consumers: q.Consumers}, nil
}

// withChannel runs ask on a channel of its own, since a refusal closes it,
// and gives up on a broker that doesn't answer.
func withChannel(ctx context.Context, conn *connection, ask func(*amqp.Channel) error) error {
	done := make(chan error, 1)
	go func() {
		ch, err := conn.Channel()
		if err != nil {
			done <- fmt.Errorf("open channel: %w", err)
			return
		}
		err = ask(ch)
		_ = ch.Close()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Watch keeps the depth metrics of the queue and its dead-letter queue until
// ctx ends, on a connection of its own. While the broker is away they keep
// their last values.
func Watch(ctx context.Context, cfg Config, every time.Duration, metrics *Metrics) {
	cfg = cfg.withDefaults()
	var conn *connection
	defer func() {
		if conn != nil {
			conn.close()
		}
	}()
	for {
		err := func() (err error) {
			if conn == nil {
				if conn, err = dial(ctx, cfg, nil); err != nil {
					return err
				}
			}
			within, cancel := context.WithTimeout(ctx, every+dialTimeout)
			defer cancel()
			return withChannel(within, conn, func(ch *amqp.Channel) error {
				q, err := queueStatus(ch, cfg.Queue)
				if err != nil {
					return err
				}
				dead, err := queueStatus(ch, cfg.DeadQueue())
				if err != nil {
					return err
				}
				metrics.depth(cfg.Queue, q.Messages, q.Consumers, dead.Messages)
				return nil
			})
		}()
		if err != nil && ctx.Err() == nil {
			cfg.Logger.Debug("queue depth is unknown", "error", err)
			if conn != nil {
				conn.kill()
				conn = nil
			}
		}
		if sleep(ctx, every) != nil {
			return
		}
	}
}
