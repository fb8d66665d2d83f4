-- Who sent an event, by the name of the API key that the producer was shown; null where it asked for none.

-- Adding a nullable column reads and changes no row (a CHECK on it would have all of them read), but nobody may read or
-- write the trail for that moment, and whoever comes while this waits has to wait behind it. So it gives way to a long
-- reader, a dump, say, and is run again.
SET LOCAL lock_timeout = '200ms';

ALTER TABLE log_events ADD COLUMN received_from varchar(64);

COMMENT ON COLUMN log_events.received_from IS 'The name of the API key that the event was sent with; null: the producer asked for none';

GRANT INSERT (received_from) ON log_events TO trailpost_writer;

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
       e.received_from
  FROM log_events e
  JOIN review_sessions s USING (session_id)
  JOIN users u USING (user_id);
