// This file is what the journal holds: a row a submission or job, from the
// intent to the saved file, and the rules on duplicates and the hourly limit.

package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// state is how far a submission got. Only accepted rows have a request_id,
// save for uncertain ones whose answer could be read that far.
type state string

const (
	submitting state = "submitting" // the intent is written, the outcome not yet
	accepted   state = "accepted"
	refused    state = "refused"   // certainly not accepted; kept for whoever joined it
	uncertain  state = "uncertain" // perhaps accepted, nobody knows
	foreign    state = "foreign"   // a job made elsewhere, first seen by its request_id
)

const (
	duplicateSpan = 10 * time.Minute // an accepted request counts as the same video this long
	intentSpan    = 2 * time.Minute  // an intent without an outcome for longer than this and its upload is uncertain
	limitSpan     = time.Hour
)

// Record is what the journal holds of one submission or job.
type Record struct {
	Job           pixazo.Job
	Prompt        string
	SubmittedAt   time.Time   // zero for a job made elsewhere
	LastCheckedAt time.Time   // zero when it was never asked for
	Saved         []SavedFile // its files on this computer, newest first
	Uncertain     bool        // perhaps accepted; RequestID is "" as a rule

	row         int64
	state       state
	fingerprint string
	failure     *pixazo.Error
}

const recordColumns = `row, state, COALESCE(fingerprint, ''), COALESCE(request_id, ''), prompt, failure, status, error, video_urls, media_type,
	polling_url, saved_files, submitted_at, created_at, updated_at, completed_at, checked_at`

func scanRecord(scan func(...any) error) (Record, error) {
	var r Record
	var failure, urls, saved string
	var submitted, created, updated, completed, checked int64
	err := scan(&r.row, &r.state, &r.fingerprint, &r.Job.RequestID, &r.Prompt, &failure, &r.Job.Status, &r.Job.Error, &urls, &r.Job.MediaType,
		&r.Job.PollingURL, &saved, &submitted, &created, &updated, &completed, &checked)
	if err != nil {
		return Record{}, err
	}
	if urls != "" {
		r.Job.VideoURLs = strings.Split(urls, "\n")
	}
	if saved != "" && json.Unmarshal([]byte(saved), &r.Saved) != nil {
		r.Saved = nil // it can be saved again
	}
	r.Uncertain = r.state == uncertain
	r.SubmittedAt, r.LastCheckedAt = fromMilli(submitted), fromMilli(checked)
	r.Job.CreatedAt, r.Job.UpdatedAt, r.Job.CompletedAt = fromMilli(created), fromMilli(updated), fromMilli(completed)
	if failure != "" {
		var f struct{ Code, Message string }
		if err := json.Unmarshal([]byte(failure), &f); err != nil {
			f.Code, f.Message = string(pixazo.GatewayError), "the reason was not kept"
		}
		r.failure = &pixazo.Error{Code: pixazo.Code(f.Code), Message: f.Message, RequestID: r.Job.RequestID}
	}
	return r, nil
}

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// intent is a submission as it stands in the journal before its POST.
type intent struct {
	row         int64
	fingerprint string
	prompt      string
	request     string // the other fields, described
	process     int
	host        string
	submitted   time.Time
	upload      time.Duration // what large attachments may take longer
}

// sameIntent finds an intent again. The row alone would not do: after a
// damaged journal was replaced, it may be somebody else's.
const sameIntent = `gateway = ? AND row = ? AND fingerprint = ? AND submitted_at = ?`

// intend writes down that p is about to be submitted. In the same
// transaction it looks for a submission of the same request that stands in the
// way, which it returns instead, and keeps the hourly limit.
func (j *journal) intend(ctx context.Context, p *pixazo.Prepared, allowDuplicate bool, limit int) (in intent, other *Record, err error) {
	in = intent{fingerprint: p.Fingerprint(), prompt: p.Prompt(), request: p.Description(), process: os.Getpid(), upload: p.UploadTime()}
	in.host, _ = os.Hostname()
	j.retry()
	err = j.use(func(o *opened) error {
		other = nil
		return transaction(ctx, o.synced, func(tx *sql.Tx) error {
			// A newer program may have changed the tables since they were opened.
			if _, err := schemaVersion(tx); err != nil {
				return err
			}
			in.submitted = time.Now()
			if err := j.settle(tx, in.submitted); err != nil {
				return err
			}
			if !allowDuplicate {
				// An uncertain one counts until a later one was allowed.
				found, err := scanRecord(tx.QueryRow(`SELECT `+recordColumns+` FROM jobs AS this
					WHERE gateway = ? AND fingerprint = ? AND (state = ?
						OR state = ? AND submitted_at > ? AND status NOT IN (?, ?)
						OR state = ? AND NOT EXISTS (SELECT 1 FROM jobs AS later
							WHERE later.gateway = this.gateway AND later.fingerprint = this.fingerprint AND later.row > this.row AND later.state = ?))
					ORDER BY row DESC LIMIT 1`, j.gateway, in.fingerprint, submitting,
					accepted, milli(in.submitted.Add(-duplicateSpan)), pixazo.Failed, pixazo.Errored,
					uncertain, accepted).Scan)
				if err == nil {
					other = &found
					return nil
				}
				if !errors.Is(err, sql.ErrNoRows) {
					return err
				}
			}
			if err := j.checkLimit(tx, in.submitted, limit); err != nil {
				return err
			}
			in.row, err = j.insert(tx, in, submitting)
			return err
		})
	})
	return in, other, err
}

func (j *journal) insert(tx *sql.Tx, in intent, s state) (row int64, err error) {
	result, err := tx.Exec(`INSERT INTO jobs (gateway, state, fingerprint, prompt, request, process, host, submitted_at, upload)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, j.gateway, s, in.fingerprint, in.prompt, in.request, in.process, in.host, milli(in.submitted), in.upload.Milliseconds())
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

// settle makes an intent uncertain whose process is gone or that is too old to
// be still under way.
func (j *journal) settle(tx *sql.Tx, now time.Time) error {
	host, _ := os.Hostname()
	// The state is spelled out, so that the index on such rows is used.
	rows, err := tx.Query(`SELECT row, process, host, submitted_at + upload FROM jobs WHERE gateway = ? AND state = 'submitting'`, j.gateway)
	if err != nil {
		return err
	}
	defer rows.Close()
	var lost []int64
	for rows.Next() {
		var row, uploaded int64
		var process int
		var runsOn string
		if err := rows.Scan(&row, &process, &runsOn, &uploaded); err != nil {
			return err
		}
		if runsOn == host && !alive(process) || now.Sub(fromMilli(uploaded)) > intentSpan {
			lost = append(lost, row)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, row := range lost {
		if _, err := tx.Exec(`UPDATE jobs SET state = ? WHERE row = ?`, uncertain, row); err != nil {
			return err
		}
	}
	return nil
}

// checkLimit refuses when limit submissions of the last hour were, or may have
// been, accepted. 0 means no limit.
func (j *journal) checkLimit(tx *sql.Tx, now time.Time, limit int) error {
	if limit == 0 {
		return nil
	}
	rows, err := tx.Query(`SELECT submitted_at FROM jobs WHERE gateway = ? AND state IN (?, ?, ?) AND submitted_at > ?
		ORDER BY submitted_at DESC LIMIT ?`, j.gateway, submitting, accepted, uncertain, milli(now.Add(-limitSpan)), limit)
	if err != nil {
		return err
	}
	defer rows.Close()
	var oldest int64
	n := 0
	for ; rows.Next(); n++ {
		if err := rows.Scan(&oldest); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil || n < limit {
		return err
	}
	next := fromMilli(oldest).Add(limitSpan)
	if whole := next.Truncate(time.Second); whole != next {
		next = whole.Add(time.Second) // shown to the second, and true then
	}
	return &pixazo.Error{Code: pixazo.LimitReached, RetryAfter: next.Sub(now), Message: fmt.Sprintf(
		"the limit of %d videos an hour is reached (--max-videos-per-hour, PIXAZO_MAX_VIDEOS_PER_HOUR); the next one is possible at %s, in %s",
		limit, next.Format(time.RFC3339), next.Sub(now).Round(time.Second))}
}

// outcome is what became of an intent.
type outcome struct {
	in      intent
	job     pixazo.Job
	failure error
}

// conclude writes what became of an intent. What can't be written now is
// written before the journal is next used for a submission or a list.
func (j *journal) conclude(in intent, job pixazo.Job, failure error) error {
	err := j.write(in, job, failure)
	if err != nil {
		j.mu.Lock()
		j.unwritten = append(j.unwritten, outcome{in, job, failure})
		j.mu.Unlock()
	}
	return err
}

// retry writes the outcomes that could not be written before.
func (j *journal) retry() {
	j.mu.Lock()
	waiting := j.unwritten
	j.unwritten = nil
	j.mu.Unlock()
	for i, o := range waiting {
		if err := j.write(o.in, o.job, o.failure); err != nil {
			j.mu.Lock()
			j.unwritten = append(j.unwritten, waiting[i:]...)
			j.mu.Unlock()
			return
		}
		j.log.Info("an outcome was recorded after all", "request_id", cmp.Or(o.job.RequestID, requestIDOf(o.failure)))
	}
}

// write writes an outcome, and the intent again when a damaged journal took it
// away meanwhile.
func (j *journal) write(in intent, job pixazo.Job, failure error) error {
	outcome, id, said := accepted, job.RequestID, ""
	if failure != nil {
		// An error that says nothing of its own does not say that nothing was
		// accepted.
		outcome, id = uncertain, ""
		e, ok := errors.AsType[*pixazo.Error](failure)
		if !ok {
			e = &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: text.Clean(failure.Error(), 300)}
		}
		if e.Code == pixazo.SubmissionUncertain {
			id = e.RequestID
		} else {
			outcome = refused
		}
		raw, err := json.Marshal(map[string]string{"code": string(e.Code), "message": e.Message})
		if err != nil {
			return err
		}
		said = string(raw)
	}
	return j.use(func(o *opened) error {
		// On a context of its own: what is paid for gets written.
		return transaction(context.Background(), o.outcomes, func(tx *sql.Tx) error {
			outcome, job, id := outcome, job, id
			var row int64
			err := tx.QueryRow(`SELECT row FROM jobs WHERE `+sameIntent, j.gateway, in.row, in.fingerprint, milli(in.submitted)).Scan(&row)
			if errors.Is(err, sql.ErrNoRows) {
				row, err = j.insert(tx, in, submitting)
			}
			if err != nil {
				return err
			}
			var seen Record
			if id != "" {
				// Another process may have asked for the job already, and taken
				// it for one made elsewhere. What it saw is newer than the
				// answer to the submission.
				seen, err = scanRecord(tx.QueryRow(`SELECT `+recordColumns+` FROM jobs WHERE gateway = ? AND request_id = ? AND row <> ?`, j.gateway, id, row).Scan)
				if err != nil && !errors.Is(err, sql.ErrNoRows) {
					return err
				}
				switch {
				case err == nil && seen.state != foreign:
					// The gateway named one job for two submissions; the id
					// stays with the first.
					j.log.Error("the gateway answered two submissions with one request_id", "request_id", id)
					id, seen = "", Record{}
				case err == nil:
					if _, err := tx.Exec(`DELETE FROM jobs WHERE row = ?`, seen.row); err != nil {
						return err
					}
				}
				if !seen.LastCheckedAt.IsZero() {
					created, polling := job.CreatedAt, job.PollingURL
					outcome, job = accepted, seen.Job
					job.PollingURL = cmp.Or(job.PollingURL, polling)
					job.CreatedAt = cmp.Or(job.CreatedAt, created)
				}
			}
			_, err = tx.Exec(`UPDATE jobs SET state = ?, request_id = NULLIF(?, ''), failure = ?, status = ?, error = ?, video_urls = ?, media_type = ?,
				polling_url = ?, saved_files = ?, created_at = ?, updated_at = ?, completed_at = ?, checked_at = ? WHERE row = ?`,
				outcome, id, said, job.Status, job.Error, strings.Join(job.VideoURLs, "\n"), job.MediaType,
				job.PollingURL, encodeSaved(seen.Saved), milli(job.CreatedAt), milli(job.UpdatedAt), milli(job.CompletedAt), milli(seen.LastCheckedAt), row)
			return err
		})
	})
}

// read returns a record of this journal as it stands now, once intents have
// been settled.
func (j *journal) read(ctx context.Context, earlier Record) (r Record, err error) {
	j.retry()
	err = j.use(func(o *opened) error {
		return transaction(ctx, o.synced, func(tx *sql.Tx) error {
			if err := j.settle(tx, time.Now()); err != nil {
				return err
			}
			r, err = scanRecord(tx.QueryRow(`SELECT `+recordColumns+` FROM jobs WHERE `+sameIntent,
				j.gateway, earlier.row, earlier.fingerprint, milli(earlier.SubmittedAt)).Scan)
			return err
		})
	})
	return r, err
}

// note records what the gateway said of a job, and when. A job that is not in
// the journal was made elsewhere.
func (j *journal) note(job pixazo.Job) error {
	return j.use(func(o *opened) error {
		_, err := o.seen.Exec(`INSERT INTO jobs (gateway, request_id, state, status, error, video_urls, media_type, polling_url,
				created_at, updated_at, completed_at, checked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (gateway, request_id) WHERE request_id IS NOT NULL DO UPDATE SET
				state = IIF(state = ?, ?, state), status = excluded.status, error = excluded.error, video_urls = excluded.video_urls,
				media_type = excluded.media_type, polling_url = IIF(excluded.polling_url = '', polling_url, excluded.polling_url),
				created_at = IIF(excluded.created_at = 0, created_at, excluded.created_at),
				updated_at = excluded.updated_at, completed_at = excluded.completed_at, checked_at = excluded.checked_at
			WHERE status NOT IN (?, ?, ?) OR excluded.status IN (?, ?, ?)`, // a slow answer from before the end changes nothing
			j.gateway, job.RequestID, foreign, job.Status, job.Error, strings.Join(job.VideoURLs, "\n"), job.MediaType, job.PollingURL,
			milli(job.CreatedAt), milli(job.UpdatedAt), milli(job.CompletedAt), milli(time.Now()),
			uncertain, accepted,
			pixazo.Completed, pixazo.Failed, pixazo.Errored, pixazo.Completed, pixazo.Failed, pixazo.Errored)
		return err
	})
}

// saved records where the files of a job are.
func (j *journal) saved(requestID string, files []SavedFile) error {
	return j.use(func(o *opened) error {
		_, err := o.seen.Exec(`UPDATE jobs SET saved_files = ? WHERE gateway = ? AND request_id = ?`, encodeSaved(files), j.gateway, requestID)
		return err
	})
}

func encodeSaved(files []SavedFile) string {
	if len(files) == 0 {
		return ""
	}
	raw, _ := json.Marshal(files) // strings and numbers always have a JSON form
	return string(raw)
}

// find returns the record of a job, nil when there is none.
func (j *journal) find(requestID string) (found *Record, err error) {
	err = j.use(func(o *opened) error {
		r, err := scanRecord(o.seen.QueryRow(`SELECT `+recordColumns+` FROM jobs WHERE gateway = ? AND request_id = ?`, j.gateway, requestID).Scan)
		found = nil
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			found = &r
		}
		return err
	})
	return found, err
}

// typical is the median of what the newest finished jobs took, 0 when there are
// fewer than three.
func (j *journal) typical() (d time.Duration, err error) {
	const newest, least = 50, 3
	err = j.use(func(o *opened) error {
		rows, err := o.seen.Query(`SELECT completed_at - created_at FROM jobs
			WHERE gateway = ? AND status = ? AND created_at > 0 AND completed_at > created_at ORDER BY row DESC LIMIT ?`, j.gateway, pixazo.Completed, newest)
		if err != nil {
			return err
		}
		defer rows.Close()
		var took []int64
		for rows.Next() {
			var ms int64
			if err := rows.Scan(&ms); err != nil {
				return err
			}
			took = append(took, ms)
		}
		if d = 0; len(took) >= least {
			slices.Sort(took)
			d = time.Duration(took[len(took)/2]) * time.Millisecond
		}
		return rows.Err()
	})
	return d, err
}

// Filter is which videos a list is about.
type Filter string

// The filters of List.
const (
	All             Filter = "all"
	Pending         Filter = "pending"
	FilterCompleted Filter = "completed"
	FilterFailed    Filter = "failed"
	FilterUncertain Filter = "uncertain"
)

// Filters are the filters there are.
var Filters = []string{string(All), string(Pending), string(FilterCompleted), string(FilterFailed), string(FilterUncertain)}

// list returns at most limit records, newest first, and where to go on.
func (j *journal) list(ctx context.Context, filter Filter, limit int, cursor string) (records []Record, next string, err error) {
	before, err := decodeCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	ended := []any{pixazo.Completed, pixazo.Failed, pixazo.Errored}
	where, args := "", []any{}
	switch filter {
	case All:
	case Pending:
		where, args = `AND state <> 'uncertain' AND status NOT IN (?, ?, ?)`, ended
	case FilterCompleted:
		where, args = `AND status = ?`, ended[:1]
	case FilterFailed:
		where, args = `AND status IN (?, ?)`, ended[1:]
	case FilterUncertain:
		where = `AND state = 'uncertain'`
	}
	j.retry()
	args = append(append([]any{j.gateway, refused, before}, args...), limit+1)
	err = j.use(func(o *opened) error {
		records = nil
		return transaction(ctx, o.synced, func(tx *sql.Tx) error {
			if err := j.settle(tx, time.Now()); err != nil {
				return err
			}
			// The plus keeps SQLite from an index that would have all rows
			// of the gateway sorted first.
			rows, err := tx.Query(`SELECT `+recordColumns+` FROM jobs WHERE +gateway = ? AND state <> ? AND row < ? `+where+` ORDER BY row DESC LIMIT ?`, args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				r, err := scanRecord(rows.Scan)
				if err != nil {
					return err
				}
				records = append(records, r)
			}
			return rows.Err()
		})
	})
	if len(records) > limit {
		records = records[:limit]
		next = encodeCursor(records[limit-1].row)
	}
	return records, next, err
}

// A cursor names the last row of the page before it, so that jobs added
// meanwhile do not shift the pages.
func encodeCursor(row int64) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "before %d", row))
}

func decodeCursor(cursor string) (before int64, err error) {
	if cursor == "" {
		return 1<<63 - 1, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		_, err = fmt.Sscanf(string(raw), "before %d", &before)
	}
	if err != nil || encodeCursor(before) != cursor {
		return 0, &pixazo.Error{Code: pixazo.InvalidArgument, Message: "cursor must be the next_cursor of an earlier list_videos; got " + text.Quote(cursor)}
	}
	return before, nil
}
