package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestPooler: behind a pooler that pools transactions the consumer says so at its start; behind one
// that pools sessions it works.
func TestPooler(t *testing.T) {
	db := testbed.Postgres(t)
	for mode, pooled := range map[string]bool{"transaction": true, "statement": true, "session": false} {
		t.Run(mode, func(t *testing.T) {
			cfg := config(db, db.Writer)
			cfg.Host, cfg.Port = "127.0.0.1", testbed.PgBouncer(t, db, db.Writer, mode)
			err := Check(t.Context(), cfg, false)
			if !pooled {
				if err != nil {
					t.Fatal(err)
				}
				w := NewWriter(cfg)
				defer func() { _ = w.Close(t.Context()) }()
				outcomes, err := w.Store(t.Context(), newEvents(10), false)
				if err != nil || len(outcomes) != 10 || outcomes[0] != Stored {
					t.Errorf("%v, %v", outcomes, err)
				}
				return
			}
			if !errors.Is(err, durable.ErrPooled) || !strings.Contains(err.Error(), "pool_mode=session") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestWarmPooler: one that hands out its sessions in turn gives two clients different ones, and one
// client, too.
func TestWarmPooler(t *testing.T) {
	db := testbed.Postgres(t)
	for _, size := range []int{1, 2, 3, 4, 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			cfg := config(db, db.Writer)
			cfg.Host, cfg.Port = "127.0.0.1", testbed.PgBouncer(t, db, db.Writer, "transaction", "server_round_robin = 1", fmt.Sprintf("default_pool_size = %d", size))
			warm(t, cfg, size)
			for range 5 {
				if err := Check(t.Context(), cfg, false); !errors.Is(err, durable.ErrPooled) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	t.Run("session", func(t *testing.T) {
		cfg := config(db, db.Writer)
		cfg.Host, cfg.Port = "127.0.0.1", testbed.PgBouncer(t, db, db.Writer, "session", "server_round_robin = 1", "default_pool_size = 4")
		warm(t, cfg, 4)
		for range 5 {
			if err := Check(t.Context(), cfg, false); err != nil {
				t.Error(err)
			}
		}
	})
}

// warm has a pooler open as many sessions, by as many transactions at once.
func warm(t *testing.T, cfg Config, sessions int) {
	t.Helper()
	cc, err := cfg.ConnConfig()
	if err != nil {
		t.Fatal(err)
	}
	open := make([]*pgx.Conn, sessions)
	for i := range open {
		if open[i], err = pgx.ConnectConfig(t.Context(), cc); err != nil {
			t.Fatal(err)
		}
		exec(t, open[i], "BEGIN", pgx.QueryExecModeSimpleProtocol)
	}
	for _, conn := range open { // in order, so that the pooler keeps the sessions
		exec(t, conn, "ROLLBACK", pgx.QueryExecModeSimpleProtocol)
		_ = conn.Close(t.Context())
	}
}
