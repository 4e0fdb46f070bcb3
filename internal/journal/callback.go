// This file keeps the gateway's callbacks until they are followed up.

package journal

import (
	"context"
	"time"

	"pixazo-mcp/pixazo"
)

const (
	maxCallbacks = 4 // for one submission, each with another request_id

	// A callback that was not followed up is due again after half of the time since it came,
	// within these limits. The shorter one lets a fourth replica follow it up within 6 s when
	// three in turn are killed while they ask the gateway, and is above the second that must
	// be between two requests.
	callbackPause     = 1250 * time.Millisecond
	callbackLongPause = time.Minute
)

// Callback says that the gateway named a job in a callback for a submission. It is
// followed up by asking the gateway for the job.
type Callback struct {
	Nonce     string // of the submission
	RequestID string
	CalledAt  time.Time // when it came last
}

// KeepCallback records that a callback named a job for the submission with nonce. The
// record is synced to the disk. A fifth job of one submission is an error.
func (j *Journal) KeepCallback(ctx context.Context, nonce, requestID string) error {
	now := j.now()
	n, err := j.exec(ctx, outcomes, `INSERT INTO callbacks (gateway, nonce, request_id, called_at, ask_at) SELECT $1, $2, $3, `+now+`, `+now+`
			WHERE (SELECT COUNT(*) FROM callbacks WHERE nonce = $2 AND request_id <> $3) < $4
		ON CONFLICT (nonce, request_id) DO UPDATE SET
			called_at = CASE WHEN callbacks.called_at < excluded.called_at THEN excluded.called_at ELSE callbacks.called_at + 1 END,
			ask_at = CASE WHEN callbacks.ask_at > `+now+` + $5 THEN `+now+` + $5 ELSE callbacks.ask_at END`,
		j.gateway, nonce, requestID, maxCallbacks, callbackPause.Milliseconds())
	if err == nil && n == 0 {
		err = &pixazo.Error{Code: pixazo.JournalUnavailable, Message: "too many jobs were named for one submission"}
	}
	return err
}

// NextCallback returns a callback that is due, nil when there is none. A due callback
// is returned to one process only. Unless that calls EndCallback, it is due again after
// 1.25 s, and then less and less often.
func (j *Journal) NextCallback(ctx context.Context) (*Callback, error) {
	now := j.now()
	read := func(scan func(...any) error) (c Callback, err error) {
		var called int64
		err = scan(&c.Nonce, &c.RequestID, &called)
		c.CalledAt = fromMilli(called)
		return c, err
	}
	// With IN instead of =, PostgreSQL may run the SELECT for each row, and update all.
	return single(changeAll(ctx, j, read, `UPDATE callbacks SET ask_at = `+now+` + CASE WHEN called_at > `+now+` - 2 * $2 THEN $2 WHEN called_at < `+now+` - 2 * $3 THEN $3 ELSE (`+now+` - called_at) / 2 END
		WHERE (nonce, request_id) = (SELECT nonce, request_id FROM callbacks WHERE gateway = $1 AND NOT `+j.leased("ask_at")+`
			ORDER BY ask_at LIMIT 1`+j.skipLocked+`) RETURNING nonce, request_id, called_at`,
		j.gateway, callbackPause.Milliseconds(), callbackLongPause.Milliseconds()))
}

// EndCallback deletes a callback that was followed up. If it came again meanwhile, it
// is due at once instead.
func (j *Journal) EndCallback(ctx context.Context, c Callback) error {
	ended, err := j.updateOne(ctx, `DELETE FROM callbacks WHERE nonce = $1 AND request_id = $2 AND called_at = $3`, c.Nonce, c.RequestID, milli(c.CalledAt))
	if err == nil && !ended {
		_, err = j.updateOne(ctx, `UPDATE callbacks SET ask_at = `+j.now()+` WHERE nonce = $1 AND request_id = $2`, c.Nonce, c.RequestID)
	}
	return err
}
