package schema

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
)

// adopt makes the trail at home on this cluster, if the schema is new enough to be: what migrations/000007 says.
func adopt(ctx context.Context, conn *pgx.Conn, log *slog.Logger) error {
	var can, moved bool
	if err := conn.QueryRow(ctx, "SELECT to_regprocedure('public.adopt_cluster()') IS NOT NULL").Scan(&can); err != nil || !can {
		return err
	}
	if err := conn.QueryRow(ctx, "SELECT public.adopt_cluster()").Scan(&moved); err != nil {
		return fmt.Errorf("the trail comes from another cluster, and is not at home on this one yet: %w", err)
	}
	if moved {
		log.InfoContext(ctx, "The trail comes from another cluster; tx goes on above what is there")
	}
	return nil
}
