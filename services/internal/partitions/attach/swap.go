package attach

import (
	"fmt"
	"strings"

	"github.com/trailpost/trailpost/services/internal/partitions/dependents"
)

// swap is the one transaction: in one message, as detachStatements is, and, as that one, it does
// not have others wait until the disk or a standby has it. What is lost with it, in a crash, is the
// exchange.
func (c *copying) swap() string {
	return strings.NewReplacer("$since", fmt.Sprint(c.since), "$comment", commentPrefix+c.month.String(),
		"$dependents", dependents.NamesQuery("log_events_default", exchangeRefused...)).
		Replace(replace(swapStatements, c.month, c.columns))
}

const swapStatements = `
SET LOCAL lock_timeout = '200ms';
SET LOCAL statement_timeout = '200ms';
SET LOCAL synchronous_commit = off;
LOCK TABLE ONLY public.log_events, ONLY public.log_events_default, ONLY $month, ONLY public.` + NextDefault + ` IN ACCESS EXCLUSIVE MODE;
SET LOCAL statement_timeout = '400ms';
DO $do$
BEGIN
    IF ($dependents) IS NOT NULL THEN
        RAISE dependent_objects_still_exist USING MESSAGE = 'something depends on log_events_default';
    END IF;
END
$do$;
SET LOCAL enable_seqscan = off;
WITH d AS MATERIALIZED (
    SELECT $columns FROM ONLY public.log_events_default WHERE tx >= $since
), late AS (
    INSERT INTO $month ($columns) SELECT $columns FROM d WHERE event_id >= '$low' AND event_id < '$high'
    ON CONFLICT (event_id) DO NOTHING
)
INSERT INTO public.` + NextDefault + ` ($columns) SELECT $columns FROM d WHERE event_id < '$low' OR event_id >= '$high'
ON CONFLICT (event_id) DO NOTHING;
DO $do$
DECLARE
    comment constant text := obj_description('public.log_events_default'::regclass, 'pg_class');
    names   text[]; -- of the indexes
    parents oid[];
    one     record;
BEGIN
    SELECT array_agg(c.relname::text), array_agg(h.inhparent) INTO names, parents
      FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_inherits h ON h.inhrelid = c.oid
     WHERE i.indrelid = 'public.log_events_default'::regclass;
    ALTER TABLE public.log_events DETACH PARTITION public.log_events_default;
    FOR one IN SELECT relname FROM pg_class WHERE oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'public.log_events_default'::regclass) LOOP
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', one.relname, left(one.relname, 54) || '_former');
    END LOOP;
    ALTER TABLE public.log_events_default RENAME TO ` + FormerDefault + `;
    COMMENT ON TABLE public.` + FormerDefault + ` IS '$comment';
    ALTER TABLE public.log_events ATTACH PARTITION $month FOR VALUES FROM ('$low') TO ('$high');
    ALTER TABLE public.log_events ATTACH PARTITION public.` + NextDefault + ` DEFAULT;
    ALTER TABLE public.` + NextDefault + ` RENAME TO log_events_default;
    FOR one IN
        SELECT c.relname, h.inhparent FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_inherits h ON h.inhrelid = c.oid
         WHERE i.indrelid = 'public.log_events_default'::regclass
    LOOP
        EXECUTE format('ALTER INDEX public.%I RENAME TO %I', one.relname, names[array_position(parents, one.inhparent)]);
    END LOOP;
    FOR one IN SELECT conname FROM pg_constraint WHERE conrelid = 'public.log_events_default'::regclass AND conname LIKE 'of\_no\_month\_%' LOOP
        EXECUTE format('ALTER TABLE public.log_events_default DROP CONSTRAINT %I', one.conname);
    END LOOP;
    EXECUTE format('COMMENT ON TABLE public.log_events_default IS %L', comment);
    ALTER TABLE $month DROP CONSTRAINT month_of_events;
    COMMENT ON TABLE $month IS NULL;
END
$do$`
