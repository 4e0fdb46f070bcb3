// This file writes the outcome of a submission.

package journal

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"pixazo-mcp/pixazo"
)

// withOutcome returns the intent with its outcome: accepted as job if failure is nil,
// uncertain if failure has the code submission_uncertain or no code, else refused.
func (j *Journal) withOutcome(in Intent, job pixazo.Job, failure error) Intent {
	in.Failure, in.ChangedAt = pixazo.AsError(failure, pixazo.SubmissionUncertain), j.Now()
	switch {
	case failure == nil:
		in.State, in.Job = Accepted, job
	case in.Failure.Code == pixazo.SubmissionUncertain:
		in.State, in.Job = Uncertain, pixazo.Job{RequestID: in.Failure.RequestID}
	default:
		in.State, in.Job = Refused, pixazo.Job{}
	}
	return in
}

// Conclude writes the outcome of an intent: the job, or why there is none. It returns
// the row with the outcome; if the gateway named a job that an earlier submission has,
// it returns the row of that one. An outcome that can't be written is kept in memory,
// where Intend, ByNonce and Find see it, and is written before the next submission.
func (j *Journal) Conclude(in Intent, job pixazo.Job, failure error) (Row, error) {
	in = j.withOutcome(in, job, failure)
	row, err := j.writeOutcome(in)
	if err != nil {
		j.keep(in)
		return in.Row, err
	}
	return row, nil
}

// keep keeps in, with its outcome, for WriteOutcomes.
func (j *Journal) keep(in Intent) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unwritten = append(j.unwritten, in)
}

// WriteOutcomes writes the outcomes that could not be written before.
func (j *Journal) WriteOutcomes() {
	j.mu.Lock()
	waiting := slices.Clone(j.unwritten) // j.unwritten changes while they are written
	j.mu.Unlock()
	for _, in := range waiting {
		if _, err := j.writeOutcome(in); err != nil {
			return
		}
		j.mu.Lock()
		j.unwritten = slices.DeleteFunc(j.unwritten, func(u Intent) bool { return u.Nonce == in.Nonce })
		j.mu.Unlock()
		j.log.Info("an outcome was written after all", "request_id", in.Job.RequestID)
	}
}

// Unwritten reports whether outcomes wait to be written.
func (j *Journal) Unwritten() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.unwritten) > 0
}

// unwrittenWhere returns the newest row with an unwritten outcome for which f returns
// true, nil if there is none.
func (j *Journal) unwrittenWhere(f func(Row) bool) *Row {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, in := range slices.Backward(j.unwritten) {
		if f(in.Row) {
			return &in.Row
		}
	}
	return nil
}

// writeOutcome writes the outcome of in. If the row of the intent is gone, since a
// damaged journal was replaced meanwhile, it adds the row again. No caller can cancel
// it: the outcome may be paid for.
func (j *Journal) writeOutcome(in Intent) (row Row, err error) {
	err = j.decide(context.Background(), outcomes, func(ctx context.Context, tx *sql.Tx, _ time.Time) error {
		before, err := j.one(ctx, tx, `WHERE nonce = $1`+j.forUpdate, in.Nonce)
		if err == nil && before == nil {
			if err = j.insert(ctx, tx, in); err == nil {
				before, err = j.one(ctx, tx, `WHERE nonce = $1`, in.Nonce)
			}
		}
		if err != nil {
			return err
		}
		row, err = j.conclude(ctx, tx, in, *before)
		return err
	})
	return row, err
}

// conclude writes the outcome of in into its row, whose present content is before.
// Another row may have the job's id already. If that is a foreign one, since somebody
// asked for the job before its submission was answered, in's row takes over its
// content and replaces it. If it is an earlier submission's, in's row becomes an alias
// of that.
//
// The lease of an intent that ends without an id is left as it is: settle compares
// with its end.
func (j *Journal) conclude(ctx context.Context, tx *sql.Tx, in Intent, before Row) (Row, error) {
	state, job, failure := in.State, in.Job, in.Failure
	seen, err := j.named(ctx, tx, in.Owner, job.RequestID)
	if err != nil {
		return Row{}, err
	}
	var saved []SavedFile
	var checked time.Time
	switch {
	case before.Job.RequestID != "" && before.State != Alias && (job.RequestID == "" || job.RequestID == before.Job.RequestID):
		// The job was seen before its submission was answered, and its row settled.
		before.Job.PollingURL = cmp.Or(before.Job.PollingURL, job.PollingURL)
		failure, state, job, saved, checked = nil, Accepted, before.Job, before.Saved, before.LastCheckedAt
	case seen == nil || seen.ID == before.ID:
	case seen.State != Foreign:
		if state == Accepted {
			state = Alias
		} else {
			job.RequestID = "" // the id stays with the row that has it
		}
	default:
		if _, err := tx.ExecContext(ctx, `DELETE FROM jobs WHERE row = $1`, seen.ID); err != nil {
			return Row{}, err
		}
		// The foreign row's content is newer than the answer to the submission.
		state, saved, checked = Accepted, seen.Saved, seen.LastCheckedAt
		seen.Job.PollingURL = cmp.Or(seen.Job.PollingURL, job.PollingURL)
		seen.Job.CreatedAt = cmp.Or(seen.Job.CreatedAt, job.CreatedAt)
		job = seen.Job
	}
	if state == Alias {
		job = pixazo.Job{RequestID: job.RequestID} // the rest is in the row that has the job
	}
	written, err := single(query(ctx, tx, j.scan, `UPDATE jobs SET `+setJob+`, state = $9, request_id = NULLIF($10, ''), failure = $11, saved_files = $12, checked_at = $13, changed_at = `+j.now()+`,
		lease_until = CASE WHEN $10 = '' THEN lease_until ELSE 0 END WHERE row = $14 RETURNING `+j.columns(),
		j.jobValues(job, state, job.RequestID, encodeFailure(failure), encode(saved), milli(checked), before.ID)...))
	if err == nil && state == Accepted && in.AllowDuplicate {
		// Whoever allowed the duplicate has decided about those that were uncertain then,
		// and not about one that was still under way.
		_, err = tx.ExecContext(ctx, `UPDATE jobs SET state = 'replaced' WHERE gateway = $1 AND owner = $2 AND fingerprint = $3 AND row < $4
			AND (lease_until <= $5 AND state IN ('uncertain', 'submitting') OR changed_at <= $5 AND state = 'uncertain')`, j.gateway, in.Owner, in.Fingerprint, before.ID, milli(before.SubmittedAt))
	}
	switch {
	case err != nil:
		return Row{}, err
	case state == Alias:
		return *seen, nil
	}
	return *written, nil
}

// namedAs selects the row of a job by gateway, owner and request_id.
const namedAs = `WHERE gateway = $1 AND owner = $2 AND request_id = $3 AND state <> 'alias'`

// named returns the row of a job, nil when there is none, and locks it for tx.
func (j *Journal) named(ctx context.Context, tx *sql.Tx, owner, requestID string) (*Row, error) {
	if requestID == "" {
		return nil, nil
	}
	return j.one(ctx, tx, namedAs+j.forUpdate, j.gateway, owner, requestID)
}

// longestSend is longer than any POST takes, with its tries.
const longestSend = 15 * time.Minute

// fitting returns the submissions, at most two, as which a job may have been accepted. The
// gateway has just confirmed the job. A submission fits if it has no request_id, the SQL
// condition which is true of it, and the job's id was made between a minute before it and
// the end of its lease. A submission does not fit if another one has the job, or if the
// journal knew the job before it. The values for $5 and so on in which are more.
//
// One without an outcome may still be under way: as long as it can be, it fits beyond
// the end of its lease, which a full disk keeps from being renewed.
func (j *Journal) fitting(ctx context.Context, q querier, job pixazo.Job, which string, more ...any) ([]Row, error) {
	made := pixazo.IDTime(job.RequestID)
	if made.IsZero() || !strings.HasPrefix(job.RequestID, pixazo.IDPrefix) {
		return nil, nil
	}
	// With the + 0, SQLite does not look at all rows of an owner by an index with
	// submitted_at; it finds the others by jobs_request_id only with their state <> 'alias'.
	return j.many(ctx, q, fmt.Sprintf(`WHERE gateway = $1 AND request_id IS NULL AND submitted_at + 0 <= $2
		AND (lease_until >= $3 OR state = 'submitting' AND submitted_at > $3 - %d)
		AND NOT EXISTS (SELECT 1 FROM jobs AS others WHERE others.gateway = $1 AND others.request_id = $4 AND others.state <> 'alias'
			AND (others.state <> 'foreign' OR others.owner = jobs.owner AND others.row < jobs.row)) AND `, longestSend.Milliseconds())+which+` ORDER BY row LIMIT 2`,
		append([]any{j.gateway, milli(made.Add(time.Minute)), milli(made), job.RequestID}, more...)...)
}

// settle writes a job's id, and that it was accepted, into the submission that fits it
// (see fitting). fits is how many fit, 2 for more than one; only a single one is settled,
// and only within its lease. Before that ends, one that is under way is settled only if
// named says that the gateway named the job for it: otherwise its own outcome tells
// whether it has this job.
//
// A foreign row of the job, which the owner asked for while the answer to the submission
// was lost, is deleted. What it knows of the job, and its files, are the submission's.
func (j *Journal) settle(ctx context.Context, tx *sql.Tx, job pixazo.Job, named bool, which string, more ...any) (settled bool, fits int, err error) {
	rows, err := j.fitting(ctx, tx, job, which, more...)
	switch {
	case err != nil || len(rows) != 1:
		return false, len(rows), err
	case rows[0].State == Submitting && !named:
		return false, 0, nil
	}
	made := milli(pixazo.IDTime(job.RequestID))
	foreign, err := single(query(ctx, tx, j.scan, `DELETE FROM jobs `+namedAs+` AND EXISTS (SELECT 1 FROM jobs AS others WHERE others.row = $4 AND others.lease_until >= $5) RETURNING `+j.columns(),
		j.gateway, rows[0].Owner, job.RequestID, rows[0].ID, made))
	if err != nil {
		return false, 0, err
	}
	var saved []SavedFile
	if foreign != nil {
		saved = foreign.Saved
	}
	result, err := tx.ExecContext(ctx, `UPDATE jobs SET state = 'accepted', request_id = $1, failure = '', saved_files = $4 WHERE row = $2 AND lease_until >= $3`, job.RequestID, rows[0].ID, made, encode(saved))
	if err != nil {
		return false, 0, err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 1 && foreign != nil { // it may be newer than job, or have a video that job lacks
		_, _, err = j.observeKnown(ctx, tx, rows[0].Owner, foreign.Job)
	}
	return n == 1, int(n), err
}

// Settle writes job into the row of the submission with nonce. The gateway has just
// confirmed the job, and a callback for this submission named it. The answer to the
// submission may be lost, still to come, or a refusal. Nothing is written if another
// submission has the job, or the id was not made between a minute before this one and the
// end of its lease. seen has the row as it stands afterwards.
func (j *Journal) Settle(ctx context.Context, nonce string, job pixazo.Job) (seen Observation, err error) {
	err = j.decide(ctx, outcomes, func(ctx context.Context, tx *sql.Tx, _ time.Time) error {
		settled, _, err := j.settle(ctx, tx, job, true, `nonce = $5 AND state <> 'alias'`, nonce)
		if err != nil {
			return err
		}
		row, err := j.one(ctx, tx, `WHERE nonce = $1`+j.forUpdate, nonce)
		if err != nil || row == nil {
			return err
		}
		seen = Observation{Row: *row}
		if row.Job.RequestID == job.RequestID && row.State != Alias {
			seen, _, err = j.observeKnown(ctx, tx, row.Owner, job)
			seen.Changed = seen.Changed || settled
		}
		return err
	})
	return seen, err
}

// ByNonce returns the row of a submission of any owner, nil when there is none. For
// an alias it returns the row that has the job.
func (j *Journal) ByNonce(ctx context.Context, nonce string) (*Row, error) {
	if row := j.unwrittenWhere(func(r Row) bool { return r.Nonce == nonce }); row != nil {
		return row, nil
	}
	found, err := single(j.readMany(ctx, `WHERE gateway = $1 AND nonce = $2`, j.gateway, nonce))
	if err == nil && found != nil && found.State == Alias {
		return j.Find(WithOwner(ctx, found.Owner), found.Job.RequestID)
	}
	return found, err
}
