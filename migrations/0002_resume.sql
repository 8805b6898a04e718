-- What lets a session come back after its socket is gone: an attachment, and the
-- hashes of the secrets that it may be resumed by. Times are Unix milliseconds.

ALTER TABLE session ADD COLUMN attachment TEXT;
ALTER TABLE session ADD COLUMN resume BLOB CHECK (length(resume) = 32);
ALTER TABLE session ADD COLUMN resume_before BLOB CHECK (length(resume_before) = 32);
ALTER TABLE session ADD COLUMN dropped_at INTEGER;

CREATE INDEX session_by_drop ON session (dropped_at) WHERE dropped_at IS NOT NULL;
