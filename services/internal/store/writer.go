package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/event"
)

// Outcome is what became of an event.
type Outcome uint8

const (
	Stored    Outcome = iota // a new row
	Duplicate                // the same event is there already
	Reused                   // its id is there already, with other content; this event is not stored
)

// String returns the name that metrics and logs show.
func (o Outcome) String() string {
	switch o {
	case Stored:
		return "stored"
	case Duplicate:
		return "duplicate"
	}
	return "reused"
}

// Path is the way that a batch took.
type Path uint8

const (
	PathCopy   Path = iota // COPY of everything
	PathLook               // SELECT of what is there, COPY of the rest
	PathInsert             // INSERT … ON CONFLICT DO NOTHING
)

// String returns the name that metrics and logs show.
func (p Path) String() string {
	switch p {
	case PathCopy:
		return "copy"
	case PathLook:
		return "look"
	}
	return "insert"
}

// waryBatches is how many batches look first after one that should have: repeats come in runs. (Measured with one
// repeat in 1,000 events: COPY and then INSERT 36–41 thousand rows/s, looking first 63–69.)
const waryBatches = 100

// Writer stores batches on one connection of its own. It is not safe for concurrent use.
type Writer struct {
	cfg  Config
	conn *pgx.Conn // nil: none yet
	path Path      // that the last batch took
	wary int       // batches that still look first
}

// NewWriter returns a Writer that connects when it first has something to store, and again after it has lost its
// connection.
func NewWriter(cfg Config) *Writer { return &Writer{cfg: cfg} }

// Path returns the way that the last Store took.
func (w *Writer) Path() Path { return w.path }

// Store puts a batch into the trail in one transaction and returns, for each event in turn, what became of it. When it
// returns no error, all of that is committed and durable.
//
// When it returns an error, nothing is stored as far as one can know. (If the connection broke after COMMIT was sent,
// all of it may be: a retry finds the events and calls them Duplicate.) Classify tells what to do; with class Data some
// event of the batch can't be stored, and the others can.
//
// redelivered says that the batch may have been stored before. It is a hint about speed, but for events with a PlainID:
// those alone are looked for under that, too.
//
// Store has no time limit but ctx's. Set one: a network that swallows packets answers nothing.
func (w *Writer) Store(ctx context.Context, events []event.Event, redelivered bool) ([]Outcome, error) {
	if len(events) == 0 {
		return nil, nil
	}
	if err := w.connect(ctx); err != nil {
		return nil, fmt.Errorf("storing: %w", err)
	}
	b := newBatch(events)
	b.again = redelivered

	w.path = PathCopy
	if redelivered || w.wary > 0 {
		w.path = PathLook
	}
	w.wary = max(w.wary-1, 0)

	err := w.transact(ctx, b)
	for w.path != PathInsert && SQLState(err) == uniqueViolation {
		w.wary = waryBatches
		w.path++
		err = w.transact(ctx, b)
	}
	if err != nil {
		return nil, fmt.Errorf("storing: %w", err)
	}
	return b.outcomes, nil
}

// Close ends the connection. A Store after it connects anew.
func (w *Writer) Close(ctx context.Context) error {
	if w.conn == nil {
		return nil
	}
	conn := w.conn
	w.conn = nil
	return conn.Close(ctx)
}

const uniqueViolation = "23505"

// transact does the batch, along w.path, in one transaction. A failed rollback ends the connection, so that the next
// batch never finds itself in this one's transaction.
func (w *Writer) transact(ctx context.Context, b *batch) error {
	// READ COMMITTED, whatever the role's default: each statement must see what those before it have waited for.
	return pgx.BeginTxFunc(ctx, w.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if b.again {
			if err := b.dropFormer(ctx, tx); err != nil || len(b.firsts) == 0 {
				return err
			}
		}
		switch w.path {
		case PathCopy:
			return b.copyAll(ctx, tx)
		case PathLook:
			return b.lookThenCopy(ctx, tx)
		}
		return b.insertNew(ctx, tx)
	})
}

// sessionSettings are a writer's.
//
// A commit that PostgreSQL may still forget is no reason to acknowledge a message: synchronous_commit is not off. A
// setting stronger than on stays.
//
// Every statement here, and the foreign keys' own, finds rows by their keys. PostgreSQL keeps the plans as long as the
// connection, and one that it makes while the month's partition is empty would read all of it when it is full, until
// somebody runs ANALYZE: so other ways than by index are off.
//
// The last column says why nothing may be stored here: a restore may have come since Check.
const sessionSettings = `
	SELECT set_config('enable_seqscan', 'off', false),
		set_config('enable_hashjoin', 'off', false),
		set_config('enable_mergejoin', 'off', false),
		CASE WHEN current_setting('synchronous_commit') IN ('off', 'local')
			THEN set_config('synchronous_commit', 'on', false) END,
		public.trail_elsewhere()`

// connect makes sure of a connection, to a database that the trail is at home in: to another it is ErrRestored.
func (w *Writer) connect(ctx context.Context) error {
	if w.conn != nil && !w.conn.IsClosed() {
		return nil
	}
	conn, err := dial(ctx, w.cfg)
	if err != nil {
		return err
	}
	var set, why *string
	err = conn.QueryRow(ctx, sessionSettings, pgx.QueryExecModeSimpleProtocol).Scan(&set, &set, &set, &set, &why) // one round trip
	if err == nil {
		err = elsewhere(why)
	}
	if err != nil {
		return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	w.conn = conn
	return nil
}

// dial connects. The certificate files are read each time, since they are renewed while a process runs.
func dial(ctx context.Context, cfg Config) (*pgx.Conn, error) {
	cc, err := cfg.ConnConfig()
	if err != nil {
		return nil, err
	}
	cc.Tracer = statements{}
	conn, err := pgx.ConnectConfig(ctx, cc)
	return conn, Explain(err)
}
