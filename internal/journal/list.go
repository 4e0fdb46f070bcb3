// This file reads rows. Reading never writes, so it works on a full or read-only
// disk, and while another process writes.

package journal

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// Filter says which rows List returns.
type Filter string

// The filters of List.
const (
	All           Filter = "all" // neither refused, replaced nor alias
	Pending       Filter = "pending"
	Completed     Filter = "completed"
	Failed        Filter = "failed"
	OnlyUncertain Filter = "uncertain" // with the replaced ones
)

// where returns the SQL condition of a filter.
func (j *Journal) where(f Filter) string {
	switch f {
	case Pending:
		return `state IN ('submitting', 'accepted', 'foreign') AND ended = 0 AND NOT ` + j.lapsed()
	case Completed:
		return `state IN ('accepted', 'foreign') AND status = 'COMPLETED'`
	case Failed:
		return `state IN ('accepted', 'foreign') AND status IN ('FAILED', 'ERROR')`
	case OnlyUncertain:
		return `(state IN ('uncertain', 'replaced') OR ` + j.lapsed() + `)`
	}
	return `state NOT IN ('refused', 'replaced', 'alias')`
}

// Page is a part of a list, newest first.
type Page struct {
	Rows   []Row
	Next   string // cursor of the next page; "" after the last one
	Left   int    // videos that the limits leave; -1 when there is no limit
	Notice string // for the user, of a damaged journal that was set aside; "" for none
}

// List returns at most most rows of the owner, newest first, beginning after cursor.
//
// Errors: invalid_argument for a cursor that List did not make;
// journal_unavailable.
func (j *Journal) List(ctx context.Context, filter Filter, most int, cursor string) (page Page, err error) {
	before, err := decodeCursor(cursor)
	if err != nil {
		return Page{}, err
	}
	page = Page{Left: -1}
	err = j.read(ctx, func(ctx context.Context, q querier) (err error) {
		page.Rows, err = j.many(ctx, q, `WHERE gateway = $1 AND owner = $2 AND row < $3 AND `+j.where(filter)+` ORDER BY row DESC LIMIT $4`,
			j.gateway, Owner(ctx), before, most+1)
		if err != nil {
			return err
		}
		page.Left, err = j.checkLimits(ctx, q, Owner(ctx))
		if pixazo.IsCode(err, pixazo.LimitReached) {
			return nil
		}
		return err
	})
	if err != nil {
		return Page{}, err
	}
	page.Notice = notice(j)         // after reading, which may have found the damage
	for i, row := range page.Rows { // an outcome that is not written yet is newer
		if known := j.unwrittenWhere(func(r Row) bool { return row.Nonce != "" && r.Nonce == row.Nonce }); known != nil {
			known.ID = row.ID
			page.Rows[i] = *known
		}
	}
	if len(page.Rows) > most {
		page.Rows = page.Rows[:most]
		page.Next = cursorAfter(page.Rows[most-1])
	}
	return page, nil
}

// cursorAfter returns the cursor of the page that begins after row. Jobs that are
// added meanwhile do not shift the pages.
func cursorAfter(row Row) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "before %d", row.ID))
}

// decodeCursor returns the number of the row after which a page begins.
func decodeCursor(cursor string) (before int64, err error) {
	if cursor == "" {
		return 1<<63 - 1, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		_, err = fmt.Sscanf(string(raw), "before %d", &before)
	}
	if err != nil || cursorAfter(Row{ID: before}) != cursor {
		return 0, &pixazo.Error{Code: pixazo.InvalidArgument, Message: "cursor must be the next_cursor of an earlier list_videos; got " + text.Quote(cursor)}
	}
	return before, nil
}

// Find returns the row of a job, nil when there is none.
func (j *Journal) Find(ctx context.Context, requestID string) (*Row, error) {
	found, err := single(j.readMany(ctx, namedAs, j.gateway, Owner(ctx), requestID))
	if found == nil {
		if row := j.unwrittenWhere(func(r Row) bool { return r.Job.RequestID == requestID && r.Owner == Owner(ctx) }); row != nil {
			return row, nil
		}
	}
	return found, err
}

// JobsByGateway returns the request_ids in requestIDs, grouped by the gateway that has
// the job; those that the journal does not know are under "". Without any it returns in
// the same way those of all jobs of the owner that are pending, or are in one of rows.
// A finished one is pending while its video is being saved, or a try to save it is due.
func (j *Journal) JobsByGateway(ctx context.Context, requestIDs []string, rows ...int64) (jobs map[string][]string, err error) {
	type job struct {
		gateway, id string
		row         int64
		pending     bool
	}
	pending := `(ended = 0 AND submitted_at > 0 OR ` + toSave + ` AND ` + j.saveDue() + `)`
	found, err := readAll(ctx, j, func(scan func(...any) error) (one job, err error) {
		err = scan(&one.gateway, &one.id, &one.row, &one.pending)
		return one, err
	}, `SELECT gateway, request_id, row, `+pending+` FROM jobs WHERE owner = $1 AND request_id IS NOT NULL AND state <> 'alias'
		AND (`+pending+` OR $2 = 1) ORDER BY row`, Owner(ctx), number(len(requestIDs)+len(rows) > 0))
	jobs = map[string][]string{}
	for _, one := range found {
		if slices.Contains(requestIDs, one.id) || len(requestIDs) == 0 && (one.pending || slices.Contains(rows, one.row)) {
			jobs[one.gateway] = append(jobs[one.gateway], one.id)
		}
	}
	for _, id := range requestIDs {
		if !slices.ContainsFunc(found, func(one job) bool { return one.id == id }) {
			jobs[""] = append(jobs[""], id)
		}
	}
	return jobs, err
}

// WithoutID returns the submissions of the owner, to all gateways, whose request_id is not
// known: those that are on their way, and those that are uncertain.
func (j *Journal) WithoutID(ctx context.Context) ([]Row, error) {
	return j.readMany(ctx, `WHERE owner = $1 AND request_id IS NULL AND state IN ('submitting', 'uncertain') ORDER BY row`, Owner(ctx))
}

// Typical returns how long videos usually take: the median of the newest 50 finished
// ones of all owners, 0 when fewer than three are known.
func (j *Journal) Typical(ctx context.Context) (time.Duration, error) {
	const newest, least = 50, 3
	took, err := readAll(ctx, j, func(scan func(...any) error) (ms int64, err error) {
		err = scan(&ms)
		return ms, err
	}, `SELECT completed_at - created_at FROM jobs
		WHERE gateway = $1 AND status = 'COMPLETED' AND created_at > 0 AND completed_at > created_at ORDER BY completed_at DESC LIMIT $2`, j.gateway, newest)
	if err != nil || len(took) < least {
		return 0, err
	}
	slices.Sort(took)
	return time.Duration(took[len(took)/2]) * time.Millisecond, nil
}
