-- Taking a table's privileges takes those of its columns.
REVOKE ALL ON users, review_sessions, log_events, trail_origin, log_events_with_user
    FROM trailpost_writer, trailpost_reader;
REVOKE ALL ON FUNCTION ensure_partitions, default_partition_rows FROM trailpost_writer, trailpost_reader;
