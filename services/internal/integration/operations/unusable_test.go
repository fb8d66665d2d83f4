package operations

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/app"
	"github.com/trailpost/trailpost/services/internal/config"
	"github.com/trailpost/trailpost/services/internal/testbed"
	"github.com/trailpost/trailpost/services/internal/testbed/pipeline"
)

// Where no waiting helps, the consumer and its wait end, and say why.
func TestNobodyWaitsForWhatWaitingCantMend(t *testing.T) {
	s := pipeline.New(t)
	latin1 := pgx.Identifier{s.DB.Name + "_latin1"}.Sanitize()
	admin := s.DB.Connect(t, s.DB.Admin)
	for _, statement := range []string{
		"CREATE DATABASE %s TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'", "GRANT CONNECT ON DATABASE %s TO PUBLIC",
	} {
		if _, err := admin.Exec(t.Context(), fmt.Sprintf(statement, latin1)); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if _, err := admin.Exec(t.Context(), "DROP DATABASE "+latin1+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	}()
	pooler := testbed.PgBouncer(t, s.DB, s.DB.Writer, "transaction")
	for name, tc := range map[string]struct{ setting, says string }{
		"encoding": {"DATABASE_NAME=" + s.DB.Name + "_latin1", "the database is not UTF-8"},
		"pooler":   {fmt.Sprintf("DATABASE_PORT=%d", pooler), "pool_mode=session"},
	} {
		t.Run(name, func(t *testing.T) {
			one := *s
			one.T, one.Environ = t, append(without(s.Environ, strings.Split(tc.setting, "=")[0]), tc.setting)
			if code, output := one.Exit("consumer"); code != 1 || !strings.Contains(output, tc.says) || strings.Contains(output, "trying again") {
				t.Errorf("the consumer: exit code %d: %s", code, output)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := app.WaitForSchema(ctx, one.Config(config.ForConsumer), s.Log)
			if err == nil || !strings.Contains(err.Error(), tc.says) || config.ExitCode(err) != 1 {
				t.Errorf("wait: %v", err)
			}
		})
	}
}
