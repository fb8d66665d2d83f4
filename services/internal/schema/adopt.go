package schema

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
)

// adopt makes this database the one that the trail belongs to, if the schema is new enough to be:
// what migrations/000010 says.
func adopt(ctx context.Context, conn *pgx.Conn, log *slog.Logger) error {
	var can, moved bool
	if err := conn.QueryRow(ctx, "SELECT to_regprocedure('public.adopt_cluster()') IS NOT NULL").Scan(&can); err != nil || !can {
		return err
	}
	if err := conn.QueryRow(ctx, "SELECT public.adopt_cluster()").Scan(&moved); err != nil {
		return fmt.Errorf("the trail comes from elsewhere, and is not yet adopted by this database: %w", err)
	}
	if moved {
		log.InfoContext(ctx, "the trail comes from elsewhere; this database has adopted it, and tx goes on above what is there")
	}
	return nil
}
