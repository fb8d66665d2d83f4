DROP FUNCTION trail_resume, note_horizon, record_epoch, trail_elsewhere, trail_current_epoch;
DROP TABLE trail_epochs;

-- adopt_cluster and trail_horizon of migration 7.
CREATE OR REPLACE FUNCTION adopt_cluster() RETURNS boolean
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

CREATE OR REPLACE FUNCTION trail_horizon() RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset FROM public.trail_origin
$$;

COMMENT ON FUNCTION trail_horizon IS 'Follow the trail: WHERE tx >= cursor AND tx < trail_horizon(), and go on from that horizon';
COMMENT ON TABLE trail_origin IS 'The cluster whose transaction ids log_events.tx holds; compare with pg_control_system()';

ALTER TABLE trail_origin DROP COLUMN noted_at, DROP COLUMN safe_tx, DROP COLUMN database_oid;
