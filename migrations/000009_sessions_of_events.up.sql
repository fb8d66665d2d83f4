-- Sessions stay as long as an event names them, as before, but the foreign key that saw to it looked at the session of
-- every event: 40 % of what storing one costs PostgreSQL (hack/bench; see README, "Performance"). Instead the writer
-- takes its lock, FOR KEY SHARE, once a session and batch, and here is the other half: whoever would take a session
-- away waits for that lock, and then looks for events.

-- As in migration 8: nobody may read or write the trail for that moment. Sessions first, as all writers do.
SET LOCAL lock_timeout = '200ms';
LOCK TABLE review_sessions IN ACCESS EXCLUSIVE MODE;

ALTER TABLE log_events DROP CONSTRAINT log_events_session_id_fkey;

-- A row's trigger runs when its row is locked, and the query in it sees what was committed until then; but only in READ
-- COMMITTED, where each statement has a snapshot of its own.
CREATE FUNCTION keep_sessions_of_events() RETURNS trigger
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

REVOKE EXECUTE ON FUNCTION keep_sessions_of_events FROM PUBLIC;

CREATE TRIGGER events_keep_their_session BEFORE DELETE OR UPDATE OF session_id ON review_sessions
    FOR EACH ROW EXECUTE FUNCTION keep_sessions_of_events();
CREATE TRIGGER events_keep_sessions BEFORE TRUNCATE ON review_sessions
    FOR EACH STATEMENT EXECUTE FUNCTION keep_sessions_of_events();

COMMENT ON COLUMN log_events.session_id IS 'One of review_sessions: the writer makes it, and none that an event names can be taken away';

-- An event stays in sight whatever becomes of its session.
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
       e.received_from
  FROM log_events e
  LEFT JOIN review_sessions s USING (session_id)
  LEFT JOIN users u USING (user_id);
