// This file has what only the team server needs: sessions, the sweep of jobs that
// nobody waits for, usage by owner and day, and the deletion of old rows.

package journal

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

const (
	sessionIdle = 24 * time.Hour // a session that was not used for this long is gone
	sweepFor    = 24 * time.Hour // how long a job is swept, from its submission on

	tidyBatch = 500 // rows deleted in one transaction
)

// Session is a client's session over HTTP, known to all replicas.
type Session struct {
	ID            string // SHA-256, in hexadecimal, of the id that the client has
	Owner         string
	Subscriptions []string  // URIs
	SeenAt        time.Time // when it was opened or last written, by this computer's clock; the journal sets it
}

// OpenSession writes a new session, and deletes those that were idle for a day.
func (j *Journal) OpenSession(ctx context.Context, s Session) error {
	if _, err := j.exec(ctx, statuses, `DELETE FROM sessions WHERE seen_at < `+j.now()+` - $1`, sessionIdle.Milliseconds()); err != nil {
		return err
	}
	_, err := j.updateOne(ctx, `INSERT INTO sessions (id, owner, subscriptions, seen_at) VALUES ($1, $2, $3, `+j.now()+`)`, s.ID, s.Owner, cmp.Or(encode(s.Subscriptions), "null"))
	return err
}

// FindSession returns the session, nil when there is none or it was idle for a
// day.
func (j *Journal) FindSession(ctx context.Context, id string) (*Session, error) {
	return single(readAll(ctx, j, func(scan func(...any) error) (Session, error) {
		s, subscriptions, idle := Session{ID: id}, "", int64(0)
		err := scan(&s.Owner, &subscriptions, &idle)
		s.Subscriptions, s.SeenAt = decode[[]string](subscriptions), time.Now().Add(-time.Duration(idle)*time.Millisecond)
		return s, err
	}, `SELECT owner, subscriptions, `+j.now()+` - seen_at FROM sessions WHERE id = $1 AND seen_at >= `+j.now()+` - $2`, id, sessionIdle.Milliseconds()))
}

// UseSession writes that the session was used now.
func (j *Journal) UseSession(ctx context.Context, id string) error {
	_, err := j.updateOne(ctx, `UPDATE sessions SET seen_at = `+j.now()+` WHERE id = $1`, id)
	return err
}

// Subscribe adds uri to the session's subscriptions, or, unless it is wanted, removes
// it. Changes that other replicas make at the same time are kept. For a session that
// has ended it does nothing.
func (j *Journal) Subscribe(ctx context.Context, id, uri string, wanted bool) error {
	return j.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var before string // read once the row is locked
		err := tx.QueryRowContext(ctx, `UPDATE sessions SET seen_at = `+j.now()+` WHERE id = $1 RETURNING subscriptions`, id).Scan(&before)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		uris := slices.DeleteFunc(decode[[]string](before), func(u string) bool { return u == uri })
		if wanted {
			uris = append(uris, uri)
		}
		if err == nil {
			_, err = tx.ExecContext(ctx, `UPDATE sessions SET subscriptions = $1 WHERE id = $2`, cmp.Or(encode(uris), "null"), id)
		}
		return err
	})
}

// EndSession ends the session and reports whether there was one.
func (j *Journal) EndSession(ctx context.Context, id string) (bool, error) {
	return j.updateOne(ctx, `DELETE FROM sessions WHERE id = $1`, id)
}

// Due returns at most limit unfinished jobs of any owner that were submitted
// within a day and not polled for uncheckedFor, those that wait longest first. It
// returns each to one process only, and again after uncheckedFor.
func (j *Journal) Due(ctx context.Context, uncheckedFor time.Duration, limit int) ([]Row, error) {
	now := j.now()
	// Without WITH, PostgreSQL may run the SELECT for each row, and return more than limit.
	return changeAll(ctx, j, j.scan, `WITH due AS (SELECT row AS number FROM jobs WHERE gateway = $1 AND ended = 0 AND request_id IS NOT NULL AND state <> 'alias' AND sweep_at <> 0
			AND sweep_at > `+now+` - $3 AND sweep_at <= `+now+` AND submitted_at <= `+now+` - $2 AND polled_at <= `+now+` - $2
			ORDER BY sweep_at LIMIT $4`+j.skipLocked+`)
		UPDATE jobs SET sweep_at = CASE WHEN submitted_at > `+now+` - $3 THEN `+now+` + $2 ELSE 0 END WHERE row IN (SELECT number FROM due) RETURNING `+j.columns(),
		j.gateway, uncheckedFor.Milliseconds(), sweepFor.Milliseconds(), limit)
}

// Used is the number of videos that an owner submitted in a day.
type Used struct {
	Owner     string `json:"owner"`
	Day       string `json:"day"`       // 2006-01-02, UTC
	Videos    int    `json:"videos"`    // accepted
	Uncertain int    `json:"uncertain"` // perhaps accepted
}

// Usage returns the numbers of videos that all owners submitted at or after since, by
// day and owner.
func (j *Journal) Usage(ctx context.Context, since time.Time) ([]Used, error) {
	return readAll(ctx, j, func(scan func(...any) error) (u Used, err error) {
		var day int64
		err = scan(&day, &u.Owner, &u.Videos, &u.Uncertain)
		u.Day = time.Unix(day*86400, 0).UTC().Format(time.DateOnly)
		return u, err
	}, `SELECT submitted_at / 86400000 AS day, owner, SUM(CASE WHEN state IN ('accepted', 'alias') THEN 1 ELSE 0 END),
		SUM(CASE WHEN state IN ('uncertain', 'replaced') OR `+j.lapsed()+` THEN 1 ELSE 0 END)
		FROM jobs WHERE gateway = $1 AND submitted_at >= $2 AND submitted_at > 0 AND state <> 'refused' GROUP BY day, owner ORDER BY day, owner`,
		j.gateway, milli(since))
}

// Ping returns an error when the journal can't be read.
func (j *Journal) Ping(ctx context.Context) error {
	_, err := j.readMany(ctx, `LIMIT 0`)
	return err
}

// Tidy deletes the jobs of all owners that ended more than KeepDays ago, and returns
// how many it deleted. Each transaction deletes at most 500. Uncertain ones stay. It makes
// no journal.
func (j *Journal) Tidy(ctx context.Context) (n int, err error) {
	for deleted := int64(tidyBatch); j.keepDays > 0 && j.Exists() && deleted == tidyBatch && err == nil; n += int(deleted) {
		deleted, err = j.exec(ctx, statuses, `DELETE FROM jobs WHERE row IN (SELECT row FROM jobs WHERE gateway = $1 AND changed_at < `+j.now()+` - $2
			AND (ended = 1 OR state IN ('refused', 'replaced', 'alias')) ORDER BY changed_at LIMIT $3)`,
			j.gateway, int64(j.keepDays)*24*time.Hour.Milliseconds(), tidyBatch)
	}
	return n, err
}
