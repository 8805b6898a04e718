-- What a user must remember while asleep: the sessions that hold filters, and
-- the acks that are still awaited of them.

CREATE TABLE session (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    slot INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 4095),
    user_id TEXT NOT NULL CHECK (user_id <> ''),
    dialect TEXT NOT NULL CHECK (dialect <> ''),
    filters TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX session_by_user ON session (user_id);

-- Found again through its session's row: a session that owes acks is saved too.
CREATE TABLE pending_ack (
    session_id BLOB NOT NULL CHECK (length(session_id) = 16),
    envelope_id BLOB NOT NULL CHECK (length(envelope_id) = 16),
    PRIMARY KEY (session_id, envelope_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX pending_ack_by_envelope ON pending_ack (envelope_id);
