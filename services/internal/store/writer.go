package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/durable"
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
// returns no error, all of that is committed, and as durable as the database is set to make it: what is there already,
// too (see package durable).
//
// When it returns an error, nothing is stored as far as one can know. (If the connection broke after COMMIT was sent, or
// somebody cancelled COMMIT's wait for a synchronous standby, all of it may be: a retry finds the events and calls them
// Duplicate.) Classify tells what to do; with class Data some event of the batch can't be stored, and the others can.
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
		if !aboutTheBatch(err) {
			w.drop(ctx)
		}
		if tooLong(err) {
			return nil, fmt.Errorf("storing: %w: %w", ErrTooLong, err)
		}
		return nil, fmt.Errorf("storing: %w", err)
	}
	return b.outcomes, nil
}

// ErrTooLong is a batch whose time was up, or that somebody cancelled, before COMMIT was sent: a part of it may fit.
var ErrTooLong = errors.New("the batch took too long")

func tooLong(err error) bool {
	return (SQLState(err) == "57014" || errors.Is(err, context.DeadlineExceeded)) && !errors.Is(err, durable.ErrCommitSent)
}

// aboutTheBatch reports whether an error says nothing against the connection: the batch's data, and other writers. After any
// other the next batch has a new connection, since only a new one may lead to another server (a standby that this one has
// met by the address of the primary stays a standby), have another role's settings, know a table's new form, or be
// without what a pooler has mixed up. It costs a few milliseconds where somebody waits before trying again anyway; a list
// of what a new connection cures would always lack one.
func aboutTheBatch(err error) bool {
	return Classify(err) == Data || Contended(err) || SQLState(err) == uniqueViolation || errors.Is(err, errVanished)
}

// drop ends the connection. What that says is of no interest.
func (w *Writer) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = w.Close(ctx)
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
	return durable.Tx(ctx, w.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if b.again {
			if err := b.dropFormer(ctx, tx); err != nil {
				return err
			}
			if len(b.firsts) == 0 {
				return durable.SyncOnCommit(ctx, tx)
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

// sessionSettings are a writer's, beside durable's own.
//
// Every statement here, and the foreign keys' own, finds rows by their keys. PostgreSQL keeps the plans as long as the
// connection, and one that it makes while the month's partition is empty would read all of it when it is full, until
// somebody runs ANALYZE: so other ways than by index are off.
const sessionSettings = `
	SELECT set_config('enable_seqscan', 'off', false),
		set_config('enable_hashjoin', 'off', false),
		set_config('enable_mergejoin', 'off', false)`

// connect makes sure of a connection, to the database that the trail belongs to: to another it is ErrRestored.
func (w *Writer) connect(ctx context.Context) error {
	if w.conn != nil && !w.conn.IsClosed() {
		return nil
	}
	conn, err := dial(ctx, w.cfg, sessionSettings)
	if err != nil {
		return err
	}
	if err := checkOrigin(ctx, conn); err != nil { // a restore may have come since Check
		return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
	}
	w.conn = conn
	return nil
}

// dial connects. The certificate files are read each time, since they are renewed while a process runs.
func dial(ctx context.Context, cfg Config, settings string) (*pgx.Conn, error) {
	cc, err := cfg.ConnConfig()
	if err != nil {
		return nil, err
	}
	cc.Tracer = statements{}
	conn, err := durable.Connect(ctx, cc, durable.Options{Settings: settings})
	return conn, Explain(err)
}
