-- Epochs. Whoever follows the trail by tx must know when the server is no longer quite the one that it read from: a
-- crash, a standby that was promoted, a restore to an earlier moment or of a dump give transaction ids again, and with
-- them tx, which others may have had there. docs/following.md is the follower's side of this.
--
-- What holds it up is a note, written each minute: safe_tx, the horizon of that moment. Let N be the transaction that
-- writes it. All transactions below the horizon had ended when N looked, so what they stored comes before N's commit in
-- the WAL, and in the sight of any snapshot that has N: each copy that has the note, by WAL, by files or by a dump, has all
-- of the trail below it. And the horizon is at most N's own id, which each such copy has used: what is stored there
-- later has a greater tx. So below safe_tx all copies are alike, for good, and what a follower has from there on it must
-- read again.

-- As in migration 8: followers wait for that moment, and behind whoever holds this up.
SET LOCAL lock_timeout = '200ms';

ALTER TABLE trail_origin
    ADD COLUMN database_oid oid,
    ADD COLUMN safe_tx bigint NOT NULL DEFAULT 0,
    ADD COLUMN noted_at timestamptz;

UPDATE trail_origin SET database_oid = (SELECT oid FROM pg_database WHERE datname = current_database());

ALTER TABLE trail_origin ALTER COLUMN database_oid SET NOT NULL;

COMMENT ON TABLE trail_origin IS 'Where the trail is at home: the cluster and the database whose transaction ids log_events.tx holds; see trail_elsewhere()';
COMMENT ON COLUMN trail_origin.database_oid IS 'The database''s OID (pg_database)';
COMMENT ON COLUMN trail_origin.safe_tx IS 'A horizon that was noted: each copy of the trail that has this has all that was stored below it, too';
COMMENT ON COLUMN trail_origin.noted_at IS 'When safe_tx moved last; null: never yet';

CREATE TABLE trail_epochs (
    number  bigint      PRIMARY KEY,
    epoch   text        NOT NULL UNIQUE,
    safe_tx bigint      NOT NULL,
    began   timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE trail_epochs IS 'Each start, promotion and restore of the server that the trail has been on, in order; see docs/following.md';
COMMENT ON COLUMN trail_epochs.safe_tx IS 'trail_origin.safe_tx as the epoch found it: whoever read in an earlier one reads again from there';
COMMENT ON COLUMN trail_epochs.began IS 'When it was first noticed';

-- trail_current_epoch names what makes a server another one: cluster, timeline, database, start. The timeline is that of
-- the WAL that is being written, which is the new one at once after a promotion; the control file has the old one until
-- a checkpoint has ended. A promotion does not change the start. On a standby it fails.
CREATE FUNCTION trail_current_epoch() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat_ws('/', c.system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8), d.oid,
                     (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint)
      FROM pg_control_system() c, pg_database d
     WHERE d.datname = current_database()
$$;

COMMENT ON FUNCTION trail_current_epoch IS 'System identifier, timeline, database OID and start of the server (Unix time in microseconds)';

-- trail_elsewhere says why the trail does not belong to this database, so that nothing may be added before adopt_cluster
-- has been called (by `migrate up`); null where it is. Transaction ids below the noted horizon are never given again by a
-- server that has the note, unless somebody has set them back (pg_resetwal).
CREATE FUNCTION trail_elsewhere() RETURNS text
    LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
           WHEN o.system_identifier IS NULL THEN 'trail_origin is empty'
           WHEN o.system_identifier <> c.system_identifier
           THEN format('it comes from the cluster %s, and this is %s', o.system_identifier, c.system_identifier)
           WHEN o.database_oid <> d.oid
           THEN format('it comes from the database with the OID %s, and this one has %s', o.database_oid, d.oid)
           WHEN pg_snapshot_xmin(pg_current_snapshot())::text::bigint + o.tx_offset < o.safe_tx
           THEN format('transaction ids have been set back, below those that had been given when %s was noted', o.safe_tx)
           END
      FROM pg_control_system() c
      JOIN pg_database d ON d.datname = current_database()
      LEFT JOIN public.trail_origin o ON true
$$;

COMMENT ON FUNCTION trail_elsewhere IS 'Why the trail is not yet adopted by this database (`migrate up` makes it so); null: it is';

-- Rows without an origin have no horizon, and least() would take null for none to keep.
CREATE OR REPLACE FUNCTION trail_horizon() RETURNS bigint
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    horizon constant bigint := (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint + tx_offset FROM public.trail_origin);
BEGIN
    IF horizon IS NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'the trail does not belong to this database: trail_origin is empty',
            HINT = 'Run `migrate up`.';
    END IF;
    RETURN horizon;
END
$$;

COMMENT ON FUNCTION trail_horizon IS 'The tx below which nothing comes any more, in this epoch; no cursor (docs/following.md)';

-- record_epoch writes down the current epoch, if it is new, with safe_tx as it finds it: the note moves only in a
-- transaction that has seen or written that row, so nobody can have moved it in this epoch before. Of several at once,
-- the unique keys let one through.
CREATE FUNCTION record_epoch() RETURNS text
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    here constant text := public.trail_current_epoch();
    away constant text := public.trail_elsewhere();
BEGIN
    IF away IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'the trail does not belong to this database: ' || away,
            HINT = 'Run `migrate up`.';
    END IF;
    IF NOT EXISTS (SELECT FROM public.trail_epochs WHERE epoch = here) THEN
        INSERT INTO public.trail_epochs (number, epoch, safe_tx)
        SELECT 1 + coalesce((SELECT max(number) FROM public.trail_epochs), 0), here, safe_tx FROM public.trail_origin
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN here;
END
$$;

-- note_horizon is called by each consumer each minute. It returns when the note moved last: a moment ago, unless a
-- transaction that has written something is open since then, somewhere in the cluster. Where another session is at it,
-- it leaves it to that one.
CREATE FUNCTION note_horizon() RETURNS timestamptz
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '5s'
AS $$
BEGIN
    PERFORM public.record_epoch();
    PERFORM FROM public.trail_origin FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE public.trail_origin SET safe_tx = public.trail_horizon(), noted_at = now()
         WHERE safe_tx < public.trail_horizon();
    END IF;
    RETURN (SELECT noted_at FROM public.trail_origin);
END
$$;

COMMENT ON FUNCTION note_horizon IS 'Consumers call it each minute: what it notes is in each copy of the trail';

-- trail_resume is for followers. It returns the epoch to keep with the cursor, and where that is not the one that the
-- follower comes with, the tx from which it has to drop what it has and read again: safe_tx of the first epoch after its
-- own; 0, all of it, where there is no telling. A known epoch writes nothing, and needs no transaction that may.
CREATE FUNCTION trail_resume(known text) RETURNS TABLE (epoch text, from_tx bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '5s'
AS $$
BEGIN
    epoch := public.record_epoch();
    IF known IS DISTINCT FROM epoch THEN
        from_tx := coalesce((
            SELECT later.safe_tx FROM public.trail_epochs own JOIN public.trail_epochs later ON later.number > own.number
             WHERE own.epoch = known
             ORDER BY later.number LIMIT 1), 0);
    END IF;
    RETURN NEXT;
END
$$;

COMMENT ON FUNCTION trail_resume IS 'The epoch; if it is not the known one, from_tx is where to read again, and to drop what is there from: docs/following.md';

-- adopt_cluster makes the trail at home in this database. It is called by `migrate up` each time, and after a restore; where
-- the trail is at home already it does nothing, otherwise it lets tx begin above all that is there, or has been, and says
-- true. It reads the whole trail then, detached months too, and nobody writes meanwhile.
--
-- A transaction that began before may still store something: so the offset is reckoned from the oldest one that runs.
CREATE OR REPLACE FUNCTION adopt_cluster() RETURNS boolean
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    noted    bigint;
    highest  bigint;
    ahead    bigint;
    month    regclass;
BEGIN
    IF public.trail_elsewhere() IS NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE public.log_events IN ACCESS EXCLUSIVE MODE;
    IF public.trail_elsewhere() IS NULL THEN
        RETURN false; -- another session was first
    END IF;
    noted := coalesce((SELECT safe_tx FROM public.trail_origin), 0);
    highest := GREATEST(noted - 1, (SELECT max(tx) FROM public.log_events));
    -- Months that were detached come back with their tx.
    FOR month IN
        SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tx' AND a.atttypid = 'bigint'::regtype
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
           AND c.relname ~ '^log_events_y\d{4}m\d{2}$'
    LOOP
        EXECUTE format('SELECT GREATEST($1, max(tx)) FROM %s', month) INTO highest USING highest;
    END LOOP;
    ahead := GREATEST(0, highest + 1 - pg_snapshot_xmin(pg_current_snapshot())::text::bigint);
    EXECUTE format('ALTER TABLE public.log_events ALTER COLUMN tx SET DEFAULT pg_current_xact_id()::text::bigint + %s', ahead);
    INSERT INTO public.trail_origin (system_identifier, database_oid, tx_offset)
    SELECT c.system_identifier, d.oid, ahead FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()
    ON CONFLICT (only_row) DO UPDATE
        SET system_identifier = excluded.system_identifier, database_oid = excluded.database_oid, tx_offset = excluded.tx_offset;
    PERFORM public.record_epoch();
    RETURN true;
END
$$;

REVOKE EXECUTE ON FUNCTION trail_current_epoch, trail_elsewhere, record_epoch, note_horizon, trail_resume FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trail_current_epoch, trail_elsewhere, note_horizon, trail_resume TO trailpost_writer, trailpost_reader;
GRANT SELECT ON trail_epochs TO trailpost_writer, trailpost_reader;
