package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
)

// Holds reports whether the trail holds an event of this id, as durably as the database is set to.
func Holds(ctx context.Context, cfg Config, id uuid.UUID) (found bool, err error) {
	err = ask(ctx, cfg, func(conn *pgx.Conn) error {
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM public.log_events WHERE event_id = $1)", [16]byte(id)).Scan(&found)
		if err != nil || !found {
			return err
		}
		return durable.Sync(ctx, conn)
	})
	if err != nil {
		return false, fmt.Errorf("looking for event %s: %w", id, err)
	}
	return found, nil
}
