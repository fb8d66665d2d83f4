-- Whom the trail talks about. Rows here are made by the consumer when an event first names them.

CREATE TABLE users (
    user_id    bigint       GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username   varchar(255) NOT NULL UNIQUE CHECK (username <> ''),
    created_at timestamptz  NOT NULL DEFAULT now()
);

-- The owner of every session whose events have not named one yet.
INSERT INTO users (username) VALUES ('unknown');

CREATE TABLE review_sessions (
    -- Chosen by the client, never by the database.
    session_id bigint      PRIMARY KEY CHECK (session_id > 0),
    -- RESTRICT, not CASCADE: taking a user away must never take a trail away.
    user_id    bigint      NOT NULL REFERENCES users ON DELETE RESTRICT,
    start_time timestamptz,
    end_time   timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX review_sessions_user_id_idx ON review_sessions (user_id);

COMMENT ON COLUMN review_sessions.user_id IS 'The first user that an event of the session named; changes only from unknown';
COMMENT ON COLUMN review_sessions.start_time IS 'The earliest review_started';
COMMENT ON COLUMN review_sessions.end_time IS 'The latest review_completed or review_cancelled';
