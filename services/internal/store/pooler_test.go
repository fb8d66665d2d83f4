package store

import (
	"errors"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/testbed"
)

// pgbouncer runs Debian's before a database, with more lines of settings, and returns its port.
func pgbouncer(t *testing.T, db testbed.DB, mode string, more ...string) uint16 {
	t.Helper()
	program, err := osexec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // Debian's place, which is not on everybody's PATH
	}
	dir, err := os.MkdirTemp("", "pgbouncer") // it runs as another user, who can't enter a test's own folder
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	quoted := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	settings := fmt.Sprintf("[databases]\n%s = host=%s port=%d\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\n"+
		"auth_type = scram-sha-256\nauth_file = %s/users\npool_mode = %s\nignore_startup_parameters = extra_float_digits\n%s\n", db.Name, db.Host, db.Port, port, dir, mode, strings.Join(more, "\n"))
	for name, content := range map[string]string{"ini": settings, "users": quoted(db.Writer.Name) + " " + quoted(db.Writer.Password) + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{filepath.Join(dir, "ini")}
	if os.Getuid() == 0 {
		args = append([]string{"-u", "nobody"}, args...) // it refuses to be root
	}
	cmd := osexec.Command(program, args...)
	log := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: hack/install-packages pgbouncer", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pgbouncer: %s", log)
		}
	})
	address := net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
			return uint16(port)
		}
		if time.Now().After(deadline) {
			t.Fatalf("pgbouncer does not listen: %v", err)
		}
	}
}

// TestPooler: behind a pooler that pools transactions the consumer says so at its start; behind one that pools sessions it works.
func TestPooler(t *testing.T) {
	db := testbed.Postgres(t)
	for mode, pooled := range map[string]bool{"transaction": true, "statement": true, "session": false} {
		t.Run(mode, func(t *testing.T) {
			cfg := config(db, db.Writer)
			cfg.Host, cfg.Port = "127.0.0.1", pgbouncer(t, db, mode)
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

// TestWarmPooler: one that hands out its sessions in turn gives two clients different ones, and one client, too.
func TestWarmPooler(t *testing.T) {
	db := testbed.Postgres(t)
	for _, size := range []int{1, 2, 3, 4, 7} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			cfg := config(db, db.Writer)
			cfg.Host, cfg.Port = "127.0.0.1", pgbouncer(t, db, "transaction", "server_round_robin = 1", fmt.Sprintf("default_pool_size = %d", size))
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
		cfg.Host, cfg.Port = "127.0.0.1", pgbouncer(t, db, "session", "server_round_robin = 1", "default_pool_size = 4")
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
	for range sessions {
		conn, err := pgx.ConnectConfig(t.Context(), cc)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, conn, "BEGIN", pgx.QueryExecModeSimpleProtocol)
		defer func() { // in order, so that the pooler keeps the session
			exec(t, conn, "ROLLBACK", pgx.QueryExecModeSimpleProtocol)
			_ = conn.Close(t.Context())
		}()
	}
}
