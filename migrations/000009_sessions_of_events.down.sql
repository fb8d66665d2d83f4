-- Reads every event: the foreign key wants each to have its session. Nothing is stored for that time.
LOCK TABLE review_sessions IN ACCESS EXCLUSIVE MODE;

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
  JOIN review_sessions s USING (session_id)
  JOIN users u USING (user_id);

COMMENT ON COLUMN log_events.session_id IS NULL;

DROP TRIGGER events_keep_sessions ON review_sessions;
DROP TRIGGER events_keep_their_session ON review_sessions;
DROP FUNCTION keep_sessions_of_events;

ALTER TABLE log_events ADD CONSTRAINT log_events_session_id_fkey
    FOREIGN KEY (session_id) REFERENCES review_sessions ON DELETE RESTRICT;
