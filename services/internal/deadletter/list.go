package deadletter

import (
	"context"
	"time"

	"github.com/trailpost/trailpost/services/internal/broker"
	"github.com/trailpost/trailpost/services/internal/broker/admin"
	"github.com/trailpost/trailpost/services/internal/event"
)

// List calls show for every dead event that waits when it starts, and leaves all of them there.
// Where others hold letters, which it can't see, it shows the rest and returns ErrOthers. The key
// is the identity key of the consumers, for the ids of events that came without one.
func List(ctx context.Context, cfg broker.Config, key event.Key, show func(Entry) error) (err error) {
	b, err := admin.OpenBrowser(ctx, cfg, cfg.DeadQueue())
	if err != nil {
		return err
	}
	defer func() {
		if closing := b.Close(); err == nil {
			err = closing
		}
	}()
	alone, err := b.Alone()
	if err != nil {
		return err
	}
	n, err := b.Ready()
	if err != nil {
		return err
	}
	for range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, ok, err := b.Get()
		if err != nil {
			return err
		}
		if !ok {
			return ErrOthers
		}
		for _, e := range entries(&d, key, time.Now()) {
			if err := show(e); err != nil {
				return err
			}
		}
	}
	if !alone {
		return ErrOthers
	}
	return nil
}
