// This file writes what the gateway says of jobs, and who may ask it.

package journal

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"pixazo-mcp/pixazo"
)

// Observation is what became of a job that was observed.
type Observation struct {
	Row     Row
	Changed bool // its status is another one than before, or the journal did not know it
	Fits    int  // of a job that no submission had: how many uncertain submissions it may be; 1 is settled by it
}

// Observe writes what the gateway just said of a job, and ends the claim of its
// poll. A job that no submission has settles the one uncertain submission that it
// fits; else it is foreign. An answer from before the job's end, come late, changes
// nothing.
func (j *Journal) Observe(ctx context.Context, job pixazo.Job) (seen Observation, err error) {
	known := false
	err = j.write(ctx, statuses, func(ctx context.Context, db *sql.DB) (err error) {
		seen, known, err = j.observeKnown(ctx, db, Owner(ctx), job)
		return err
	})
	if err != nil || known && seen.Row.State != Foreign {
		return seen, err
	}
	if known { // most foreign jobs are polled again and again without a submission that they may be
		var fitting []Row
		err = j.read(ctx, func(ctx context.Context, q querier) (err error) {
			fitting, err = j.fitting(ctx, q, job, uncertainOf, Owner(ctx))
			return err
		})
		if err != nil || len(fitting) != 1 {
			seen.Fits = len(fitting)
			return seen, nil
		}
	}
	err = j.decide(ctx, outcomes, func(ctx context.Context, tx *sql.Tx, _ time.Time) error {
		now, err := j.observeForeign(ctx, tx, job)
		if !known || now.Row.State != Foreign {
			seen = now
		}
		return err
	})
	return seen, err
}

// observeKnown writes job into its row, if it has one. The row stays as it is if its job
// has ended and job has not, or if its job has a video and job none: gateways forget what
// they made.
func (j *Journal) observeKnown(ctx context.Context, q querier, owner string, job pixazo.Job) (seen Observation, known bool, err error) {
	now := j.now()
	row, err := single(query(ctx, q, j.scan, `UPDATE jobs SET `+setJob+`, state = CASE WHEN state IN ('uncertain', 'replaced') THEN 'accepted' ELSE state END, failure = '',
		changed_at = CASE WHEN changed_at = 0 OR status <> $1 THEN `+now+` ELSE changed_at END, checked_at = `+now+`, lease_until = 0
		WHERE gateway = $9 AND owner = $10 AND request_id = $11 AND state <> 'alias'
		AND (ended = 0 OR $8 = 1 AND ($1 = 'COMPLETED' OR status <> 'COMPLETED' OR output = '')) RETURNING `+j.columns(),
		j.jobValues(job, j.gateway, owner, job.RequestID)...))
	if err == nil && row != nil {
		return Observation{Row: *row, Changed: row.ChangedAt.Equal(row.LastCheckedAt)}, true, nil
	}
	if err == nil {
		row, err = single(query(ctx, q, j.scan, `UPDATE jobs SET lease_until = 0 `+namedAs+` RETURNING `+j.columns(), j.gateway, owner, job.RequestID))
	}
	if err != nil || row == nil {
		return Observation{}, false, err
	}
	return Observation{Row: *row}, true, nil
}

// setJob sets the columns of what the gateway says of a job, save for its id, to
// jobValues. A completed job without an output keeps the one from before.
const setJob = `status = $1, error = $2, output = CASE WHEN $3 = '' AND $1 = 'COMPLETED' THEN output ELSE $3 END, polling_url = CASE WHEN $4 = '' THEN polling_url ELSE $4 END,
	created_at = CASE WHEN CAST($5 AS BIGINT) = 0 THEN created_at ELSE $5 END, updated_at = $6, completed_at = $7, ended = $8`

// jobValues returns the first eight arguments of a statement with setJob, and more.
func (j *Journal) jobValues(job pixazo.Job, more ...any) []any {
	return append([]any{job.Status, job.Error, j.encodeMedia(job.Media), job.PollingURL,
		milli(job.CreatedAt), milli(job.UpdatedAt), milli(job.CompletedAt), number(job.Done())}, more...)
}

// uncertainOf selects, for fitting, submissions of an owner whose outcome is not known.
const uncertainOf = `owner = $5 AND state IN ('submitting', 'uncertain', 'replaced')`

// observeForeign writes a job that no submission has: into the row of the uncertain
// submission that it fits, or into a foreign one.
func (j *Journal) observeForeign(ctx context.Context, tx *sql.Tx, job pixazo.Job) (Observation, error) {
	owner := Owner(ctx)
	seen, known, err := j.observeKnown(ctx, tx, owner, job)
	if err != nil || known && seen.Row.State != Foreign { // another process was quicker
		return seen, err
	}
	settled, fits, err := j.settle(ctx, tx, job, false, uncertainOf, owner)
	if err == nil && known && !settled {
		return seen, nil
	}
	if err == nil && !settled {
		_, err = tx.ExecContext(ctx, `INSERT INTO jobs (gateway, owner, state, request_id) VALUES ($1, $2, 'foreign', $3)`, j.gateway, owner, job.RequestID)
	}
	if err != nil {
		return Observation{}, err
	}
	seen, _, err = j.observeKnown(ctx, tx, owner, job)
	return Observation{Row: seen.Row, Changed: true, Fits: fits}, err
}

// Claim reports whether the caller may poll a job now: no other poll of it is
// under way in any process, and the newest one was begun at least interval ago.
// Observe or Release ends the claim; else it ends by itself after 30 s. A job
// that the journal does not know may be polled.
func (j *Journal) Claim(ctx context.Context, requestID string, interval time.Duration) (granted bool, err error) {
	now := j.now()
	granted, err = j.updateOne(ctx, `UPDATE jobs SET lease_until = `+now+` + $1, polled_at = `+now+`
		WHERE gateway = $2 AND owner = $3 AND request_id = $4 AND state <> 'alias' AND NOT `+j.leased("lease_until")+` AND (polled_at <= `+now+` - $5 OR polled_at > `+now+` + $6)`,
		pollLease.Milliseconds(), j.gateway, Owner(ctx), requestID, interval.Milliseconds(), maxAhead.Milliseconds())
	if granted || err != nil {
		return granted, err
	}
	known, err := single(j.readMany(ctx, namedAs, j.gateway, Owner(ctx), requestID))
	return err == nil && known == nil, err
}

// Release ends the claim of a poll that was not answered.
func (j *Journal) Release(ctx context.Context, requestID string) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET lease_until = 0 `+namedAs, j.gateway, Owner(ctx), requestID)
	return err
}

// AddSaved adds files to those of a job, newest first. A file takes the place of
// an older one with the same path.
func (j *Journal) AddSaved(ctx context.Context, requestID string, saved []SavedFile) error {
	return j.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		row, err := j.named(ctx, tx, Owner(ctx), requestID)
		if err == nil && row == nil { // a transaction for which PostgreSQL waited may have put the job into another row
			row, err = j.named(ctx, tx, Owner(ctx), requestID)
		}
		if err != nil || row == nil {
			return err
		}
		all := slices.Clone(saved)
		for _, old := range row.Saved {
			if !slices.ContainsFunc(saved, func(f SavedFile) bool { return f.Path == old.Path }) {
				all = append(all, old)
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE jobs SET saved_files = $1, changed_at = `+j.now()+` WHERE row = $2`, encode(all[:min(len(all), maxSaved)]), row.ID)
		return err
	})
}

const maxSaved = 50 // files of a job that are kept
