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

-- An envelope that is owed to the members of a channel names that when it is
-- delivered once more. The table is made anew, with its rows.

CREATE TABLE owed_before AS SELECT publish, ts, type, payload FROM owed_envelope;
DROP TABLE owed_envelope;

CREATE TABLE owed_envelope (
    publish INTEGER PRIMARY KEY,
    ts INTEGER NOT NULL,
    type TEXT NOT NULL,
    payload TEXT, -- JSON as it was published
    channel TEXT -- NULL: it was published to users
) STRICT;

INSERT INTO owed_envelope SELECT publish, ts, type, payload, NULL FROM owed_before;
DROP TABLE owed_before;
