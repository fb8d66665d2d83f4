package admin

import (
	"context"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/internal/connection"
	"github.com/trailpost/trailpost/services/internal/broker/internal/queues"
	"github.com/trailpost/trailpost/services/internal/retry"
)

// Watch keeps the depth metrics of the queue and its dead-letter queue until ctx ends, on a
// connection of its own. While the broker is away they keep their last values.
func Watch(ctx context.Context, cfg broker.Config, every time.Duration, metrics *broker.Metrics) {
	w := watcher{cfg: cfg.WithDefaults(), metrics: metrics}
	defer func() {
		if w.conn != nil {
			w.conn.Close()
		}
	}()
	for {
		if err := w.look(ctx, every+connection.DialTimeout); err != nil && ctx.Err() == nil {
			w.cfg.Logger.Debug("queue depth is unknown", "error", err)
			if w.conn != nil {
				w.conn.Kill()
				w.conn = nil
			}
		}
		if retry.Sleep(ctx, every) != nil {
			return
		}
	}
}

// watcher asks for depths on one connection.
type watcher struct {
	cfg     broker.Config
	metrics *broker.Metrics
	conn    *connection.Connection // nil until it is first used, and after an error
}

// look asks once, and gives up after the given time.
func (w *watcher) look(ctx context.Context, timeout time.Duration) (err error) {
	if w.conn == nil {
		if w.conn, err = connection.Dial(ctx, w.cfg); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return w.conn.Ask(ctx, func(ch *amqp.Channel) error {
		queue, err := queues.Status(ch, w.cfg.Queue)
		if err != nil {
			return err
		}
		dead, err := queues.Status(ch, w.cfg.DeadQueue())
		if err != nil {
			return err
		}
		w.metrics.Depth(w.cfg.Queue, queue.Messages, queue.Consumers, dead.Messages)
		return nil
	})
}
