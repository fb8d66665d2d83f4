package attach

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
	"github.com/trailpost/trailpost/services/internal/pglock"
)

// Attachment is a month that was taken back, and what became of the events of it that came while it
// was detached, which had to wait in the default partition. attached_months has the same.
type Attachment struct {
	Month month.Month
	// Late are in the month now, beside its own.
	Late int64
	// Duplicates were the month's own again, as store.Writer compares events, and are gone: the
	// month has them.
	Duplicates int64
	// Conflicts have an id of the month's own and other content. They are in log_events_conflicts.
	Conflicts []uuid.UUID
}

// Attacher attaches months, on the connection of the one session that may change partitions.
type Attacher struct {
	Conn  *pgx.Conn
	Log   *slog.Logger
	Locks *pglock.Locker
	// FewBytes is the size of a default partition whose rows are moved and looked at within one
	// attempt: nobody may read the trail's default partition meanwhile. A larger one is exchanged.
	FewBytes int64
	// SliceRows is how many rows are copied in a transaction.
	SliceRows int
	// Failpoint is called after each step. Tests end the process there.
	Failpoint func(step string)
}

// Attach takes a detached month back into the trail, and with it the events of that month that came
// meanwhile.
func (at *Attacher) Attach(ctx context.Context, m month.Month) (a Attachment, err error) {
	columns, err := at.columns(ctx)
	if err != nil {
		return a, err
	}
	table, low, high := pgident.Public(m.Table()), floor(m.Start()), floor(m.End())
	for _, statements := range []string{
		fmt.Sprintf(addBounds, table, low, high),
		fmt.Sprintf(validateBounds, table),
	} {
		err := at.Locks.Retry(ctx, []string{m.Table()}, func() error {
			_, err := at.Conn.PgConn().Exec(ctx, statements).ReadAll()
			return err
		})
		if err != nil {
			return a, err
		}
	}
	at.Failpoint("promised")

	var bytes int64
	if err := at.Conn.QueryRow(ctx, "SELECT pg_table_size('public.log_events_default')").Scan(&bytes); err != nil {
		return a, err
	}
	if bytes > at.FewBytes {
		return at.exchange(ctx, m, columns)
	}
	if a, err = at.attachWithFew(ctx, m, columns); timedOut(err) {
		return at.exchange(ctx, m, columns) // few, and yet too much for this machine
	}
	return a, err
}

func (at *Attacher) logAttached(ctx context.Context, a Attachment) {
	at.Log.InfoContext(ctx, "month attached", "month", a.Month.String(), "table", a.Month.Table(),
		"late_events", a.Late, "duplicates", a.Duplicates, "conflicts", len(a.Conflicts))
	if len(a.Conflicts) > 0 {
		at.Log.WarnContext(ctx, "events that came while the month was detached have ids of the month's own and other content: they are in log_events_conflicts",
			"month", a.Month.String(), "event_ids", a.Conflicts)
	}
}

// addBounds gives a month the columns that the trail has got since it was detached (which are all
// nullable and last), takes the NOT NULL of those that the trail lets be null by now, and gives it
// its bounds as a check; that its rows keep them is not looked at yet. An attach that was killed
// may have done it.
const addBounds = `
SET LOCAL lock_timeout = '200ms';
DO $do$
DECLARE
    wanted record;
BEGIN
    FOR wanted IN
        SELECT attname AS name, format_type(atttypid, atttypmod) AS type
          FROM pg_attribute a WHERE attrelid = 'public.log_events'::regclass AND attnum > 0 AND NOT attisdropped
           AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = '%[1]s'::regclass AND attname = a.attname)
         ORDER BY attnum
    LOOP
        EXECUTE format('ALTER TABLE %[1]s ADD COLUMN %%I %%s', wanted.name, wanted.type);
    END LOOP;
    FOR wanted IN
        SELECT attname AS name
          FROM pg_attribute a WHERE attrelid = 'public.log_events'::regclass AND attnum > 0 AND NOT attisdropped AND NOT attnotnull
           AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = '%[1]s'::regclass AND attname = a.attname AND attnotnull)
    LOOP
        EXECUTE format('ALTER TABLE %[1]s ALTER COLUMN %%I DROP NOT NULL', wanted.name);
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = '%[1]s'::regclass AND conname = 'month_of_events') THEN
        ALTER TABLE %[1]s ADD CONSTRAINT month_of_events CHECK (event_id >= '%[2]s' AND event_id < '%[3]s') NOT VALID;
    END IF;
END
$do$`

// validateBounds reads the rows, and keeps no one from reading or writing any table.
const validateBounds = `
SET LOCAL lock_timeout = '200ms';
ALTER TABLE %[1]s VALIDATE CONSTRAINT month_of_events`
