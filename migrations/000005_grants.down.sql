REVOKE ALL ON users, review_sessions, log_events, trail_origin, log_events_with_user
    FROM trailpost_writer, trailpost_reader;
REVOKE ALL (username) ON users FROM trailpost_writer;
REVOKE ALL (session_id, user_id, start_time, end_time) ON review_sessions FROM trailpost_writer;
REVOKE ALL (event_id, session_id, event_type, username, payload, "timestamp", received_at)
    ON log_events FROM trailpost_writer;
REVOKE ALL ON FUNCTION ensure_partitions, default_partition_rows FROM trailpost_writer, trailpost_reader;
