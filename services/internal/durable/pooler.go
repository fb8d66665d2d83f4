package durable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrPooled is a pooler between us and PostgreSQL that gives each transaction whatever session is
// free.
var ErrPooled = errors.New("a connection pooler (PgBouncer with pool_mode=transaction or statement, say) gives each transaction another session")

// pooledKey is what custom data of a connection have when there is any pooler.
const pooledKey = "trailpost pooled"

// poolerTimeout is how long the question may take: a pool of sessions may have no second one.
const poolerTimeout = 2 * time.Second

// poolerProbes is how often each session is asked for its process.
const poolerProbes = 3

// refusePooler returns an ErrPooled where conn's session is not its own: settings and prepared
// statements are then somebody else's a moment later, and two clients are granted one lock.
//
// A pooler names another process than the one that answers. It pools transactions when one
// connection is answered by different processes, as by a pool that hands out its sessions in turn
// (PgBouncer's server_round_robin), or two by the same, as by one that takes the session that was
// used last.
func refusePooler(ctx context.Context, cc *pgx.ConnConfig, conn *pgx.Conn) error {
	if conn.PgConn().CustomData()[pooledKey] == nil {
		return nil
	}
	first, err := backend(ctx, conn)
	if err != nil {
		return err
	}
	pooled := fmt.Errorf("%w, at %s:%d: connect to PostgreSQL itself, or to a pool with pool_mode=session", ErrPooled, cc.Host, cc.Port)
	for range poolerProbes { // other clients may come between
		again, err := backend(ctx, conn)
		if err != nil {
			return err
		}
		if again != first {
			return pooled
		}
	}
	limited, cancel := context.WithTimeout(ctx, poolerTimeout)
	defer cancel()
	cc = cc.Copy()
	cc.ValidateConnect = nil
	second, err := pgx.ConnectConfig(limited, cc)
	if err != nil {
		return nil //nolint:nilerr // there is no second session: each connection has one of its own
	}
	defer func() { _ = second.Close(context.WithoutCancel(ctx)) }()
	for range poolerProbes {
		again, err := backend(ctx, conn)
		if err != nil {
			return err
		}
		other, err := backend(limited, second)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		if again != first || again == other {
			return pooled
		}
	}
	return nil
}

// backend asks for the number of the process that answers.
func backend(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	results, err := conn.PgConn().Exec(ctx, "SELECT pg_backend_pid()").ReadAll()
	if err == nil {
		_, err = fmt.Sscan(string(results[0].Rows[0][0]), &pid)
	}
	return pid, err
}
