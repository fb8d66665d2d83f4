-- Events that POST /log did not bring: they have a source, the record's own id there, and no session. POST /log goes on
-- requiring one, and leaves both columns null.

-- Catalog changes only, no row is read. Nobody may read or write the trail for that moment, and whoever comes while this
-- waits has to wait behind it: so it gives way after 200 ms, and `migrate up` tries again. Who works on a month alone
-- (autovacuum) is not waited for at all, with everybody behind.
SET LOCAL lock_timeout = '200ms';
LOCK TABLE ONLY log_events IN ACCESS EXCLUSIVE MODE;
LOCK TABLE log_events IN ACCESS EXCLUSIVE MODE NOWAIT;

ALTER TABLE log_events
    ADD COLUMN source varchar(255),
    ADD COLUMN source_id varchar(255),
    ALTER COLUMN session_id DROP NOT NULL;

COMMENT ON COLUMN log_events.source IS 'Where it comes from: otlp/<service.name>, k8s/<cluster>, in/<source>; null: POST /log';
COMMENT ON COLUMN log_events.source_id IS 'The record''s own id at its source, if it has one';
COMMENT ON COLUMN log_events.session_id IS 'One of review_sessions: the writer makes it, and none that an event names can be taken away; null where there is a source';

GRANT INSERT (source, source_id) ON log_events TO trailpost_writer;

-- Events whose id has a time of receipt in it, since the record has none of its own that may be there: a sender's second
-- attempt has another id, and is the same event by its key. Not partitioned, since the key has no time.
CREATE TABLE event_keys (
    event_key bytea       PRIMARY KEY CHECK (octet_length(event_key) = 32),
    event_id  uuid        NOT NULL,
    kept_at   timestamptz NOT NULL DEFAULT now()
);

-- By what the id has of the key, which the id of the record's own time has, too.
CREATE INDEX event_keys_id_idx ON event_keys (substring(uuid_send(event_id) FROM 7));
CREATE INDEX event_keys_kept_at_idx ON event_keys USING brin (kept_at) WITH (autosummarize = on);

COMMENT ON TABLE event_keys IS 'Events that are recognised by a key of their source and natural id, for as long as their senders may repeat them';
COMMENT ON COLUMN event_keys.event_key IS 'HMAC-SHA-256 under the identity key of source and natural id';
COMMENT ON COLUMN event_keys.event_id IS 'The event''s id in log_events';

GRANT SELECT ON event_keys TO trailpost_writer, trailpost_reader;
GRANT INSERT (event_key, event_id) ON event_keys TO trailpost_writer;

-- drop_event_keys drops keys that are older than max_age, at most so many at once, and returns how many. Whoever only adds
-- may not call it: a key that is gone too early lets an event in twice.
CREATE FUNCTION drop_event_keys(max_age interval, slice integer DEFAULT 10000) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '200ms'
AS $$
DECLARE
    dropped integer;
BEGIN
    IF max_age IS NULL OR max_age < interval '1 day' THEN
        RAISE invalid_parameter_value USING MESSAGE = format('max_age is %s, it must be a day or more', coalesce(max_age::text, 'null'));
    END IF;
    -- A writer that waits for a key (ON CONFLICT) waits for the end of this, and then adds it.
    DELETE FROM public.event_keys WHERE event_key IN (
        SELECT k.event_key FROM public.event_keys k WHERE k.kept_at < now() - max_age
         LIMIT slice FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS dropped = ROW_COUNT;
    RETURN dropped;
END
$$;

REVOKE EXECUTE ON FUNCTION drop_event_keys FROM PUBLIC;

COMMENT ON FUNCTION drop_event_keys IS '`migrate partitions ensure` calls it';

-- Events without a session don't keep any.
CREATE OR REPLACE FUNCTION keep_sessions_of_events() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE feature_not_supported USING MESSAGE = 'sessions are taken away in READ COMMITTED only';
    ELSIF TG_OP = 'TRUNCATE' THEN
        IF EXISTS (SELECT FROM log_events WHERE session_id IS NOT NULL) THEN
            RAISE restrict_violation USING MESSAGE = 'there are events, which name sessions', SCHEMA = 'public', TABLE = 'log_events';
        END IF;
        RETURN NULL;
    ELSIF TG_OP = 'UPDATE' AND NEW.session_id = OLD.session_id THEN
        RETURN NEW;
    ELSIF EXISTS (SELECT FROM log_events WHERE session_id = OLD.session_id) THEN
        RAISE restrict_violation USING MESSAGE = format('there are events of session %s', OLD.session_id),
            SCHEMA = 'public', TABLE = 'log_events', COLUMN = 'session_id';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

-- At the end, where alone a view may grow.
CREATE OR REPLACE VIEW log_events_with_user AS
SELECT e.event_id,
       e."timestamp",
       e.received_at,
       e.event_type,
       e.session_id,
       e.username   AS username_sent,
       u.username   AS session_owner,
       s.start_time AS session_start_time,
       s.end_time   AS session_end_time,
       e.payload,
       e.received_from,
       e.source,
       e.source_id
  FROM log_events e
  LEFT JOIN review_sessions s USING (session_id)
  LEFT JOIN users u USING (user_id);
