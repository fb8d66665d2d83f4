-- Who may do what, all of it. The group roles come from `migrate roles`.
--
-- Nothing is granted on a partition: rows go in and out through log_events, whose privileges PostgreSQL checks alone.

GRANT SELECT ON users, review_sessions, log_events, trail_origin, log_events_with_user
    TO trailpost_writer, trailpost_reader;

-- The writer adds, and completes sessions. It can't change, take away or empty anything of the trail.
GRANT INSERT (username) ON users TO trailpost_writer;
GRANT INSERT (session_id, user_id, start_time, end_time), UPDATE (user_id, start_time, end_time)
    ON review_sessions TO trailpost_writer;
-- Every column but tx, so that no one can give a row another place in the order of commits.
GRANT INSERT (event_id, session_id, event_type, username, payload, "timestamp", received_at)
    ON log_events TO trailpost_writer;

GRANT EXECUTE ON FUNCTION ensure_partitions TO trailpost_writer;
GRANT EXECUTE ON FUNCTION default_partition_rows TO trailpost_writer, trailpost_reader;
