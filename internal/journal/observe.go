// This file writes what the gateway says of jobs, and who may ask it.

package journal

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"pixazo-mcp/pixazo"
)

// Observation is what became of a job that was observed.
type Observation struct {
	Row     Row
	Changed bool // its status is another one than before
	Added   bool // the journal did not know it
	Fits    int  // of a job the journal did not know: how many uncertain submissions it may be; 1 is settled by it
}

// Observe writes what the gateway just said of a job, and ends the claim of its
// poll. A job that the journal does not know settles the one uncertain
// submission that it fits; else it is foreign. An answer from before the job's
// end, come late, changes nothing.
func (j *Journal) Observe(ctx context.Context, job pixazo.Job) (seen Observation, err error) {
	if same, err := j.observeSame(ctx, job); err != nil || same != nil {
		return Observation{Row: *cmp.Or(same, &Row{})}, err
	}
	known := false
	err = j.change(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		seen, known, err = j.observeKnown(ctx, tx, job)
		return err
	})
	if err != nil || known {
		return seen, err
	}
	err = j.decide(ctx, outcomes, func(ctx context.Context, tx *sql.Tx, _ time.Time) (err error) {
		seen, err = j.observeNew(ctx, tx, job)
		return err
	})
	return seen, err
}

// observeSame writes that job is as its row says, and returns the row, nil when it
// is not so. It is Observe for most answers, in one statement.
func (j *Journal) observeSame(ctx context.Context, job pixazo.Job) (row *Row, err error) {
	err = j.write(ctx, statuses, func(ctx context.Context, db *sql.DB) error {
		found, err := scan(db.QueryRowContext(ctx, `UPDATE jobs SET checked_at = `+j.now()+`, updated_at = $1, lease_until = 0
			WHERE gateway = $2 AND owner = $3 AND request_id = $4 AND state IN ('accepted', 'foreign') AND ended = 0 AND status = $5 AND error = $6 AND output = $7
			AND polling_url = CASE WHEN $8 = '' THEN polling_url ELSE $8 END AND created_at = CASE WHEN CAST($9 AS BIGINT) = 0 THEN created_at ELSE $9 END
			RETURNING `+j.columns(), milli(job.UpdatedAt), j.gateway, Owner(ctx), job.RequestID, job.Status, job.Error, j.encodeOutput(job),
			job.PollingURL, milli(job.CreatedAt)).Scan)
		if row = nil; errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		found.Job = j.absolute(found.Job)
		row = &found
		return err
	})
	return row, err
}

// observeKnown writes job into its row, if it has one.
func (j *Journal) observeKnown(ctx context.Context, tx *sql.Tx, job pixazo.Job) (Observation, bool, error) {
	before, err := j.named(ctx, tx, Owner(ctx), job.RequestID, j.forUpdate)
	if err != nil || before == nil {
		return Observation{}, false, err
	}
	after, err := j.update(ctx, tx, *before, job)
	return Observation{Row: after, Changed: after.Job.Status != before.Job.Status}, true, err
}

// update writes job into the row before, and returns the row.
func (j *Journal) update(ctx context.Context, tx *sql.Tx, before Row, job pixazo.Job) (Row, error) {
	if before.Job.Done() && !job.Done() {
		_, err := tx.ExecContext(ctx, `UPDATE jobs SET lease_until = 0 WHERE row = $1`, before.ID)
		return before, err
	}
	changed, now := "changed_at", j.now()
	if before.ChangedAt.IsZero() || job.Status != before.Job.Status {
		changed = now
	}
	err := j.writeJob(ctx, tx, before.ID, job)
	if err == nil {
		_, err = tx.ExecContext(ctx, `UPDATE jobs SET state = CASE WHEN state IN ('uncertain', 'replaced') THEN 'accepted' ELSE state END, failure = '',
			checked_at = `+now+`, changed_at = `+changed+`, lease_until = 0 WHERE row = $1`, before.ID)
	}
	if err != nil {
		return Row{}, err
	}
	after, err := j.one(ctx, tx, `WHERE row = $1`, before.ID)
	if err != nil {
		return Row{}, err
	}
	return *after, nil
}

// observeNew writes a job whose request_id is in no row: into the row of the uncertain
// submission that it fits, or into a new row.
func (j *Journal) observeNew(ctx context.Context, tx *sql.Tx, job pixazo.Job) (Observation, error) {
	if seen, known, err := j.observeKnown(ctx, tx, job); err != nil || known { // another process was quicker
		return seen, err
	}
	settled, fits, err := j.settle(ctx, tx, job)
	if err != nil {
		return Observation{}, err
	}
	if settled == nil {
		if _, err := tx.ExecContext(ctx, `INSERT INTO jobs (gateway, owner, state, request_id) VALUES ($1, $2, 'foreign', $3)`, j.gateway, Owner(ctx), job.RequestID); err != nil {
			return Observation{}, err
		}
	}
	row, err := j.named(ctx, tx, Owner(ctx), job.RequestID, "")
	if err != nil {
		return Observation{}, err
	}
	after, err := j.update(ctx, tx, *row, job)
	return Observation{Row: after, Changed: true, Added: settled == nil, Fits: fits}, err
}

// Claim reports whether the caller may poll a job now: no other poll of it is
// under way in any process, and the newest one was begun at least interval ago.
// Observe or Release ends the claim; else it ends by itself after 30 s. A job
// that the journal does not know may be polled.
func (j *Journal) Claim(ctx context.Context, requestID string, interval time.Duration) (granted bool, err error) {
	err = j.write(ctx, statuses, func(ctx context.Context, db *sql.DB) error {
		now := j.now()
		result, err := db.ExecContext(ctx, `UPDATE jobs SET lease_until = `+now+` + $1, polled_at = `+now+`
			WHERE gateway = $2 AND owner = $3 AND request_id = $4 AND state <> 'alias' AND NOT `+j.leased("lease_until")+` AND (polled_at <= `+now+` - $5 OR polled_at > `+now+` + $6)`,
			pollLease.Milliseconds(), j.gateway, Owner(ctx), requestID, interval.Milliseconds(), maxAhead.Milliseconds())
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if granted = n > 0; granted || err != nil {
			return err
		}
		row, err := j.named(ctx, db, Owner(ctx), requestID, "")
		granted = row == nil
		return err
	})
	return granted, err
}

// Release ends the claim of a poll that was not answered.
func (j *Journal) Release(ctx context.Context, requestID string) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET lease_until = 0 WHERE gateway = $1 AND owner = $2 AND request_id = $3 AND state <> 'alias'`, j.gateway, Owner(ctx), requestID)
	return err
}

// AddSaved adds files to those of a job, newest first. A file takes the place of
// an older one with the same path.
func (j *Journal) AddSaved(ctx context.Context, requestID string, saved []SavedFile) error {
	return j.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var row int64
		var before string // as it stands once the row is locked
		err := tx.QueryRowContext(ctx, `UPDATE jobs SET changed_at = `+j.now()+` WHERE gateway = $1 AND owner = $2 AND request_id = $3 AND state <> 'alias' RETURNING row, saved_files`,
			j.gateway, Owner(ctx), requestID).Scan(&row, &before)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		all := slices.Clone(saved)
		for _, old := range decodeSaved(before) {
			if !slices.ContainsFunc(saved, func(f SavedFile) bool { return f.Path == old.Path }) {
				all = append(all, old)
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE jobs SET saved_files = $1 WHERE row = $2`, encodeSaved(all[:min(len(all), maxSaved)]), row)
		return err
	})
}

const maxSaved = 50 // files of a job that are kept

func encodeSaved(saved []SavedFile) string {
	if len(saved) == 0 {
		return ""
	}
	return encode(saved)
}

// decodeSaved returns no files if they can't be read.
func decodeSaved(s string) (saved []SavedFile) {
	if s == "" || json.Unmarshal([]byte(s), &saved) != nil {
		return nil
	}
	return saved
}
