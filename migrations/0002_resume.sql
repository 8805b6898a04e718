-- What lets a session come back after its socket is gone: an attachment, and the
-- hashes of the secrets that it may be resumed by. Until here no session could:
-- the rows that there are can be of no use, and the table is made anew.

DROP TABLE session;

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
