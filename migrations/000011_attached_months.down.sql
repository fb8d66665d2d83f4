-- These events are nowhere else.
DO $$
DECLARE
    n constant bigint := (SELECT count(*) FROM log_events_conflicts);
BEGIN
    IF n > 0 THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('log_events_conflicts has %s events that are nowhere else', n),
            HINT = 'Copy them elsewhere and empty it (TRUNCATE log_events_conflicts) first.';
    END IF;
END
$$;

DROP TABLE log_events_conflicts;
DROP TABLE attached_months;
