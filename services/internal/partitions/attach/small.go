package attach

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/trailpost/trailpost/services/internal/durable"
	"github.com/trailpost/trailpost/services/internal/partitions/month"
)

// attachWithFew moves the late rows within the transaction that attaches the month.
func (at *Attacher) attachWithFew(ctx context.Context, m month.Month, columns columnList) (Attachment, error) {
	statements := replace(attachStatements, m, columns)
	var a Attachment
	err := at.Locks.Retry(ctx, []string{"log_events", "log_events_default", m.Table()}, func() error {
		results, err := at.Conn.PgConn().Exec(ctx, statements).ReadAll()
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
	at.Failpoint("attached")
	at.logAttached(ctx, a)
	// It was not waited for while others waited for us. Now it is.
	return a, durable.Sync(ctx, at.Conn)
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

// attachStatements finds all proved, so that it has nothing to read but the default partition. In
// one message, as detachStatements is, and, as that one, it does not have others wait until the
// disk or a standby has it.
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
