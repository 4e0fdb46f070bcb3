// This file implements Watch for PostgreSQL, by LISTEN on a connection of its own.

package journal

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	keepAlive    = 5 * time.Second        // how long a connection is silent before it is tested whether it has died
	firstPause   = 100 * time.Millisecond // before the second try to connect
	longPause    = 5 * time.Second        // the longest pause between two tries
	maxSignal    = 7900                   // bytes; PostgreSQL takes 8,000
	maxPayloads  = 10_000                 // notifications that wait to be handled
	clockDiffers = 30 * time.Second       // between the database's clock and this computer's: more is logged
)

// signal sends text as a notification, whose payload begins with "s".
func (p *postgres) signal(ctx context.Context, text string) error {
	if len(text) > maxSignal {
		return unavailable(fmt.Errorf("a signal has at most %d bytes; this one has %d", maxSignal, len(text)))
	}
	return p.write(ctx, statuses, func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, `SELECT pg_notify(`+pgChannel+`, 's' || $1)`, text)
		return err
	})
}

// watch implements Watch. It connects again when the connection is lost.
func (p *postgres) watch(ctx context.Context, j *Journal, begin time.Time, f func([]Row)) {
	l := listener{j: j, p: p, begin: begin, f: f}
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, longPause) {
		err := l.listen(ctx)
		if l.connected {
			pause, l.connected = firstPause, false
		}
		if ctx.Err() == nil {
			_ = p.explain(ctx, err) // for the log
			Sleep(ctx, pause)
		}
	}
}

// listener holds the state of one Watch.
type listener struct {
	j     *Journal
	p     *postgres
	begin time.Time
	f     func([]Row)

	connected bool
	mark      int64 // all changes made before it were reported, in milliseconds of the database; 0 before the first connection
}

// report passes rows, of which the last one changed last, to the caller of Watch. All
// earlier changes were reported.
func (l *listener) report(rows []Row) {
	if len(rows) > 0 {
		l.mark = max(l.mark, milli(rows[len(rows)-1].ChangedAt))
		l.f(rows)
	}
}

// listen connects, reports the changes since the previous connection was lost, and
// then each new change until this connection is lost.
func (l *listener) listen(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.p.config.Copy())
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	now, ahead, err := l.subscribe(ctx, conn)
	if err != nil {
		return err
	}
	l.connected = true
	if ahead.Abs() > clockDiffers {
		l.p.log.Warn("the database's clock and this computer's differ, so a submission whose answer is lost may stay uncertain: correct them", "ahead", ahead.Round(time.Second))
	}
	l.j.WriteOutcomes()
	since := l.mark - watchSlack.Milliseconds()
	if l.mark == 0 {
		since = now - time.Since(l.begin).Milliseconds()
	}
	if err := l.j.changed(ctx, since, l.report); err != nil {
		return err
	}
	l.mark = max(l.mark, now)
	l.j.receive("")
	payloads, ended := make(chan string, maxPayloads), make(chan error, 1)
	go func() {
		ended <- l.receive(ctx, conn, payloads)
		close(payloads)
	}()
	for payload := range payloads {
		if err := l.handle(ctx, payload, payloads); err != nil {
			cancel()
			for range payloads { // until receive has returned
			}
			return err
		}
	}
	return <-ended
}

// subscribe issues LISTEN, and returns what readClock does.
func (l *listener) subscribe(ctx context.Context, conn *pgx.Conn) (now int64, ahead time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.p.busy)
	defer cancel()
	var channel string
	if err := conn.QueryRow(ctx, `SELECT `+pgChannel).Scan(&channel); err != nil {
		return 0, 0, err
	}
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{channel}.Sanitize()); err != nil {
		return 0, 0, err
	}
	return l.readClock(ctx, conn)
}

// readClock returns the database's time, in milliseconds, and how far its clock is ahead of
// this computer's, which Journal.Now goes by from then on.
func (l *listener) readClock(ctx context.Context, conn *pgx.Conn) (now int64, ahead time.Duration, err error) {
	asked := time.Now()
	if err := conn.QueryRow(ctx, `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint`).Scan(&now); err != nil {
		return 0, 0, err
	}
	return now, l.j.measure(asked, fromMilli(now)), nil
}

// receive puts the payload of each notification into payloads, until the connection is
// lost. When none came for keepAlive it reads the clock, which may have been set, and sees
// whether the connection is alive.
func (l *listener) receive(ctx context.Context, conn *pgx.Conn, payloads chan<- string) error {
	for {
		limited, cancel := context.WithTimeout(ctx, keepAlive)
		n, err := conn.WaitForNotification(limited)
		silent := err != nil && limited.Err() != nil && ctx.Err() == nil
		cancel()
		if silent {
			limited, cancel := context.WithTimeout(ctx, conn.Config().ConnectTimeout)
			_, _, err = l.readClock(limited, conn)
			cancel()
		}
		switch {
		case err != nil:
			return err
		case silent:
			continue
		}
		select {
		case payloads <- n.Payload:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// handle handles a payload and those queued behind it, which are signals and numbers of
// rows that changed. It reads these rows together and reports them.
func (l *listener) handle(ctx context.Context, payload string, more <-chan string) error {
	var numbers []int64
	for {
		var number int64
		if signal, ok := strings.CutPrefix(payload, "s"); ok {
			l.j.receive(signal)
		} else if _, err := fmt.Sscan(payload, &number); err == nil { // else it was not sent by this program
			numbers = append(numbers, number)
		}
		if len(numbers) >= 500 || len(more) == 0 {
			break
		}
		payload = <-more
	}
	if len(numbers) == 0 {
		return nil
	}
	// The || keeps PostgreSQL from reading all rows of the gateway by an index while
	// it has no statistics.
	rows, err := l.j.readMany(ctx, `WHERE row = ANY($1) AND gateway || '' = $2 ORDER BY changed_at`, numbers, l.j.gateway)
	if len(more) > 0 { // a row of this batch may have changed since, later than those that still wait
		l.f(rows)
	} else {
		l.report(rows)
	}
	return err
}
