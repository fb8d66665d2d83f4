-- What the release before could not read, or would store twice.
SET LOCAL lock_timeout = '200ms';
LOCK TABLE ONLY log_events IN ACCESS EXCLUSIVE MODE;
LOCK TABLE log_events IN ACCESS EXCLUSIVE MODE NOWAIT;

DO $$
DECLARE
    month    regclass;
    has_such boolean;
BEGIN
    IF EXISTS (SELECT FROM log_events WHERE source IS NOT NULL OR session_id IS NULL) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'there are events with a source, or without a session, for which the schema before has no place';
    ELSIF EXISTS (SELECT FROM event_keys) THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = 'there are event keys, without which events may be stored twice';
    END IF;
    -- A month that is detached comes back with its columns.
    FOR month IN
        SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'source' AND NOT a.attisdropped
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
           AND c.relname ~ '^log_events_y\d{4}m\d{2}$'
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE source IS NOT NULL OR session_id IS NULL)', month) INTO has_such;
        IF has_such THEN
            RAISE object_not_in_prerequisite_state USING MESSAGE = format('the detached month %s has events with a source, or without a session, for which the schema before has no place', month);
        END IF;
        EXECUTE format('ALTER TABLE %s DROP COLUMN source, DROP COLUMN source_id, ALTER COLUMN session_id SET NOT NULL', month);
    END LOOP;
END
$$;

DROP FUNCTION drop_event_keys;
DROP TABLE event_keys;

-- A view can't lose a column otherwise.
DROP VIEW log_events_with_user;

CREATE OR REPLACE FUNCTION keep_sessions_of_events() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE feature_not_supported USING MESSAGE = 'sessions are taken away in READ COMMITTED only';
    ELSIF TG_OP = 'TRUNCATE' THEN
        IF EXISTS (SELECT FROM log_events) THEN
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

-- A dropped column would keep its grants in the catalog.
REVOKE INSERT (source, source_id) ON log_events FROM trailpost_writer;

ALTER TABLE log_events
    DROP COLUMN source,
    DROP COLUMN source_id,
    ALTER COLUMN session_id SET NOT NULL;

COMMENT ON COLUMN log_events.session_id IS 'One of review_sessions: the writer makes it, and none that an event names can be taken away';

CREATE VIEW log_events_with_user AS
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
       e.received_from
  FROM log_events e
  LEFT JOIN review_sessions s USING (session_id)
  LEFT JOIN users u USING (user_id);

COMMENT ON COLUMN log_events_with_user.username_sent IS 'The user that the event itself named, if any';
COMMENT ON COLUMN log_events_with_user.session_owner IS 'The owner of the session, unknown until an event names one';

GRANT SELECT ON log_events_with_user TO trailpost_writer, trailpost_reader;
