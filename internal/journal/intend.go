// This file writes the intent of a submission before its POST, and applies the
// rules on duplicates and limits in the same transaction.

package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"pixazo-mcp/pixazo"
)

const (
	// An equal request is a duplicate of an accepted one for duplicateSpan, and
	// for unfinishedSpan as long as the video is still being made.
	duplicateSpan  = 10 * time.Minute
	unfinishedSpan = 2 * time.Hour

	// After a damaged journal was replaced, a request that the new one does not know
	// is refused for replacedSpan.
	replacedSpan = 2 * time.Hour
)

// Intent is a submission that is about to be sent, or was sent. The caller of Intend
// sets Prompt, Request, Fingerprint, Exact, Nonce, Account, Save.Folder and
// Save.Notify of its row; the journal sets the rest.
type Intent struct {
	Row
	AllowDuplicate bool // send it even if an equal submission forbids that
}

// Intend records that in is about to be sent. If an equal submission in flight,
// accepted or uncertain forbids that, or a submission has the same nonce, it records
// nothing and returns that one's row as other. Both are done in one transaction.
//
// Errors: limit_reached; duplicate_uncertain when a damaged journal was replaced
// in the last two hours and the new one does not know the request;
// journal_unavailable.
func (j *Journal) Intend(ctx context.Context, in Intent) (_ Intent, other *Row, err error) {
	in.Owner = Owner(ctx)
	if !in.AllowDuplicate {
		if row := j.unwrittenWhere(func(r Row) bool { return r.Owner == in.Owner && r.Fingerprint == in.Fingerprint && r.State != Refused }); row != nil {
			return in, row, nil
		}
	}
	j.WriteOutcomes()
	var refusal *pixazo.Error
	recorded := false // whether an earlier run inserted the row; there is another run if the files were deleted meanwhile
	err = j.decide(ctx, intents, func(ctx context.Context, tx *sql.Tx, now time.Time) (err error) {
		other, refusal = nil, nil
		if recorded { // the row may have been rescued from the deleted files; then only its lease is renewed
			result, err := tx.ExecContext(ctx, j.renewal(), intentLease.Milliseconds(), in.Nonce)
			if err != nil {
				return err
			}
			if n, err := result.RowsAffected(); n > 0 || err != nil {
				return err
			}
		}
		in.SubmittedAt = now
		if err := j.endFutureTimes(ctx, tx, now); err != nil {
			return err
		}
		if other, err = j.duplicateOf(ctx, tx, in); err != nil || other != nil {
			return err
		}
		_, err = j.checkLimits(ctx, tx, in.Owner)
		if e, ok := errors.AsType[*pixazo.Error](err); ok && e.Code == pixazo.LimitReached {
			refusal = e // and commit: without the new times of endFutureTimes the limit would stay reached
			return nil
		}
		if err != nil {
			return err
		}
		err = j.insert(ctx, tx, in)
		recorded = err == nil
		return err
	})
	if _, unknown := errors.AsType[errCommit](err); unknown && j.lock != "" {
		// The intent may have been recorded. The next use of the journal ends it as
		// refused, since nothing is sent.
		j.keep(j.withOutcome(in, pixazo.Job{}, &pixazo.Error{Code: pixazo.Cancelled, Message: "nothing was sent: the journal did not confirm the submission"}))
	}
	if err == nil && refusal != nil {
		return in, nil, refusal
	}
	return in, other, err
}

// endFutureTimes sets submission times in the future, which a clock that ran ahead
// has left, to now. Otherwise their rows would count towards limits and duplicates
// until that time.
func (j *Journal) endFutureTimes(ctx context.Context, tx *sql.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE jobs SET submitted_at = $1 WHERE gateway = $2 AND submitted_at > $3`, milli(now), j.gateway, milli(now.Add(maxAhead)))
	return err
}

// duplicateOf returns the submission with the nonce of in, or else the newest equal one
// that forbids sending in, by the rules on duplicates; nil when none does. A job whose
// request_id was made in the span of a rule counts, too: the clock may have been set
// forward since the submission.
func (j *Journal) duplicateOf(ctx context.Context, tx *sql.Tx, in Intent) (*Row, error) {
	same, err := j.one(ctx, tx, `WHERE nonce = $1`, in.Nonce)
	if err == nil && same != nil && same.State == Alias {
		if same, err = j.named(ctx, tx, same.Owner, same.Job.RequestID); same != nil {
			same.Nonce = in.Nonce // by which the caller knows that this is not just an equal one
		}
	}
	if err != nil || same != nil || in.AllowDuplicate {
		return same, err
	}
	recent, unfinished := in.SubmittedAt.Add(-duplicateSpan), in.SubmittedAt.Add(-unfinishedSpan)
	row, err := j.one(ctx, tx, `WHERE gateway = $1 AND owner = $2 AND fingerprint = $3
		AND (state IN ('submitting', 'uncertain')
			OR state = 'alias' AND submitted_at > $4 AND EXISTS (SELECT 1 FROM jobs AS named WHERE named.gateway = $1 AND named.owner = $2
				AND named.request_id = jobs.request_id AND named.state <> 'alias' AND named.status NOT IN ('FAILED', 'ERROR'))
			OR state = 'accepted' AND status NOT IN ('FAILED', 'ERROR') AND (
				submitted_at > $4 OR ended = 0 AND submitted_at > $5
				OR request_id < $6 AND (request_id > $7 OR ended = 0 AND request_id > $8)))
		ORDER BY row DESC LIMIT 1`,
		j.gateway, in.Owner, in.Fingerprint, milli(recent), milli(unfinished), firstID(in.SubmittedAt.Add(maxAhead)), firstID(recent), firstID(unfinished))
	if err == nil && row != nil && row.State == Alias {
		row, err = j.named(ctx, tx, in.Owner, row.Job.RequestID)
	}
	if err != nil || row != nil {
		return row, err
	}
	return nil, j.checkReplaced(ctx, tx, in)
}

// firstID returns a text that is less than each request_id made at or after t, and not
// less than those made before; see pixazo.IDTime.
func firstID(t time.Time) string {
	ms := t.UnixMilli()
	return fmt.Sprintf("%s%08x-%04x", pixazo.IDPrefix, ms>>16, ms&0xffff)
}

// KeptAs precedes the path of the damaged journal in the error of checkReplaced.
const KeptAs = "; the damaged file is kept as "

// checkReplaced returns duplicate_uncertain for a request without a row, if a damaged
// journal was replaced in the last two hours: the row may have been lost with it.
func (j *Journal) checkReplaced(ctx context.Context, tx *sql.Tx, in Intent) error {
	kept, at := j.newestAside()
	if age := in.SubmittedAt.Sub(at); kept == "" || age > replacedSpan || age < -maxAhead {
		return nil
	}
	known, err := j.one(ctx, tx, `WHERE gateway = $1 AND owner = $2 AND fingerprint = $3 AND state <> 'refused' AND submitted_at > 0 ORDER BY row DESC LIMIT 1`,
		j.gateway, in.Owner, in.Fingerprint) // a row whose time is lost has lost more
	if err != nil || known != nil {
		return err
	}
	return &pixazo.Error{Code: pixazo.DuplicateUncertain, Message: fmt.Sprintf(
		"the journal was damaged and replaced at %s, so it is not known whether this request was sent before"+KeptAs+"%s",
		at.Format(time.RFC3339), kept)}
}

// insert adds a row for in, in state submitting.
func (j *Journal) insert(ctx context.Context, tx *sql.Tx, in Intent) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO jobs (gateway, owner, account, state, nonce, fingerprint, exact, prompt, request, submitted_at, changed_at, lease_until, sweep_at, save_folder, notify)
		VALUES ($1, $2, $3, 'submitting', $4, $5, $6, $7, $8, $9, $9, $10, $9, $11, $12)`,
		j.gateway, in.Owner, in.Account, in.Nonce, in.Fingerprint, in.Exact, in.Prompt, in.Request, milli(in.SubmittedAt), milli(in.SubmittedAt.Add(intentLease)), in.Save.Folder, number(in.Save.Notify))
	return err
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// errLost says that the lease of an intent has ended.
var errLost = errors.New("the submission took too long to be still known as under way")

// Renew prolongs the lease of an intent. The sender calls it every 10 s while the
// POST is under way, and before it sends the request again. A lease that has ended
// can't be prolonged: others have seen the intent as uncertain, and may have acted on
// that.
func (j *Journal) Renew(ctx context.Context, in Intent) error {
	n, err := j.exec(ctx, outcomes, j.renewal(), intentLease.Milliseconds(), in.Nonce)
	if err == nil && n == 0 {
		return errLost
	}
	return err
}

// renewal returns the statement of Renew.
func (j *Journal) renewal() string {
	return `UPDATE jobs SET lease_until = ` + j.now() + ` + $1 WHERE nonce = $2 AND state = 'submitting' AND ` + j.leased("lease_until")
}
