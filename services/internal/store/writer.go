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
	Duplicate                // the same event was there already
	Reused                   // another event was there already under the id or key; this one is not stored
	// NotCompared is taken for a Duplicate: the event of its key was stored, in a month that has left
	// the trail.
	NotCompared
	// KeyWithoutEvent is not stored: its key is there, and the event of that is nowhere.
	KeyWithoutEvent
)

// String implements fmt.Stringer.
func (o Outcome) String() string {
	switch o {
	case Stored:
		return "stored"
	case Duplicate:
		return "duplicate"
	case NotCompared:
		return "not compared"
	case KeyWithoutEvent:
		return "key without event"
	}
	return "reused"
}

// Path is the way in which a batch is stored.
type Path uint8

const (
	PathCopy   Path = iota // COPY of everything
	PathLook               // SELECT of what is there, COPY of the rest
	PathInsert             // INSERT … ON CONFLICT DO NOTHING
)

// String implements fmt.Stringer.
func (p Path) String() string {
	switch p {
	case PathCopy:
		return "copy"
	case PathLook:
		return "look"
	}
	return "insert"
}

// lookupsAfterRepeat is how many batches are looked up before COPY after one that had a repeat:
// repeats come in runs, and a COPY that fails over one costs more than the lookups
// (docs/decisions/0007).
const lookupsAfterRepeat = 100

// Writer stores batches on one connection of its own. It is not safe for concurrent use.
type Writer struct {
	cfg  Config
	conn *pgx.Conn // nil: not connected
	path Path      // of the last batch

	lookupsLeft int // batches that are still looked up before COPY
}

// NewWriter returns a Writer that connects when it first has something to store, and again after it
// has lost its connection.
func NewWriter(cfg Config) *Writer { return &Writer{cfg: cfg} }

// Path returns the path of the last Store.
func (w *Writer) Path() Path { return w.path }

// Store puts a batch into the trail in one transaction and returns the outcome of each event, in
// their order. When it returns no error, all of that is committed, and as durable as the database
// is set to make it; so are duplicates, which were there already (see package durable).
//
// When it returns an error, nothing is stored as far as one can know. (If the connection broke
// after COMMIT was sent, or somebody cancelled COMMIT's wait for a synchronous standby, all of it
// may be stored: a retry finds the events and calls them Duplicate.) Classify says what to do; with
// class Rejected some event of the batch can't be stored, and the others can.
//
// redelivered says that the batch may have been stored before. It is a hint about speed, except for
// events with a PlainID: only with it are those looked up under that id, too.
//
// Store has no time limit except ctx's. Set one: a network that swallows packets answers nothing.
func (w *Writer) Store(ctx context.Context, events []event.Event, redelivered bool) ([]Outcome, error) {
	if len(events) == 0 {
		return nil, nil
	}
	if err := w.connect(ctx); err != nil {
		return nil, fmt.Errorf("storing: %w", err)
	}
	p := newWritePlan(events, redelivered)

	w.path = PathCopy
	if redelivered || w.lookupsLeft > 0 {
		w.path = PathLook
	}
	w.lookupsLeft = max(w.lookupsLeft-1, 0)

	err := w.transact(ctx, p)
	for {
		if w.path != PathInsert && SQLState(err) == uniqueViolation {
			w.lookupsLeft = lookupsAfterRepeat
			w.path++
		} else if !errors.Is(err, errKeyOfAnother) {
			break
		}
		err = w.transact(ctx, p)
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
	return p.outcomes, nil
}

// ErrTooLong is a batch whose time was up, or that somebody cancelled, before COMMIT was sent: a
// part of it may be stored in time.
var ErrTooLong = errors.New("the batch took too long")

func tooLong(err error) bool {
	return (SQLState(err) == "57014" || errors.Is(err, context.DeadlineExceeded)) && !errors.Is(err, durable.ErrCommitSent)
}

// aboutTheBatch reports whether an error is about the batch's data or other writers, and not about
// the connection. After any other error the next batch has a new connection, since only a new one
// may lead to another server (a standby that this one reached by the address of the primary stays a
// standby), have another role's settings, know a table's new form, or be free of what a pooler has
// mixed up. That costs a few milliseconds, before a retry that waits anyway; a list of the errors
// that a new connection cures would never be complete.
func aboutTheBatch(err error) bool {
	return Classify(err) == Rejected || Contended(err) || SQLState(err) == uniqueViolation || errors.Is(err, errVanished)
}

// drop closes the connection and ignores how that ended.
func (w *Writer) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = w.Close(ctx)
}

// Close closes the connection. A Store after it connects again.
func (w *Writer) Close(ctx context.Context) error {
	if w.conn == nil {
		return nil
	}
	conn := w.conn
	w.conn = nil
	return conn.Close(ctx)
}

const uniqueViolation = "23505"

// transact stores the plan's events by w.path, in one transaction. A failed rollback closes the
// connection, so that the next batch never finds itself in this one's transaction.
func (w *Writer) transact(ctx context.Context, p *writePlan) error {
	// READ COMMITTED, whatever the role's default: each statement must see what those before it
	// have waited for.
	return durable.Tx(ctx, w.conn, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if p.redelivered {
			if err := p.dropStoredByPlainID(ctx, tx); err != nil {
				return err
			}
			if len(p.firsts) == 0 && len(p.keyRepeats) == 0 {
				return durable.SyncOnCommit(ctx, tx)
			}
		}
		if p.keyed {
			if err := p.takeKeys(ctx, tx); err != nil {
				return err
			}
			if len(p.firsts) == 0 {
				return durable.SyncOnCommit(ctx, tx)
			}
		}
		if err := w.write(ctx, tx, p); err != nil {
			return err
		}
		if !p.keyed {
			return nil
		}
		return p.compareKeyRepeats(ctx, tx)
	})
}

// write stores the plan's firsts, and compares its repeats.
func (w *Writer) write(ctx context.Context, tx pgx.Tx, p *writePlan) error {
	switch w.path {
	case PathCopy:
		return p.copyAll(ctx, tx)
	case PathLook:
		return p.lookThenCopy(ctx, tx)
	}
	return p.insertNew(ctx, tx)
}

// sessionSettings are a writer's settings of its connection, beside those of package durable.
//
// Every statement here, and those of the foreign keys, finds rows by their keys. PostgreSQL keeps a
// plan as long as the connection, and one that it makes while the month's partition is empty would
// read all of it when it is full, until somebody runs ANALYZE: so all but index scans are off.
const sessionSettings = `
	SELECT set_config('enable_seqscan', 'off', false),
		set_config('enable_hashjoin', 'off', false),
		set_config('enable_mergejoin', 'off', false)`

// connect connects unless there is a connection. For a database that the trail does not belong to
// it returns ErrRestored.
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
