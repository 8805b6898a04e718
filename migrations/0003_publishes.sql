-- Publishes that outlive a crash: those that brought an envelopeId, and the
-- durable ones with what is owed to whom.

CREATE TABLE publish (
    number INTEGER PRIMARY KEY, -- in the order in which they were recorded
    envelope_id BLOB NOT NULL UNIQUE CHECK (length(envelope_id) = 16),
    principal TEXT NOT NULL CHECK (principal <> ''), -- its kind, a colon, its name
    body_hash BLOB CHECK (length(body_hash) = 32), -- SHA-256; NULL: the id is ours, nobody repeats it
    deadline INTEGER NOT NULL, -- when it is answered at the latest, Unix milliseconds, as all times here
    done INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)), -- it has been answered
    client_count INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    owed_until INTEGER, -- NULL: nothing of it is owed, or not any more
    expires_at INTEGER NOT NULL -- when all of it goes
) STRICT;

CREATE INDEX publish_by_expiry ON publish (expires_at);
CREATE INDEX publish_by_debt ON publish (owed_until) WHERE owed_until IS NOT NULL;

-- What is to be delivered once more, while it is owed to anybody.
CREATE TABLE owed_envelope (
    publish INTEGER PRIMARY KEY,
    ts INTEGER NOT NULL,
    type TEXT NOT NULL,
    payload TEXT -- JSON as it was published
) STRICT;

-- The users that a publish is for, while their acks count.
CREATE TABLE target (
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    publish INTEGER NOT NULL,
    owed INTEGER NOT NULL CHECK (owed IN (0, 1)),
    PRIMARY KEY (user_id, publish)
) STRICT, WITHOUT ROWID;

CREATE INDEX target_by_publish ON target (publish, owed);

-- What was acked, each session once.
CREATE TABLE ack_result (
    number INTEGER PRIMARY KEY, -- in order of arrival
    publish INTEGER NOT NULL,
    session_id BLOB NOT NULL CHECK (length(session_id) = 16),
    value TEXT NOT NULL, -- JSON
    UNIQUE (publish, session_id)
) STRICT;
