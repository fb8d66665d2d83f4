DROP FUNCTION analyze_trail;

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

    -- One session at a time. The number is arbitrary; advisory locks are a database's own.
    IF NOT pg_try_advisory_xact_lock(7161947025408813105) THEN
        RETURN 0;
    END IF;

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
