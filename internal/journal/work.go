// This file finds the jobs that keepers are to poll, save or show a notice for, and
// gives each task to one process. It also has the leases of keepers.

package journal

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

const (
	MaxSaves = 4 // tries to save a video automatically

	saveLease    = 60 * time.Second // of a process that saves a video automatically, from the last renewal
	callLease    = 30 * time.Second // of one that does so for a call: after a kill, the next call still has time to save it
	longestPause = 30 * time.Minute // before a save is tried again
)

// Due reports whether the next try may begin at now. A time further ahead than any
// pause was written under another clock and does not count.
func (s Save) Due(now time.Time) bool {
	return !s.Next.After(now) || s.Next.After(now.Add(longestPause+maxAhead))
}

// Work returns the jobs of all owners and accounts that were submitted less than
// within ago and that a keeper has a task for: they are unfinished, are to be saved,
// or their notice was not shown. A job whose request_id was made in that time counts,
// too: the clock may have been set forward since the submission. SQLite finds
// these by the index jobs_request_id only if "state <> 'alias'" stands beside their ids.
func (j *Journal) Work(ctx context.Context, within time.Duration) ([]Row, error) {
	from, to := idsWithin(within)
	return j.readMany(ctx, `WHERE gateway = $1 AND state NOT IN ('refused', 'replaced', 'alias')
		AND (submitted_at > `+j.now()+` - $2 OR submitted_at > 0 AND state <> 'alias' AND request_id > $3 AND request_id < $4)
		AND (ended = 0 OR notify = 1 AND told_at = 0 OR `+toSave+`) ORDER BY row`,
		j.gateway, within.Milliseconds(), from, to)
}

// idsWithin returns two texts: a request_id that was made less than within ago is between
// them, and an older one is not.
func idsWithin(within time.Duration) (from, to string) {
	return firstID(time.Now().Add(-within)), firstID(time.Now().Add(maxAhead))
}

// toSave is an SQL condition: the row's video is to be saved automatically.
var toSave = `status = 'COMPLETED' AND save_folder <> '' AND saved_files = '' AND save_tries < ` + strconv.Itoa(MaxSaves)

// Saves returns at most limit finished jobs of all owners, submitted less than
// within ago as for Work, that are to be saved now.
func (j *Journal) Saves(ctx context.Context, within time.Duration, limit int) ([]Row, error) {
	from, to := idsWithin(within)
	return j.readMany(ctx, `WHERE gateway = $1 AND (submitted_at > `+j.now()+` - $2 OR submitted_at > 0 AND request_id > $3 AND request_id < $4)
		AND `+toSave+` AND `+j.saveDue()+` AND NOT `+j.leased("save_until")+` ORDER BY save_next, row LIMIT $5`,
		j.gateway, within.Milliseconds(), from, to, limit)
}

// saveDue returns Save.Due as an SQL condition.
func (j *Journal) saveDue() string {
	return fmt.Sprintf(`(save_next <= %[1]s OR save_next > %[1]s + %[2]d)`, j.now(), (longestPause + maxAhead).Milliseconds())
}

// Adopt records that the gateway answers for the row's job with the key of account.
func (j *Journal) Adopt(ctx context.Context, row int64, account string) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET account = $1 WHERE row = $2`, account, row)
	return err
}

// HoldSave takes the lease to save the row's video, and renews it until release is
// called; the lease of a process that is killed ends within 60 s, or 30 s for a call.
// release is nil if another process has the lease, and, if automatic, also if the video
// is not to be saved, was saved before, or no try is due.
func (j *Journal) HoldSave(ctx context.Context, row int64, automatic bool) (release func(), err error) {
	free, lease := `NOT `+j.leased("save_until"), callLease
	if automatic {
		lease = saveLease
		free += ` AND ` + toSave + ` AND ` + j.saveDue()
	}
	ctx = context.WithoutCancel(ctx)
	hold := func(condition string) (bool, error) {
		return j.updateOne(ctx, `UPDATE jobs SET save_until = `+j.now()+` + $1 WHERE row = $2 AND `+condition, lease.Milliseconds(), row)
	}
	if granted, err := hold(free); !granted || err != nil {
		return nil, err
	}
	kept, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for Sleep(kept, lease/3) {
			_, _ = hold(`save_until > 0`) // if this fails, another process may save the video at the same time, which harms no file
		}
	}()
	return func() {
		cancel()
		<-ended // otherwise a late renewal could follow the release
		_, _ = j.updateOne(ctx, `UPDATE jobs SET save_until = 0 WHERE row = $1`, row)
	}, nil
}

// OrderSave has the row's video saved below folder now, whatever became of earlier
// saves. The files that row has are gone.
func (j *Journal) OrderSave(ctx context.Context, row Row, folder string) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET save_name = CASE WHEN save_folder = $1 AND saved_files = '' THEN save_name ELSE '' END,
		save_folder = $1, save_tries = 0, save_next = 0, save_error = '', saved_files = '' WHERE row = $2 AND (saved_files = '' OR $3 = 1)`,
		folder, row.ID, number(len(row.Saved) > 0))
	return err
}

// NameSave records the name, below its folder, under which the row's video is being
// saved, so that a later try finds the file.
func (j *Journal) NameSave(ctx context.Context, row int64, name string) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET save_name = $1 WHERE row = $2`, name, row)
	return err
}

// EndSave records how an automatic try to save the row's video ended: why it failed
// and when the next one is due, or "" if it did not fail.
func (j *Journal) EndSave(ctx context.Context, row int64, failure string, next time.Time) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET save_tries = save_tries + 1, save_error = $1, save_next = `+j.now()+` + $2, changed_at = `+j.now()+` WHERE row = $3`, failure, until(next), row)
	return err
}

// ClaimNotice claims the row's notice. It returns true if the caller is to show it: the
// notice is wanted, and no process has claimed it before.
func (j *Journal) ClaimNotice(ctx context.Context, row int64) (bool, error) {
	return j.updateOne(ctx, `UPDATE jobs SET told_at = `+j.now()+` WHERE row = $1 AND notify = 1 AND told_at = 0`, row)
}

// Attend records that a call waits for the job until then, so that its end needs no
// notice.
func (j *Journal) Attend(ctx context.Context, requestID string, then time.Time) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET attended_until = `+j.now()+` + $1 WHERE gateway = $2 AND owner = $3 AND request_id = $4 AND state <> 'alias'`,
		until(then), j.gateway, Owner(ctx), requestID)
	return err
}

// until returns the milliseconds from now to then. Statements add them to the time of
// the journal's clock, which may differ from this process's.
func until(then time.Time) int64 { return time.Until(then).Milliseconds() }

// updateOne runs a statement that affects at most one row, and reports whether it did.
func (j *Journal) updateOne(ctx context.Context, statement string, args ...any) (updated bool, err error) {
	n, err := j.exec(ctx, statuses, statement, args...)
	return n > 0, err
}

// Lease is a note that counts until a time, such as that a keeper runs, or that keepers
// are asked to end.
type Lease struct {
	Name   string
	Holder string // version and process, for people
	Until  time.Time
}

// TakeLease takes the lease, or prolongs it, until l.Until.
func (j *Journal) TakeLease(ctx context.Context, l Lease) error {
	_, err := j.updateOne(ctx, `INSERT INTO leases (name, holder, until) VALUES ($1, $2, `+j.now()+` + $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until`, l.Name, l.Holder, until(l.Until))
	return err
}

// EndLease ends the lease of this name, and deletes those of processes that were killed.
func (j *Journal) EndLease(ctx context.Context, name string) error {
	_, err := j.exec(ctx, statuses, `DELETE FROM leases WHERE name = $1 OR NOT `+j.leased("until"), name)
	return err
}

// Leases returns the leases whose names begin with prefix and that have not ended.
func (j *Journal) Leases(ctx context.Context, prefix string) ([]Lease, error) {
	return readAll(ctx, j, scanLease, selectLeases(j.now()), prefix)
}

// selectLeases returns the statement of Leases, with an expression for the present time.
func selectLeases(now string) string {
	return `SELECT name, holder, until - ` + now + ` FROM leases WHERE substr(name, 1, length($1)) = $1 AND ` + leased("until", now) + ` ORDER BY name`
}

func scanLease(scan func(...any) error) (l Lease, err error) {
	var left int64
	err = scan(&l.Name, &l.Holder, &left)
	l.Until = time.Now().Add(time.Duration(left) * time.Millisecond)
	return l, err
}
