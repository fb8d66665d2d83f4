package testbed

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/migrations"
	"github.com/trailpost/trailpost/services/internal/schema"
)

// template is the migrated database that the tests' databases are cloned from.
type template struct {
	mu   sync.Mutex
	name string // "" until it is known to be there
}

// templateLock is the advisory lock, in the database postgres, under which one of
// the processes that share a server makes the template.
const templateLock = 3_871_204_466

// of returns the name of the template on a server, and makes it if need be. The
// name holds a hash of the migrations, so that servers outlive changes to them.
func (tp *template) of(ctx context.Context, server *PostgresServer) (name string, err error) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	if tp.name != "" {
		return tp.name, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("the template of the tests' databases: %w", err)
		}
	}()
	hash, err := migrationsHash()
	if err != nil {
		return "", err
	}
	name = "trailpost_template_" + hash
	conn, err := server.Connect(ctx, "postgres")
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // and with it ends the lock
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
		return "", err
	}
	var exists bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil {
		return "", err
	}
	if !exists {
		if err := makeTemplate(ctx, server, conn, name); err != nil {
			return "", err
		}
	}
	tp.name = name
	return name, nil
}

// makeTemplate migrates a database under another name: the template's own appears
// when all is done, so one that was cut short is never cloned.
func makeTemplate(ctx context.Context, server *PostgresServer, conn *pgx.Conn, name string) error {
	draft := name + "_draft"
	if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+identifier(draft)+" WITH (FORCE)"); err != nil {
		return err
	}
	if err := makeRoles(ctx, server, draft); err != nil {
		return err
	}
	owner, err := server.LoginConfig(draft, ownerLogin)
	if err != nil {
		return err
	}
	if err := schema.Up(ctx, owner); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "ALTER DATABASE "+identifier(draft)+" WITH ALLOW_CONNECTIONS false")
	if err == nil { // a session that just ended may be there for another moment: those would stop the rename
		_, err = conn.Exec(ctx, "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1", draft)
	}
	if err == nil {
		_, err = conn.Exec(ctx, "ALTER DATABASE "+identifier(draft)+" RENAME TO "+identifier(name))
	}
	return err
}

// migrationsHash is the same for the same set of files with the same content.
func migrationsHash() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(migrations.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(migrations.FS, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(h, "%s %d\n%s", path, len(b), b)
		return err
	})
	if err != nil {
		return "", errors.Join(errors.New("reading the migrations"), err)
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}
