// This file finds the jobs that are to be followed, saved or told of without a
// call, and gives each task to one process.

package journal

import (
	"context"
	"fmt"
	"time"
)

const (
	// MaxSaves is how often saving a video without being asked is tried.
	MaxSaves = 4

	saveLease = 60 * time.Second // of whoever saves a video, from the last renewal

	longestPause = 30 * time.Minute // before a save is tried again
)

// Due reports whether the next try may begin. A time further ahead than any pause
// was written under another clock.
func (s Save) Due(now time.Time) bool {
	return !s.Next.After(now) || s.Next.After(now.Add(longestPause+maxAhead))
}

// Work returns the jobs of all owners and accounts that were submitted less than
// within ago, and for which something is to be done without anybody asking: they
// are unfinished, are to be saved, or their notice was not given.
func (j *Journal) Work(ctx context.Context, within time.Duration) ([]Row, error) {
	return j.readMany(ctx, `WHERE gateway = $1 AND submitted_at > `+j.now()+` - $2 AND state NOT IN ('refused', 'replaced', 'alias')
		AND (ended = 0 OR notify = 1 AND told_at = 0 OR `+toSave+`) ORDER BY row`, j.gateway, within.Milliseconds())
}

// toSave is the condition of a row whose video is to be saved without being asked.
var toSave = fmt.Sprintf(`status = 'COMPLETED' AND save_folder <> '' AND saved_files = '' AND save_tries < %d`, MaxSaves)

// Saves returns at most limit finished jobs of all owners, submitted less than
// within ago, that are to be saved now. The sum in it keeps SQLite from the index
// of submitted_at, under which there are many more than in jobs_to_save.
func (j *Journal) Saves(ctx context.Context, within time.Duration, limit int) ([]Row, error) {
	return j.readMany(ctx, `WHERE gateway = $1 AND submitted_at + 0 > `+j.now()+` - $2 AND `+toSave+` AND `+j.saveDue()+` ORDER BY save_next, row LIMIT $3`,
		j.gateway, within.Milliseconds(), limit)
}

// saveDue is the condition of a row that nobody is saving and whose next try is
// due. Times far ahead were written under another clock.
func (j *Journal) saveDue() string {
	return fmt.Sprintf(`(save_next <= %[1]s OR save_next > %[1]s + %[2]d) AND NOT `, j.now(), (longestPause+maxAhead).Milliseconds()) + j.leased("save_until")
}

// Adopt writes that the key of account can be asked for the row's job, too.
func (j *Journal) Adopt(ctx context.Context, row int64, account string) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET account = $1 WHERE row = $2`, account, row)
	return err
}

// HoldSave gives the caller the saving of the row's video until it calls release,
// which is nil while another process has it. Of a process that is killed it ends
// within 60 s. byItself says that nobody asked: it is then given only if the video
// is to be saved, was not saved before, and a try is due.
func (j *Journal) HoldSave(ctx context.Context, row int64, byItself bool) (release func(), err error) {
	free := `NOT ` + j.leased("save_until")
	if byItself {
		free = toSave + ` AND ` + j.saveDue()
	}
	ctx = context.WithoutCancel(ctx)
	hold := func(condition string) (bool, error) {
		return j.updateOne(ctx, `UPDATE jobs SET save_until = `+j.now()+` + $1 WHERE row = $2 AND `+condition, saveLease.Milliseconds(), row)
	}
	if granted, err := hold(free); !granted || err != nil {
		return nil, err
	}
	kept, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for Sleep(kept, saveLease/3) {
			_, _ = hold(`save_until > 0`) // where that fails, another process may begin the save as well; each file stays whole
		}
	}()
	return func() {
		cancel()
		<-ended // else a late renewal would hold a save that has ended
		_, _ = j.updateOne(ctx, `UPDATE jobs SET save_until = 0 WHERE row = $1`, row)
	}, nil
}

// NameSave writes under which name, below its folder, the row's video is being
// saved, so that a later try knows the file.
func (j *Journal) NameSave(ctx context.Context, row int64, name string) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET save_name = $1 WHERE row = $2`, name, row)
	return err
}

// EndSave writes how a try to save the row's video without being asked ended: with
// why it failed, and when it is tried again, or with "" when the files are recorded.
func (j *Journal) EndSave(ctx context.Context, row int64, failure string, next time.Time) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET save_tries = save_tries + 1, save_error = $1, save_next = `+j.now()+` + $2, changed_at = `+j.now()+` WHERE row = $3`, failure, until(next), row)
	return err
}

// Tell reports whether the caller is to give the row's notice: it is wanted, and
// nobody gave it before.
func (j *Journal) Tell(ctx context.Context, row int64) (bool, error) {
	return j.updateOne(ctx, `UPDATE jobs SET told_at = `+j.now()+` WHERE row = $1 AND notify = 1 AND told_at = 0`, row)
}

// Attend writes that a call waits for the job until then, so that its end needs
// no notice.
func (j *Journal) Attend(ctx context.Context, requestID string, then time.Time) error {
	_, err := j.updateOne(ctx, `UPDATE jobs SET attended_until = `+j.now()+` + $1 WHERE gateway = $2 AND owner = $3 AND request_id = $4 AND state <> 'alias'`,
		until(then), j.gateway, Owner(ctx), requestID)
	return err
}

// until returns the milliseconds from now to then by this process's clock. Statements
// add them to the time by the journal's clock, which may be another one.
func until(then time.Time) int64 { return time.Until(then).Milliseconds() }

// updateOne runs a statement that writes at most one row, and reports whether it did.
func (j *Journal) updateOne(ctx context.Context, statement string, args ...any) (updated bool, err error) {
	n, err := j.exec(ctx, statuses, statement, args...)
	return n > 0, err
}

// Lease is a right that one process at a time has, such as to watch the jobs of
// a gateway and an account.
type Lease struct {
	Name   string
	Holder string // names the process; made by it
	Until  time.Time
}

// Take gives the lease to l.Holder, whoever has it now.
func (j *Journal) Take(ctx context.Context, l Lease) error {
	_, err := j.updateOne(ctx, `INSERT INTO leases (name, holder, until) VALUES ($1, $2, `+j.now()+` + $3)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until`, l.Name, l.Holder, until(l.Until))
	return err
}

// Keep prolongs the lease until l.Until and reports whether l.Holder still has it.
func (j *Journal) Keep(ctx context.Context, l Lease) (bool, error) {
	return j.updateOne(ctx, `UPDATE leases SET until = `+j.now()+` + $1 WHERE name = $2 AND holder = $3`, until(l.Until), l.Name, l.Holder)
}

// Leave ends the lease if holder has it.
func (j *Journal) Leave(ctx context.Context, l Lease) error {
	_, err := j.updateOne(ctx, `DELETE FROM leases WHERE name = $1 AND holder = $2`, l.Name, l.Holder)
	return err
}

// Leases returns the leases whose names begin with prefix and that have not ended.
func (j *Journal) Leases(ctx context.Context, prefix string) (held []Lease, err error) {
	err = j.read(ctx, func(ctx context.Context, q querier) (err error) {
		held, err = leases(ctx, q, j.now(), prefix)
		return err
	})
	return held, err
}

func leases(ctx context.Context, q querier, now, prefix string) ([]Lease, error) {
	begun := time.Now()
	return query(ctx, q, func(scan func(...any) error) (l Lease, err error) {
		var left int64
		err = scan(&l.Name, &l.Holder, &left)
		l.Until = begun.Add(time.Duration(left) * time.Millisecond)
		return l, err
	}, `SELECT name, holder, until - `+now+` FROM leases WHERE substr(name, 1, length($1)) = $1 AND `+leased("until", now)+` ORDER BY name`, prefix)
}
