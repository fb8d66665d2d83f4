-- The trail. One partition a calendar month (UTC) by the time inside the event's UUIDv7, so that the primary key can
-- stay event_id alone: one event, one row, however often it is delivered.

CREATE TABLE log_events (
    event_id    uuid         PRIMARY KEY,
    session_id  bigint       NOT NULL REFERENCES review_sessions ON DELETE RESTRICT,
    event_type  varchar(100) NOT NULL CHECK (event_type <> ''),
    username    varchar(255),
    payload     jsonb        NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
    "timestamp" timestamptz  NOT NULL,
    received_at timestamptz  NOT NULL,
    -- xid8 has no BRIN operator class, bigint has.
    tx          bigint       NOT NULL DEFAULT pg_current_xact_id()::text::bigint
) PARTITION BY RANGE (event_id);

CREATE INDEX log_events_session_id_event_id_idx ON log_events (session_id, event_id);
CREATE INDEX log_events_tx_idx ON log_events USING brin (tx) WITH (autosummarize = on);
CREATE INDEX log_events_timestamp_idx ON log_events USING brin ("timestamp") WITH (autosummarize = on);

COMMENT ON COLUMN log_events.event_id IS 'UUIDv7: the producer''s at acceptance, or the client''s own';
COMMENT ON COLUMN log_events.username IS 'As sent with the event; the session''s owner may be another';
COMMENT ON COLUMN log_events."timestamp" IS 'When it happened';
COMMENT ON COLUMN log_events.received_at IS 'When the producer accepted it, by the producer''s clock';
COMMENT ON COLUMN log_events.tx IS 'The 64-bit transaction id that stored it: whoever follows the trail below pg_snapshot_xmin() misses no late commit';

-- No event is refused because a month's partition is late. ensure_partitions moves the rows to their month.
CREATE TABLE log_events_default PARTITION OF log_events DEFAULT;

-- Transaction ids count within one cluster. A dump that is restored elsewhere starts them anew; a reader that follows
-- tx sees it here.
CREATE TABLE trail_origin (
    only_row          boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    system_identifier bigint  NOT NULL
);

INSERT INTO trail_origin (system_identifier) SELECT system_identifier FROM pg_control_system();

COMMENT ON TABLE trail_origin IS 'The cluster whose transaction ids log_events.tx holds; compare with pg_control_system()';
