// This file tests that each video is paid for once, and no answer is wrong about that,
// while processes die, the journal fails and the gateway leaves everybody in doubt.

package jobs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// spender is one process, which is dead when its journal was closed in the middle.
type spender struct {
	*jobs.Tracker
	journal *journal.Journal
	dead    bool
}

// order is one call of Submit, and what the gateway made of it.
type order struct {
	prompt  string
	allowed bool
	by      *spender
	nonce   string

	answered bool
	got      jobs.Submission
	err      error

	sent     int    // its place in the order of requests that reached the gateway; 0 if it did not
	accepted string // the id of its job; "" if it was not accepted
	named    bool   // whether the gateway's answer named that
}

// shop has several processes on one journal, and is their gateway.
type shop struct {
	dir    string
	db     *sql.DB // makes the journal fail
	calls  sync.WaitGroup
	mu     sync.Mutex
	random *rand.Rand
	orders map[*pixazo.Prepared]*order
	all    []*spender
	sent   int
}

func (s *shop) chance(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

func (s *shop) open() *spender {
	j := journal.New(journal.Options{Dir: s.dir, Gateway: "gateway", Busy: 10 * time.Millisecond})
	_ = j.EndLease(context.Background(), "") // opens the file before anybody waits for that
	p := &spender{Tracker: jobs.New(s, j, jobs.Options{}), journal: j}
	s.all = append(s.all, p)
	return p
}

// Submit implements jobs.Gateway. It accepts a request or not, and says so or not.
func (s *shop) Submit(ctx context.Context, p *pixazo.Prepared, o pixazo.SubmitOptions) (pixazo.Job, error) {
	s.mu.Lock()
	s.sent++
	call := s.orders[p]
	call.sent = s.sent
	s.mu.Unlock()
	time.Sleep(time.Duration(s.chance(40)) * time.Second)
	for s.chance(4) == 0 { // too many requests
		time.Sleep(time.Duration(s.chance(20)) * time.Second)
		if err := errors.Join(ctx.Err(), o.Again(ctx)); err != nil {
			return pixazo.Job{}, &pixazo.Error{Code: pixazo.RateLimited}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	says := s.random.IntN(8)
	id := uuidID(time.Now())[:40] + fmt.Sprintf("%015d", s.sent)
	switch says {
	case 0:
		return pixazo.Job{}, &pixazo.Error{Code: pixazo.OutOfCredits}
	case 1:
		return pixazo.Job{}, &pixazo.Error{Code: pixazo.SubmissionUncertain}
	}
	call.accepted, call.named = id, says != 2
	switch says {
	case 2:
		return pixazo.Job{}, &pixazo.Error{Code: pixazo.SubmissionUncertain}
	case 3:
		return pixazo.Job{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, RequestID: id}
	}
	return pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil
}

// Status implements jobs.Gateway.
func (s *shop) Status(_ context.Context, id string, _ pixazo.StatusOptions) (pixazo.Job, error) {
	return processing(id), nil
}

// order has a process submit a request. One call in four is cancelled.
func (s *shop) order(by *spender, text string, allowed bool) {
	p := prompt("%s", text)
	s.mu.Lock()
	call := &order{prompt: text, allowed: allowed, by: by, nonce: fmt.Sprint("nonce ", len(s.orders))}
	s.orders[p] = call
	s.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	if s.chance(4) == 0 {
		time.AfterFunc(time.Duration(s.chance(9000))*time.Millisecond, cancel)
	}
	s.calls.Go(func() {
		defer cancel()
		got, err := by.Submit(ctx, p, jobs.SubmitOptions{AllowDuplicate: allowed, Nonce: call.nonce, Listen: 49 * time.Second})
		s.mu.Lock()
		defer s.mu.Unlock()
		call.got, call.err, call.answered = got, err, !by.dead
	})
}

func TestEachVideoIsPaidForOnceWhateverFails(t *testing.T) {
	t.Parallel()
	faults := []string{"ALTER TABLE jobs RENAME TO hidden"}
	for _, write := range []string{"INSERT", "UPDATE", "UPDATE OF state", "UPDATE OF lease_until"} {
		faults = append(faults, "CREATE TRIGGER full BEFORE "+write+" ON jobs BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &shop{dir: t.TempDir(), random: rand.New(rand.NewPCG(seed, 0)), orders: map[*pixazo.Prepared]*order{}}
				living := []*spender{s.open(), s.open()}
				var err error
				if s.db, err = sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(s.dir, "journal.db"))+"?_pragma=busy_timeout(5000)"); err != nil {
					t.Fatal(err)
				}
				mend := func() {
					_, _ = s.db.Exec("DROP TRIGGER IF EXISTS full")
					_, _ = s.db.Exec("ALTER TABLE hidden RENAME TO jobs")
				}
				for i := range 100 {
					n, text := s.chance(2), fmt.Sprint("tides ", i/10, s.chance(2))
					switch s.chance(8) {
					case 0:
						_, _ = s.db.Exec(faults[s.chance(len(faults))])
					case 1:
						mend()
					case 2: // the process dies, and another one starts
						synctest.Wait()
						living[n].dead = true
						living[n].journal.Close()
						living[n] = s.open()
					case 3:
						s.order(living[1-n], text, false)
						s.order(living[n], text, false)
					default:
						s.order(living[n], text, s.chance(6) == 0)
					}
					time.Sleep(time.Duration(s.chance(15_000)) * time.Millisecond)
				}
				mend()
				s.calls.Wait()
				_ = s.db.Close()
				for _, p := range s.all {
					end(p.Tracker)
				}
				s.check(t)
			})
		})
	}
}

// check compares what callers were told, and what the journal has, with what the
// gateway has accepted.
func (s *shop) check(t *testing.T) {
	j := journal.New(journal.Options{Dir: s.dir, Gateway: "gateway"})
	defer j.Close()
	paid := 0
	for _, o := range s.orders {
		row, err := j.ByNonce(t.Context(), o.nonce)
		wrong := func(what string) { t.Errorf("%s: %+v; the journal has %+v, %v", what, o, row, err) }
		e, _ := errors.AsType[*pixazo.Error](o.err)
		switch {
		case !o.answered:
		case o.err != nil && (e == nil || e.Code.Info().Charged == ""):
			wrong("an error that no submission ends with")
		case o.accepted != "" && (o.got.Duplicate || o.err != nil && e.Code.Info().Charged != "maybe"):
			wrong("said to be not submitted, and paid for")
		case o.err == nil && !o.got.Duplicate && o.got.Row.State != journal.Submitting && o.got.Row.Job.RequestID != o.accepted:
			wrong("answered with another job")
		}
		if o.accepted == "" {
			continue
		}
		paid++
		if row == nil || row.State == journal.Refused || o.named && !o.by.dead && row.Job.RequestID != o.accepted {
			wrong("paid for, and lost")
		}
		for _, other := range s.orders {
			if other.prompt == o.prompt && other.accepted != "" && other.sent < o.sent && !o.allowed {
				wrong("paid for again after " + other.accepted)
			}
		}
	}
	if paid < 3 {
		t.Errorf("only %d videos were made", paid)
	}
}
