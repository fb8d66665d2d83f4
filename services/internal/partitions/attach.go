package partitions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/trailpost/trailpost/services/internal/partitions/month"
	"github.com/trailpost/trailpost/services/internal/pgident"
)

// Attachment is a month that was taken back, and what became of the events of it that came while it was detached, which
// had to wait in the default partition. attached_months has the same.
type Attachment struct {
	Month month.Month
	// Late are in the month now, beside its own.
	Late int64
	// Duplicates were the month's own again, as store.Writer compares events, and are gone: the month has them.
	Duplicates int64
	// Conflicts have an id of the month's own and other content. They are in log_events_conflicts.
	Conflicts []uuid.UUID
}

// Attach takes detached months back into the trail, and with them the events of those months that came meanwhile. It
// returns those that it took.
//
// Of two events of one id the month's own stays in the trail: it was there first. The other would have been a duplicate,
// or a dead letter, if the month had been there.
func (s *Session) Attach(ctx context.Context, months ...month.Month) ([]Attachment, error) {
	if err := s.takeWorkLock(ctx); err != nil {
		return nil, fmt.Errorf("attaching: %w", err)
	}
	// Another, which was killed, may have been as good as done.
	done, all := s.reconciled, len(months) == 0
	s.reconciled = nil
	months = slices.DeleteFunc(slices.Clone(months), func(m month.Month) bool {
		return slices.ContainsFunc(done, func(a Attachment) bool { return a.Month == m })
	})
	if len(months) == 0 && !all {
		return done, s.sync(ctx)
	}
	found, err := s.inState(ctx, Detached, months)
	if err != nil {
		return done, fmt.Errorf("attaching: %w", err)
	}
	for _, m := range found {
		a, err := s.attach(ctx, m)
		if err != nil {
			return done, fmt.Errorf("attaching %s: %w", m, err)
		}
		done = append(done, a)
	}
	if err := s.sync(ctx); err != nil {
		return done, fmt.Errorf("attaching: %w", err)
	}
	return done, nil
}

// fewBytes is the size of a default partition whose rows are moved and looked at within one attempt: nobody may read the
// trail's default partition meanwhile. A larger one is exchanged. (A variable for tests.)
var fewBytes int64 = 4 << 20

func (s *Session) attach(ctx context.Context, m month.Month) (a Attachment, err error) {
	columns, err := s.columns(ctx)
	if err != nil {
		return a, err
	}
	table, low, high := pgident.Public(m.Table()), floor(m.Start()), floor(m.End())
	for _, statements := range []string{
		fmt.Sprintf(addBounds, table, low, high),
		fmt.Sprintf(validateBounds, table),
	} {
		err := s.retryLocked(ctx, []string{m.Table()}, func() error {
			_, err := s.conn.PgConn().Exec(ctx, statements).ReadAll()
			return err
		})
		if err != nil {
			return a, err
		}
	}
	failpoint("promised")

	var bytes int64
	if err := s.conn.QueryRow(ctx, "SELECT pg_table_size('public.log_events_default')").Scan(&bytes); err != nil {
		return a, err
	}
	if bytes > fewBytes {
		return s.exchange(ctx, m, columns)
	}
	if a, err = s.attachWithFew(ctx, m, columns); timedOut(err) {
		return s.exchange(ctx, m, columns) // few, and yet too much for this machine
	}
	return a, err
}

// attachWithFew moves the late rows within the transaction that attaches the month.
func (s *Session) attachWithFew(ctx context.Context, m month.Month, columns columnList) (Attachment, error) {
	statements := replace(attachStatements, m, columns)
	var a Attachment
	err := s.retryLocked(ctx, []string{"log_events", "log_events_default", m.Table()}, func() error {
		results, err := s.conn.PgConn().Exec(ctx, statements).ReadAll()
		if err != nil {
			return err
		}
		for _, r := range results {
			if len(r.Rows) == 1 { // of the one statement that returns any
				a, err = readAttachment(m, r.Rows[0])
			}
		}
		return err
	})
	if err != nil {
		return a, err
	}
	failpoint("attached")
	s.logAttached(ctx, a)
	// It was not waited for while others waited for us. Now it is.
	return a, s.sync(ctx)
}

// readAttachment reads the row that attachStatements returns.
func readAttachment(m month.Month, row [][]byte) (a Attachment, err error) {
	a.Month = m
	_, late := fmt.Sscan(string(row[0]), &a.Late)
	_, duplicates := fmt.Sscan(string(row[1]), &a.Duplicates)
	err = errors.Join(late, duplicates)
	for id := range strings.FieldsSeq(string(row[2])) {
		parsed, parseErr := uuid.Parse(id)
		a.Conflicts, err = append(a.Conflicts, parsed), errors.Join(err, parseErr)
	}
	return a, err
}

func (s *Session) logAttached(ctx context.Context, a Attachment) {
	s.log.InfoContext(ctx, "Month attached", "month", a.Month.String(), "table", a.Month.Table(),
		"late_events", a.Late, "duplicates", a.Duplicates, "conflicts", len(a.Conflicts))
	if len(a.Conflicts) > 0 {
		s.log.WarnContext(ctx, "Events that came while the month was detached have ids of the month's own and other content: they are in log_events_conflicts",
			"month", a.Month.String(), "event_ids", a.Conflicts)
	}
}

// columnList are the trail's columns, in their order.
type columnList []string

func (s *Session) columns(ctx context.Context) (columnList, error) {
	rows, err := s.conn.Query(ctx, `SELECT quote_ident(attname) FROM pg_attribute
		WHERE attrelid = 'public.log_events'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// of lists the columns of a table of a query.
func (c columnList) of(table string) string {
	if table != "" {
		table += "."
	}
	return table + strings.Join(c, ", "+table)
}

// replace fills in a statement: $month is the month's table, $first its first day, $low and $high its bounds, $columns the trail's columns,
// $m.columns and $d.columns those of a table m or d.
func replace(statement string, m month.Month, columns columnList) string {
	return strings.NewReplacer(
		"$month", pgident.Public(m.Table()), "$first", m.Start().Format(time.DateOnly),
		"$low", floor(m.Start()).String(), "$high", floor(m.End()).String(),
		"$columns", columns.of(""), "$m.columns", columns.of("m"), "$d.columns", columns.of("d"),
		"$verdict", verdict(columns),
	).Replace(statement)
}

// verdict judges a late row d beside the month's row m of the same id, if there is one: they are the same row when
// an attach that was killed has copied it, and the same event when store.Writer finds that.
func verdict(columns columnList) string {
	return `CASE
		WHEN m.event_id IS NULL THEN 'missing'
		WHEN ROW(` + columns.of("m") + `) IS NOT DISTINCT FROM ROW(` + columns.of("d") + `) THEN 'copied'
		WHEN m.session_id = d.session_id AND m.event_type = d.event_type AND m.username IS NOT DISTINCT FROM d.username
			AND m."timestamp" = d."timestamp" AND m.payload = d.payload THEN 'duplicate'
		ELSE 'conflict' END`
}

// floor is event_id_floor of migration 3.
func floor(t time.Time) uuid.UUID {
	var id uuid.UUID
	for i, ms := 5, t.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms & 0xff)
	}
	return id
}

// addBounds gives a month the columns that the trail has got since it was detached (which are all nullable and last), and
// its bounds as a check; that its rows keep them is not looked at yet. An attach that was killed may have done it.
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
    IF NOT EXISTS (SELECT FROM pg_constraint WHERE conrelid = '%[1]s'::regclass AND conname = 'month_of_events') THEN
        ALTER TABLE %[1]s ADD CONSTRAINT month_of_events CHECK (event_id >= '%[2]s' AND event_id < '%[3]s') NOT VALID;
    END IF;
END
$do$`

// validateBounds reads the rows, and keeps no one from reading or writing any table.
const validateBounds = `
SET LOCAL lock_timeout = '200ms';
ALTER TABLE %[1]s VALIDATE CONSTRAINT month_of_events`

// attachStatements finds all proved, so that it has nothing to read but the default partition. In one message, as detachStatements is,
// and, as that one, it does not have others wait until the disk or a standby has it.
const attachStatements = `
SET LOCAL lock_timeout = '200ms';
SET LOCAL statement_timeout = '200ms';
SET LOCAL synchronous_commit = off;
LOCK TABLE ONLY public.log_events IN SHARE UPDATE EXCLUSIVE MODE;
LOCK TABLE ONLY public.log_events_default, ONLY $month IN ACCESS EXCLUSIVE MODE;
SET LOCAL statement_timeout = '400ms';
WITH d AS (
    DELETE FROM ONLY public.log_events_default WHERE event_id >= '$low' AND event_id < '$high' RETURNING $columns
), judged AS MATERIALIZED (
    SELECT d.event_id, d.tx, row_to_json(d) AS event, $verdict AS verdict FROM d LEFT JOIN ONLY $month m USING (event_id)
), added AS (
    INSERT INTO $month ($columns) SELECT $d.columns FROM d ON CONFLICT (event_id) DO NOTHING
), aside AS (
    INSERT INTO public.log_events_conflicts (event_id, tx, month, event)
    SELECT event_id, tx, '$first', event FROM judged WHERE verdict = 'conflict'
    ON CONFLICT DO NOTHING
), record AS (
    INSERT INTO public.attached_months (month, late_events, duplicates, conflicts)
    SELECT '$first', count(*) FILTER (WHERE verdict IN ('missing', 'copied')), count(*) FILTER (WHERE verdict = 'duplicate'),
           count(*) FILTER (WHERE verdict = 'conflict') FROM judged
    RETURNING late_events, duplicates
)
SELECT late_events, duplicates, (SELECT coalesce(string_agg(event_id::text, ' ' ORDER BY event_id), '') FROM judged WHERE verdict = 'conflict')
  FROM record;
ALTER TABLE public.log_events ATTACH PARTITION $month FOR VALUES FROM ('$low') TO ('$high');
ALTER TABLE $month DROP CONSTRAINT month_of_events;
COMMENT ON TABLE $month IS NULL`
