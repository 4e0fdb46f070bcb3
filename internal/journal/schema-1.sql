-- The first version of a journal, see migrations.

CREATE TABLE jobs (
	row          INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of submission or of first sight
	gateway      TEXT NOT NULL,            -- origin; "sandbox" for the emulator, whose port changes
	owner        TEXT NOT NULL DEFAULT '', -- whose it is; '' is the one person of stdio
	account      TEXT NOT NULL DEFAULT '', -- hash of the key it was submitted with
	state        TEXT NOT NULL,            -- see State
	request_id   TEXT,                     -- NULL until it is known
	nonce        TEXT,                     -- names the submission; NULL for a job made elsewhere
	fingerprint  TEXT,                     -- of the request's normal form; NULL likewise
	exact        TEXT NOT NULL DEFAULT '', -- of the body that was sent
	prompt       TEXT NOT NULL DEFAULT '',
	request      TEXT NOT NULL DEFAULT '', -- the other fields, attachments described only (JSON)
	failure      TEXT NOT NULL DEFAULT '', -- why a submission was not accepted (JSON)
	status       TEXT NOT NULL DEFAULT '', -- the gateway's word
	ended        BIGINT NOT NULL DEFAULT 0, -- 1 once the job has ended
	error        TEXT NOT NULL DEFAULT '', -- the gateway's words
	output       TEXT NOT NULL DEFAULT '', -- what it says of the video (JSON)
	polling_url  TEXT NOT NULL DEFAULT '',
	submitted_at BIGINT NOT NULL DEFAULT 0, -- times are Unix milliseconds, 0 when not known
	created_at   BIGINT NOT NULL DEFAULT 0,
	updated_at   BIGINT NOT NULL DEFAULT 0,
	completed_at BIGINT NOT NULL DEFAULT 0,
	checked_at   BIGINT NOT NULL DEFAULT 0, -- when the gateway last answered for it
	polled_at    BIGINT NOT NULL DEFAULT 0, -- when the newest poll was begun
	changed_at   BIGINT NOT NULL DEFAULT 0, -- when its status, or where it is saved, last became another one
	lease_until  BIGINT NOT NULL DEFAULT 0, -- of whoever sends the intent, or polls the job
	saved_files  TEXT NOT NULL DEFAULT '',  -- JSON
	save_folder  TEXT NOT NULL DEFAULT '',  -- where it is to be saved by itself; '' when it is not
	save_name    TEXT NOT NULL DEFAULT '',
	save_tries   BIGINT NOT NULL DEFAULT 0,
	save_next    BIGINT NOT NULL DEFAULT 0,
	save_until   BIGINT NOT NULL DEFAULT 0, -- lease of whoever saves it
	save_error   TEXT NOT NULL DEFAULT '',
	notify       BIGINT NOT NULL DEFAULT 0, -- 1 when a desktop notice is wanted
	told_at      BIGINT NOT NULL DEFAULT 0, -- when it was given
	attended_until BIGINT NOT NULL DEFAULT 0 -- while a call waits for the job
);
CREATE UNIQUE INDEX jobs_request_id ON jobs (gateway, owner, request_id) WHERE request_id IS NOT NULL AND state <> 'alias';
CREATE UNIQUE INDEX jobs_nonce ON jobs (nonce) WHERE nonce IS NOT NULL;
CREATE INDEX jobs_owner ON jobs (gateway, owner, row);
CREATE INDEX jobs_fingerprint ON jobs (gateway, owner, fingerprint, row);
CREATE INDEX jobs_submitted ON jobs (gateway, submitted_at);
CREATE INDEX jobs_submitted_by ON jobs (gateway, owner, submitted_at);
CREATE INDEX jobs_changed ON jobs (gateway, changed_at);
CREATE INDEX jobs_open ON jobs (gateway, row) WHERE ended = 0 AND request_id IS NOT NULL;
CREATE INDEX jobs_uncertain ON jobs (gateway, owner, row) WHERE state IN ('submitting', 'uncertain', 'replaced');
CREATE INDEX jobs_completed ON jobs (gateway, row) WHERE status = 'COMPLETED';

CREATE TABLE leases (
	name   TEXT PRIMARY KEY, -- what is held, such as "watch" with gateway and account
	holder TEXT NOT NULL,
	until  BIGINT NOT NULL
);
