package partitions

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Attach takes detached months back into the trail, and with them the events of those months that came meanwhile. It
// returns those that it took.
func (s *Session) Attach(ctx context.Context, months ...Month) ([]Month, error) {
	found, err := s.inState(ctx, Detached, months)
	if err != nil {
		return nil, fmt.Errorf("attaching: %w", err)
	}
	var done []Month
	for _, m := range found {
		if err := s.attach(ctx, m); err != nil {
			return done, fmt.Errorf("attaching %s: %w", m, err)
		}
		s.log.InfoContext(ctx, "Month attached", "month", m.String(), "table", m.Table())
		done = append(done, m)
	}
	if err := s.settle(ctx); err != nil {
		return done, fmt.Errorf("attaching: %w", err)
	}
	return done, nil
}

func (s *Session) attach(ctx context.Context, m Month) error {
	if err := s.work(ctx); err != nil {
		return err
	}
	table, low, high := qualified(m.Table()), floor(m.Start()), floor(m.End())
	tables := []string{"log_events", "log_events_default", m.Table()}
	for _, statements := range []string{
		fmt.Sprintf(promise, table, low, high),
		fmt.Sprintf(proof, table),
		fmt.Sprintf(attachment, table, low, high),
	} {
		err := s.untilFree(ctx, tables, func() error {
			_, err := s.conn.PgConn().Exec(ctx, statements).ReadAll()
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// floor is event_id_floor of migration 3.
func floor(t time.Time) uuid.UUID {
	var id uuid.UUID
	for i, ms := 5, t.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms & 0xff)
	}
	return id
}

// promise gives a month the columns that the trail has got since it was detached (which are all nullable and last), and
// its bounds as a check; that its rows keep them is not looked at yet. An attach that was killed may have done it.
const promise = `
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

// proof reads the rows, and keeps no one from reading or writing any table.
const proof = `
SET LOCAL lock_timeout = '200ms';
ALTER TABLE %[1]s VALIDATE CONSTRAINT month_of_events`

// attachment finds all proved, so that it has nothing to read but the default partition. In one message, as detachment is.
const attachment = `
SET LOCAL lock_timeout = '200ms';
SET LOCAL statement_timeout = '200ms';
LOCK TABLE ONLY public.log_events IN SHARE UPDATE EXCLUSIVE MODE;
LOCK TABLE ONLY public.log_events_default, ONLY %[1]s IN ACCESS EXCLUSIVE MODE;
SET LOCAL statement_timeout = '400ms';
WITH moved AS (DELETE FROM public.log_events_default WHERE event_id >= '%[2]s' AND event_id < '%[3]s' RETURNING *)
INSERT INTO %[1]s SELECT * FROM moved;
ALTER TABLE public.log_events ATTACH PARTITION %[1]s FOR VALUES FROM ('%[2]s') TO ('%[3]s');
ALTER TABLE %[1]s DROP CONSTRAINT month_of_events;
COMMENT ON TABLE %[1]s IS NULL`
