-- What became of events that came while their month was detached, when `migrate partitions attach` took it back. Of such an
-- event and the month's own of the same id one can stay. The month's own does: it was there first, and so the later one
-- would have been a duplicate or, with other content, a dead letter (event_id_reused), had the month been there.

CREATE TABLE attached_months (
    month       date        NOT NULL CHECK (extract(day FROM month) = 1),
    attached_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    attached_by text        NOT NULL DEFAULT session_user,
    late_events bigint      NOT NULL CHECK (late_events >= 0),
    duplicates  bigint      NOT NULL CHECK (duplicates >= 0),
    conflicts   bigint      NOT NULL CHECK (conflicts >= 0),
    PRIMARY KEY (month, attached_at)
);

COMMENT ON TABLE attached_months IS 'Months that were detached and came back; written by `migrate partitions attach`';
COMMENT ON COLUMN attached_months.month IS 'Its first day, UTC';
COMMENT ON COLUMN attached_months.late_events IS 'Events that had come meanwhile, and are in the month now';
COMMENT ON COLUMN attached_months.duplicates IS 'Events that had come meanwhile and were the month''s own again';
COMMENT ON COLUMN attached_months.conflicts IS 'Events that had come meanwhile with an id of the month''s own and other content: they are in log_events_conflicts';

CREATE TABLE log_events_conflicts (
    event_id     uuid        NOT NULL,
    tx           bigint      NOT NULL,
    month        date        NOT NULL,
    event        json        NOT NULL,
    set_aside_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    set_aside_by text        NOT NULL DEFAULT session_user,
    PRIMARY KEY (event_id, tx)
);

COMMENT ON TABLE log_events_conflicts IS 'Events that were accepted while their month was detached, under an id that the month had for another; log_events has the month''s';
COMMENT ON COLUMN log_events_conflicts.tx IS 'The event''s own, as it was in log_events';
COMMENT ON COLUMN log_events_conflicts.event IS 'The row, as row_to_json writes it: json_populate_record(NULL::log_events, event) is that row again';

GRANT SELECT ON attached_months, log_events_conflicts TO trailpost_writer, trailpost_reader;
