// This file keeps the limits on how many videos are submitted.

package journal

import (
	"context"
	"fmt"
	"time"

	"pixazo-mcp/pixazo"
)

// Limits are the most videos that may be submitted; 0 means any number. Submissions
// count that were accepted, may have been, or are under way.
type Limits struct {
	PerHour int // of all owners
	PerDay  int // of all owners
	PerUser int // an hour, of one owner
}

// checkLimits returns how many videos the limits leave now, -1 when there is
// no limit. When none is left, its error limit_reached says when the next is possible.
func (j *Journal) checkLimits(ctx context.Context, q querier, owner string) (left int, err error) {
	left = -1
	var refusal *pixazo.Error
	now := j.now()
	for _, l := range []struct {
		most  int
		span  time.Duration
		of    string
		words string
	}{
		{j.limits.PerHour, time.Hour, "", "%d videos an hour is reached (--max-videos-per-hour, PIXAZO_MAX_VIDEOS_PER_HOUR)"},
		{j.limits.PerDay, 24 * time.Hour, "", "%d videos a day is reached (--max-videos-per-day, PIXAZO_MAX_VIDEOS_PER_DAY)"},
		{j.limits.PerUser, time.Hour, " AND owner = $4", "%d videos an hour for each user is reached (--max-videos-per-user, PIXAZO_MAX_VIDEOS_PER_USER)"},
	} {
		if l.most <= 0 {
			continue
		}
		args := []any{j.gateway, l.span.Milliseconds(), l.most, owner}
		if l.of == "" {
			args = args[:3]
		}
		// Of the newest submissions that count, no more than the limit: their number, and
		// the age of the oldest. When it is out of the span, the next one is possible.
		var n int
		var oldest int64
		if err := q.QueryRowContext(ctx, `SELECT COUNT(*), COALESCE(`+now+` - MIN(submitted_at), 0) FROM (SELECT submitted_at FROM jobs WHERE gateway = $1 AND submitted_at > `+now+` - $2
			AND state IN ('submitting', 'accepted', 'uncertain', 'replaced', 'alias')`+l.of+` ORDER BY submitted_at DESC LIMIT $3) AS counted`, args...).Scan(&n, &oldest); err != nil {
			return 0, err
		}
		if rest := l.most - n; left < 0 || rest < left {
			left = rest
		}
		if n < l.most {
			continue
		}
		age := time.Duration(max(oldest, 0)) * time.Millisecond
		present := j.Now()
		next := present.Add(l.span - age + time.Second - 1).Truncate(time.Second) // rounded up, since it is shown to the second
		if wait := next.Sub(present); refusal == nil || wait > refusal.RetryAfter {
			refusal = &pixazo.Error{Code: pixazo.LimitReached, RetryAfter: wait, Message: fmt.Sprintf(
				"the limit of "+l.words+"; the next one is possible at %s, in %s", l.most, next.Format(time.RFC3339), wait.Round(time.Second))}
		}
	}
	if refusal != nil {
		return 0, refusal
	}
	return left, nil
}
