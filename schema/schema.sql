-- The whole schema as it stands after the last migration: for reading, and
-- for the test that proves that the migrations arrive at exactly this.
-- Tables change by a new file in migrations/ and the same change here.

PRAGMA application_id = 1685025389; -- "dorm"
PRAGMA user_version = 5;            -- the last migration's number

CREATE TABLE session (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    slot INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    dialect TEXT NOT NULL CHECK (dialect <> ''),
    filters TEXT NOT NULL,
    attachment TEXT, -- JSON
    resume BLOB CHECK (length(resume) = 32), -- SHA-256 of the secret that it may be resumed by
    resume_before BLOB CHECK (length(resume_before) = 32), -- and of the one before, while that counts
    dropped_at INTEGER -- when its socket went, Unix milliseconds; NULL: it is connected
) STRICT, WITHOUT ROWID;

CREATE INDEX session_by_user ON session (user_id);
CREATE INDEX session_by_drop ON session (dropped_at) WHERE dropped_at IS NOT NULL;

CREATE TABLE pending_ack (
    session_id BLOB NOT NULL CHECK (length(session_id) = 16),
    envelope_id BLOB NOT NULL CHECK (length(envelope_id) = 16),
    PRIMARY KEY (session_id, envelope_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX pending_ack_by_envelope ON pending_ack (envelope_id);

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
    payload TEXT, -- JSON as it was published
    channel TEXT -- NULL: it was published to users
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

-- Counts that are asked for more often than what is counted.
CREATE TABLE owed_count (
    user_id TEXT NOT NULL PRIMARY KEY,
    envelopes INTEGER NOT NULL -- rows of target that are owed
) STRICT, WITHOUT ROWID;

CREATE TRIGGER target_owed AFTER INSERT ON target WHEN new.owed = 1 BEGIN
    INSERT INTO owed_count VALUES (new.user_id, 1)
        ON CONFLICT (user_id) DO UPDATE SET envelopes = envelopes + 1;
END;

CREATE TRIGGER target_settled AFTER UPDATE OF owed ON target WHEN old.owed = 1 AND new.owed = 0 BEGIN
    UPDATE owed_count SET envelopes = envelopes - 1 WHERE user_id = old.user_id;
    DELETE FROM owed_count WHERE user_id = old.user_id AND envelopes = 0;
END;

CREATE TRIGGER target_gone AFTER DELETE ON target WHEN old.owed = 1 BEGIN
    UPDATE owed_count SET envelopes = envelopes - 1 WHERE user_id = old.user_id;
    DELETE FROM owed_count WHERE user_id = old.user_id AND envelopes = 0;
END;

CREATE TABLE ack_tally (
    publish INTEGER PRIMARY KEY,
    asked_at INTEGER NOT NULL, -- a session that is newer was not sent it when it was
    result_bytes INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Who is a member of which channel, online or not. A user's slot is in the key,
-- so that a shard reads its own part of a channel alone.
CREATE TABLE member (
    channel TEXT NOT NULL CHECK (channel <> ''),
    slot INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    joined_at INTEGER NOT NULL, -- Unix milliseconds
    PRIMARY KEY (channel, slot, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX member_by_user ON member (user_id, channel);
