-- Back to one default partition that holds everything: the months' events move into it, none is lost.

DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN
        SELECT inhrelid::regclass FROM pg_inherits
         WHERE inhparent = 'public.log_events'::regclass AND inhrelid <> 'public.log_events_default'::regclass
         ORDER BY inhrelid
    LOOP
        EXECUTE format('ALTER TABLE public.log_events DETACH PARTITION %s', partition);
        EXECUTE format('INSERT INTO public.log_events_default SELECT * FROM %s', partition);
        EXECUTE format('DROP TABLE %s', partition);
    END LOOP;
END
$$;

DROP FUNCTION default_partition_rows;
DROP FUNCTION ensure_partitions;
DROP FUNCTION event_id_time;
DROP FUNCTION event_id_floor;
