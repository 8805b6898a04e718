-- The whole schema as it stands after the last migration: for reading, and
-- for the test that proves that the migrations arrive at exactly this.
-- Tables change by a new file in migrations/ and the same change here.

PRAGMA application_id = 1685025389; -- "dorm"
PRAGMA user_version = 2;            -- the last migration's number

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
