// This file keeps the limits on how many videos are submitted.

package journal

import (
	"context"
	"fmt"
	"time"

	"pixazo-mcp/pixazo"
)

// Limits are how many videos may be submitted; 0 means any number. Counted is
// what was, or may have been, accepted.
type Limits struct {
	PerHour int // of all owners together
	PerDay  int // of all owners together
	PerUser int // of one owner, in an hour
}

// limit is one of Limits.
type limit struct {
	most     int
	span     time.Duration
	perOwner bool
	words    string
}

func (l Limits) all() []limit {
	return []limit{
		{l.PerHour, time.Hour, false, "%d videos an hour is reached (--max-videos-per-hour, PIXAZO_MAX_VIDEOS_PER_HOUR)"},
		{l.PerDay, 24 * time.Hour, false, "%d videos a day is reached (--max-videos-per-day, PIXAZO_MAX_VIDEOS_PER_DAY)"},
		{l.PerUser, time.Hour, true, "%d videos an hour for each user is reached (--max-videos-per-user, PIXAZO_MAX_VIDEOS_PER_USER)"},
	}
}

// checkLimits returns how many videos the limits leave at now, -1 when there is
// no limit. When none is left the error says until when.
func (j *Journal) checkLimits(ctx context.Context, q querier, owner string, now time.Time) (left int, err error) {
	left = -1
	var refusal *pixazo.Error
	for _, l := range j.limits.all() {
		if l.most <= 0 {
			continue
		}
		n, oldest, err := j.count(ctx, q, l, owner, now)
		if err != nil {
			return 0, err
		}
		if rest := l.most - n; left < 0 || rest < left {
			left = rest
		}
		if n < l.most {
			continue
		}
		next := oldest.Add(l.span).Add(time.Second - 1).Truncate(time.Second) // shown to the second, and true then
		if wait := next.Sub(now); refusal == nil || wait > refusal.RetryAfter {
			refusal = &pixazo.Error{Code: pixazo.LimitReached, RetryAfter: wait, Message: fmt.Sprintf(
				"the limit of "+l.words+"; the next one is possible at %s, in %s", l.most, next.Format(time.RFC3339), wait.Round(time.Second))}
		}
	}
	if refusal != nil {
		return 0, refusal
	}
	return left, nil
}

// count returns how many submissions of the span before now count, at most the
// limit, and when the oldest of them was made.
func (j *Journal) count(ctx context.Context, q querier, l limit, owner string, now time.Time) (n int, oldest time.Time, err error) {
	where, args := "", []any{j.gateway, milli(now.Add(-l.span)), l.most}
	if l.perOwner {
		where, args = "AND owner = $4", append(args, owner)
	}
	rows, err := q.QueryContext(ctx, `SELECT submitted_at FROM jobs WHERE gateway = $1 AND submitted_at > $2 `+where+`
		AND state IN ('submitting', 'accepted', 'uncertain', 'replaced', 'alias') ORDER BY submitted_at DESC LIMIT $3`, args...)
	if err != nil {
		return 0, time.Time{}, err
	}
	defer rows.Close()
	var at int64
	for ; rows.Next(); n++ {
		if err := rows.Scan(&at); err != nil {
			return 0, time.Time{}, err
		}
	}
	return n, fromMilli(min(at, milli(now))), rows.Err()
}
