-- Whoever follows the trail by tx goes on after it was restored elsewhere. Transaction ids count within one cluster, and
-- a dump that is restored on another finds them smaller than the rows': new rows would hide behind a reader's cursor.
-- So tx is the transaction id and an offset, which moves when the trail does.

ALTER TABLE trail_origin ADD COLUMN tx_offset bigint NOT NULL DEFAULT 0 CHECK (tx_offset >= 0);

COMMENT ON COLUMN trail_origin.tx_offset IS 'What log_events.tx has on top of this cluster''s transaction ids';

-- adopt_cluster is called by `migrate up` each time, and after a restore. On the cluster that the trail is at home on it
-- does nothing; on another one it lets tx begin above all that is there, and says true. It reads the whole trail then,
-- and nobody writes meanwhile.
CREATE FUNCTION adopt_cluster() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    here constant bigint := (SELECT system_identifier FROM pg_control_system());
    ahead bigint;
BEGIN
    IF here = (SELECT system_identifier FROM public.trail_origin) THEN
        RETURN false;
    END IF;
    LOCK TABLE public.log_events IN ACCESS EXCLUSIVE MODE;
    SELECT greatest(0, coalesce(max(tx), 0) + 1 - pg_current_xact_id()::text::bigint) INTO ahead FROM public.log_events;
    EXECUTE format('ALTER TABLE public.log_events ALTER COLUMN tx SET DEFAULT pg_current_xact_id()::text::bigint + %s', ahead);
    UPDATE public.trail_origin SET system_identifier = here, tx_offset = ahead;
    RETURN true;
END
$$;

-- trail_horizon is the tx below which nothing comes any more: all transactions below it have ended. A reader takes what is
-- at or above its cursor and below the horizon, and goes on from the horizon.
CREATE FUNCTION trail_horizon() RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset FROM public.trail_origin
$$;

COMMENT ON FUNCTION trail_horizon IS 'Follow the trail: WHERE tx >= cursor AND tx < trail_horizon(), and go on from that horizon';

REVOKE EXECUTE ON FUNCTION adopt_cluster, trail_horizon FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trail_horizon TO trailpost_writer, trailpost_reader;
