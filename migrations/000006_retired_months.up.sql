-- What became of months that left the trail. The row is written by the transaction that drops the month's table, so
-- that no month is gone without it, and it holds what the month's export must hash to.

CREATE TABLE retired_months (
    month          date        NOT NULL CHECK (extract(day FROM month) = 1),
    dropped_at     timestamptz NOT NULL DEFAULT now(),
    dropped_by     text        NOT NULL DEFAULT session_user,
    event_count    bigint      NOT NULL CHECK (event_count >= 0),
    first_event_id uuid,
    last_event_id  uuid,
    export         text,
    export_sha256  text CHECK (export_sha256 ~ '^[0-9a-f]{64}$'),
    content_sha256 text CHECK (content_sha256 ~ '^[0-9a-f]{64}$'),
    -- Events that arrive after their month was dropped make it anew, and it is retired again.
    PRIMARY KEY (month, dropped_at),
    CHECK (num_nulls(export, export_sha256, content_sha256) IN (0, 3))
);

COMMENT ON TABLE retired_months IS 'Months whose events are no longer in the database; written by `migrate partitions`';
COMMENT ON COLUMN retired_months.month IS 'Its first day, UTC';
COMMENT ON COLUMN retired_months.export IS 'The name of the file that has the events; null: they were dropped without one';
COMMENT ON COLUMN retired_months.export_sha256 IS 'SHA-256 of that file';
COMMENT ON COLUMN retired_months.content_sha256 IS 'SHA-256 of the SHA-256 of its lines, which has the table''s rows: see docs/retention.md';

GRANT SELECT ON retired_months TO trailpost_writer, trailpost_reader;

-- A second was as long as an insert may wait at all.
ALTER FUNCTION ensure_partitions SET lock_timeout = '200ms';
