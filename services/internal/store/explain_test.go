package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/trailpost/trailpost/services/internal/testbed"
)

// TestExplainNamesNoOtherCause: where TLS is only preferred, what keeps a connection from a server
// without TLS is something else.
func TestExplainNamesNoOtherCause(t *testing.T) {
	db := testbed.Postgres(t)
	nowhere, stranger, reads := config(db, db.Writer), config(db, db.Writer), config(db, db.Reader)
	nowhere.Database, stranger.Password = "nope", "wrong"
	exec(t, db.Connect(t, db.Admin), fmt.Sprintf("ALTER ROLE %s IN DATABASE %q SET default_transaction_read_only = on", db.Reader.Name, db.Name))
	const insists = "DATABASE_SSLMODE insists on it"
	for _, tc := range []struct {
		what  string
		cfg   Config
		state string
		says  string
	}{
		{"no such database", nowhere, "3D000", "does not exist"},
		{"a wrong password", stranger, "28P01", "password authentication failed"},
		{"read-only", reads, "25006", "DATABASE_HOST must lead to the primary"},
	} {
		for _, mode := range []string{"", "prefer", "allow", "disable"} {
			tc.cfg.SSLMode = mode
			err := Check(t.Context(), tc.cfg, false)
			if SQLState(err) != tc.state || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), insists) {
				t.Errorf("%s, sslmode %q: %v", tc.what, mode, err)
			}
		}
		for _, mode := range []string{"require", "verify-full"} {
			tc.cfg.SSLMode = mode
			if err := Check(t.Context(), tc.cfg, false); err == nil || !strings.Contains(err.Error(), insists) {
				t.Errorf("%s, sslmode %q: %v", tc.what, mode, err)
			}
		}
	}
}
