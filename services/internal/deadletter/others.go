package deadletter

import (
	"context"
	"errors"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
)

// ErrOthers says that others held letters unacked, which were not looked at: another list or
// replay, or a consumer of the dead-letter queue.
var ErrOthers = errors.New("others hold letters of the dead-letter queue unacked (another list or replay, a consumer of it), and those were not looked at; run it again")

// awaitAlone waits until nobody else holds a letter, and returns ErrOthers after timeout.
func awaitAlone(ctx context.Context, cfg broker.Config, timeout time.Duration) (err error) {
	b, err := admin.OpenBrowser(ctx, cfg, cfg.DeadQueue())
	if err != nil {
		return err
	}
	defer func() {
		if closing := b.Close(); err == nil {
			err = closing
		}
	}()
	for deadline := time.Now().Add(timeout); ; {
		alone, err := b.Alone() // which itself waits for a second
		switch {
		case err != nil || alone:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return ErrOthers
		}
	}
}
