-- The view of migration 4, with the grants of 5: a view can't lose a column otherwise.
DROP VIEW log_events_with_user;

-- A dropped column would keep its grants in the catalog.
REVOKE INSERT (received_from) ON log_events FROM trailpost_writer;

ALTER TABLE log_events DROP COLUMN received_from;

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
       e.payload
  FROM log_events e
  JOIN review_sessions s USING (session_id)
  JOIN users u USING (user_id);

COMMENT ON COLUMN log_events_with_user.username_sent IS 'The user that the event itself named, if any';
COMMENT ON COLUMN log_events_with_user.session_owner IS 'The owner of the session, unknown until an event names one';

GRANT SELECT ON log_events_with_user TO trailpost_writer, trailpost_reader;
