-- Counts that are asked for more often than what is counted: how much a user
-- is owed, and how much room the results of a publish take.

CREATE TABLE owed_count (
    user_id TEXT NOT NULL PRIMARY KEY,
    envelopes INTEGER NOT NULL -- rows of target that are owed
) STRICT, WITHOUT ROWID;

INSERT INTO owed_count SELECT user_id, count(*) FROM target WHERE owed = 1 GROUP BY user_id;

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

INSERT INTO ack_tally SELECT number, 0, 0 FROM publish;
