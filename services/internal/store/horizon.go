package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// NoteHorizon notes down to where the trail is complete, and the epoch if it is a new one: what followers go back to after
// a crash or a restore (migration 10, docs/following.md). Call it at the start and then each minute, from any number of
// consumers. It returns when the note moved last, by the database's clock: a moment ago, unless another session is at it,
// or a transaction has been open since then that has written something, in any database of the cluster. In a database
// that the trail does not belong to it fails with ErrRestored.
func NoteHorizon(ctx context.Context, cfg Config) (moved time.Time, err error) {
	err = askHome(ctx, cfg, func(conn *pgx.Conn) error {
		var at *time.Time
		err := conn.QueryRow(ctx, "SELECT public.note_horizon()").Scan(&at)
		if at != nil {
			moved = *at
		}
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("noting the horizon: %w", err)
	}
	return moved, nil
}
