-- The second version: sessions of the team server, callbacks of the gateway, and
-- jobs that it asks for although nobody waits for them.

CREATE TABLE sessions (
	id            TEXT PRIMARY KEY, -- sha256 of the id that was given out, in hexadecimal
	owner         TEXT NOT NULL,
	subscriptions TEXT NOT NULL, -- JSON
	seen_at       BIGINT NOT NULL
);
CREATE INDEX sessions_seen ON sessions (seen_at);

CREATE TABLE callbacks ( -- until they were followed up
	gateway    TEXT NOT NULL,
	nonce      TEXT NOT NULL,   -- of the submission that was called back for
	request_id TEXT NOT NULL,   -- that it named
	called_at  BIGINT NOT NULL, -- when it came last
	ask_at     BIGINT NOT NULL, -- from when on the gateway is to be asked for the job
	PRIMARY KEY (nonce, request_id)
);

ALTER TABLE jobs ADD COLUMN sweep_at BIGINT NOT NULL DEFAULT 0; -- from when on it is to be asked for again, whoever waits; 0 when it is not
DROP INDEX jobs_open;
DROP INDEX jobs_request_id;
DROP INDEX jobs_completed;
CREATE INDEX jobs_completed ON jobs (gateway, completed_at) WHERE status = 'COMPLETED';
DROP INDEX jobs_submitted;
DROP INDEX jobs_submitted_by;
CREATE INDEX jobs_submitted ON jobs (gateway, submitted_at, state); -- which limits are counted by
CREATE INDEX jobs_submitted_by ON jobs (gateway, owner, submitted_at, state);
CREATE INDEX jobs_sweep ON jobs (gateway, sweep_at) WHERE ended = 0 AND request_id IS NOT NULL AND state <> 'alias' AND sweep_at <> 0;
CREATE INDEX jobs_to_save ON jobs (gateway, save_next) WHERE status = 'COMPLETED' AND save_folder <> '' AND saved_files = '' AND save_tries < 4;
-- The last one: while it has no statistics, PostgreSQL takes the newest of the indexes that seem as good.
CREATE UNIQUE INDEX jobs_request_id ON jobs (gateway, request_id, owner) WHERE request_id IS NOT NULL AND state <> 'alias';
