-- Whoever may connect may take any advisory lock: a role that only reads could keep partitions from being made, without a
-- word. A lock on a table needs a right to the table that goes beyond SELECT. So ensure_partitions takes one, and nothing
-- else of it is new. The table is one that hardly anybody writes to, and the mode one that writers don't meet.
CREATE OR REPLACE FUNCTION ensure_partitions(months_ahead integer DEFAULT 3) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    SET timezone = 'UTC'
    SET lock_timeout = '200ms'
AS $$
DECLARE
    this_month constant timestamptz := date_trunc('month', now());
    last_month timestamptz;
    month      timestamptz;
    partition  text;
    low        uuid;
    high       uuid;
    made       integer := 0;
BEGIN
    IF months_ahead IS NULL OR months_ahead NOT BETWEEN 1 AND 24 THEN
        RAISE invalid_parameter_value USING MESSAGE = format('months_ahead is %s, it must be 1 to 24', coalesce(months_ahead::text, 'null'));
    END IF;
    last_month := this_month + months_ahead * interval '1 month';

    -- One session at a time.
    BEGIN
        LOCK TABLE ONLY public.attached_months IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
    EXCEPTION WHEN lock_not_available THEN
        RETURN 0;
    END;

    FOR month, partition IN
        WITH wanted (m) AS (
            SELECT generate_series(this_month - interval '1 month', last_month, interval '1 month')
            UNION
            (SELECT DISTINCT date_trunc('month', event_id_time(d.event_id)) AS m
               FROM log_events_default d
              WHERE d.event_id >= event_id_floor('2020-01-01 00:00:00+00')
                AND d.event_id < event_id_floor(last_month + interval '1 month')
              ORDER BY m LIMIT 12)
        ), named (m, name) AS (
            SELECT m, to_char(m, '"log_events_y"YYYY"m"MM') FROM wanted
        )
        -- A name that is taken, by a partition that was detached and kept, say, is left alone: its events stay in
        -- the default partition, where they are counted.
        SELECT m, name FROM named WHERE to_regclass('public.' || name) IS NULL ORDER BY m
    LOOP
        -- The order in which writers lock: sessions, then events. The first because attaching makes the foreign key
        -- of the new partition; the last because PostgreSQL has to see that the default partition has no row of
        -- that month, and none may arrive between our moving them and its looking.
        LOCK TABLE ONLY public.review_sessions IN SHARE ROW EXCLUSIVE MODE;
        LOCK TABLE ONLY public.log_events IN SHARE UPDATE EXCLUSIVE MODE;
        LOCK TABLE ONLY public.log_events_default IN ACCESS EXCLUSIVE MODE;

        low := event_id_floor(month);
        high := event_id_floor(month + interval '1 month');
        -- Made alone and attached afterwards: PARTITION OF would lock all of log_events against everybody.
        EXECUTE format('CREATE TABLE public.%I (LIKE public.log_events INCLUDING ALL)', partition);
        -- The whole row moves, tx too: it keeps its place in the order of commits.
        EXECUTE format(
            'WITH moved AS (DELETE FROM public.log_events_default WHERE event_id >= %L AND event_id < %L RETURNING *)
             INSERT INTO public.%I SELECT * FROM moved', low, high, partition);
        EXECUTE format('ALTER TABLE public.log_events ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
            partition, low, high);
        made := made + 1;
    END LOOP;
    RETURN made;
END
$$;

-- PostgreSQL's autovacuum analyzes partitions and never their parent, which queries of all months are planned by: without this
-- each column has 200 different values for it, however many there are. Consumers call analyze_trail each hour. It works when the last
-- time was a day ago, or, on demand, at once; it returns whether it did, and not while somebody else changes partitions.
--
-- From PostgreSQL 18 on it looks at the parent alone: 30,000 rows of all months (300 times default_statistics_target). Before, each partition is
-- analyzed as well, as many rows of each, in one transaction, for whose end followers wait. So the caller bounds it by a
-- statement_timeout.
CREATE FUNCTION analyze_trail(again boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
AS $$
BEGIN
    IF again OR coalesce(pg_stat_get_last_analyze_time('public.log_events'::regclass) < now() - interval '1 day', true) THEN
        LOCK TABLE ONLY public.log_events IN SHARE UPDATE EXCLUSIVE MODE NOWAIT;
        IF current_setting('server_version_num')::integer >= 180000 THEN
            EXECUTE 'ANALYZE ONLY public.log_events';
        ELSE
            ANALYZE (SKIP_LOCKED) public.log_events;
        END IF;
        RETURN true;
    END IF;
    RETURN false;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END
$$;

COMMENT ON FUNCTION analyze_trail IS 'Statistics of log_events as a whole, which autovacuum does not make; consumers call it';

REVOKE EXECUTE ON FUNCTION analyze_trail FROM PUBLIC;
GRANT EXECUTE ON FUNCTION analyze_trail TO trailpost_writer;
