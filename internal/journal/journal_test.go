// These tests hold the rules on money in the journal itself: what stands in the
// way of a submission, what an outcome becomes, and when a row is uncertain. A
// second Journal over the same directory stands for another process.

package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/pixazo"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

func open(t testing.TB, dir string, limits ...Limits) *Journal {
	t.Helper()
	o := at(dir)
	if len(limits) > 0 {
		o.Limits = limits[0]
	}
	j := New(o)
	t.Cleanup(j.Close)
	return j
}

// at returns the options of a journal at a place of pgtest.
func at(place string) Options {
	o := Options{Dir: place, Gateway: "https://gateway.example"}
	if strings.HasPrefix(place, "postgres:") {
		o.Dir, o.Database, o.FakeTime = "", place, time.Now().Year() == 2000 // as in a bubble of synctest
	}
	return o
}

var nonces atomic.Int64

func submission(prompt string) Intent {
	return Intent{Row: Row{Prompt: prompt, Fingerprint: "print of " + prompt, Exact: "exact " + prompt, Nonce: fmt.Sprint("nonce-", nonces.Add(1))}}
}

func allowed(s Intent) Intent { s.AllowDuplicate = true; return s }

// intend fails the test unless s may be sent.
func intend(t testing.TB, j *Journal, s Intent) Intent {
	t.Helper()
	in, other, err := j.Intend(t.Context(), s)
	if err != nil || other != nil {
		t.Fatalf("Intend of %q = %+v, %v; want that it may be sent", s.Prompt, other, err)
	}
	return in
}

// twice is an engine that makes each write again, as the embedded one does when the files
// were deleted during the first, and their -wal was rescued.
type twice struct{ engine }

func (e twice) write(ctx context.Context, p purpose, f func(context.Context, *sql.DB) error) error {
	if err := e.engine.write(ctx, p, f); err != nil {
		return err
	}
	return e.engine.write(ctx, p, f)
}

// An intent that is written twice must not take its own first row for a duplicate: the
// request would be called uncertain, though nothing was sent.
func TestAnIntentIsNotInItsOwnWay(t *testing.T) {
	t.Parallel()
	j := open(t, t.TempDir(), Limits{PerHour: 2})
	j.engine = twice{j.engine}
	for i, s := range []Intent{submission("tides"), allowed(submission("tides"))} {
		intend(t, j, s)
		if page, err := j.List(t.Context(), All, 10, ""); err != nil || page.Left != 1-i {
			t.Errorf("%d videos are left, %v", page.Left, err)
		}
	}
	if _, other, err := j.Intend(t.Context(), submission("tides")); other == nil || err != nil {
		t.Errorf("another one found %v in its way, error %v", other, err)
	}
	if rows := list(t, j, All); len(rows) != 2 {
		t.Errorf("%d rows", len(rows))
	}
}

func conclude(t testing.TB, j *Journal, in Intent, job pixazo.Job, failure error) Row {
	t.Helper()
	row, err := j.Conclude(in, job, failure)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func accept(t testing.TB, j *Journal, s Intent, id string) Row {
	t.Helper()
	return conclude(t, j, intend(t, j, s), pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil)
}

func list(t testing.TB, j *Journal, filter Filter) []Row {
	t.Helper()
	page, err := j.List(t.Context(), filter, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	return page.Rows
}

func find(t testing.TB, j *Journal, id string) *Row {
	t.Helper()
	row, err := j.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

var uncertain = &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "the connection broke"}

func TestWhatStandsInTheWayOfASubmission(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		for _, tt := range []struct {
			name   string
			before func(t *testing.T, j *Journal)
			after  time.Duration
			want   State // "" when it may be sent
		}{
			{"nothing", func(*testing.T, *Journal) {}, 0, ""},
			{"another request", func(t *testing.T, j *Journal) { accept(t, j, submission("other"), "id-1") }, 0, ""},
			{"in flight", func(t *testing.T, j *Journal) { intend(t, j, submission("tides")) }, 0, Submitting},
			{"in flight until its lease ends", func(t *testing.T, j *Journal) { intend(t, j, submission("tides")) }, 31 * time.Second, Uncertain},
			{"accepted", func(t *testing.T, j *Journal) { accept(t, j, submission("tides"), "id-1") }, 9 * time.Minute, Accepted},
			{"unfinished for an hour", func(t *testing.T, j *Journal) { accept(t, j, submission("tides"), "id-1") }, time.Hour, Accepted},
			{"unfinished for three hours", func(t *testing.T, j *Journal) { accept(t, j, submission("tides"), "id-1") }, 3 * time.Hour, ""},
			{"finished 11 minutes after", func(t *testing.T, j *Journal) {
				accept(t, j, submission("tides"), "id-1")
				observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed})
			}, 11 * time.Minute, ""},
			{"finished within 10 minutes", func(t *testing.T, j *Journal) {
				accept(t, j, submission("tides"), "id-1")
				observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed})
			}, 9 * time.Minute, Accepted},
			{"accepted, 9 minutes after the gateway's time; the clock was 5 hours behind", func(t *testing.T, j *Journal) {
				accept(t, j, submission("tides"), idAt(time.Now().Add(5*time.Hour), 1))
			}, 5*time.Hour + 9*time.Minute, Accepted},
			{"unfinished for 119 minutes of the gateway's", func(t *testing.T, j *Journal) {
				accept(t, j, submission("tides"), idAt(time.Now().Add(5*time.Hour), 1))
			}, 5*time.Hour + 119*time.Minute, Accepted},
			{"unfinished for longer by both clocks", func(t *testing.T, j *Journal) {
				accept(t, j, submission("tides"), idAt(time.Now().Add(5*time.Hour), 1))
			}, 5*time.Hour + 121*time.Minute, ""},
			{"finished 11 minutes after by both clocks", func(t *testing.T, j *Journal) {
				row := accept(t, j, submission("tides"), idAt(time.Now().Add(5*time.Hour), 1))
				observe(t, j, pixazo.Job{RequestID: row.Job.RequestID, Status: pixazo.Completed})
			}, 5*time.Hour + 11*time.Minute, ""},
			{"an id from the future", func(t *testing.T, j *Journal) {
				accept(t, j, submission("tides"), idAt(time.Now().Add(9*time.Hour), 1))
			}, 5 * time.Hour, ""},
			{"failed", func(t *testing.T, j *Journal) {
				accept(t, j, submission("tides"), "id-1")
				observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Failed})
			}, 0, ""},
			{"refused", func(t *testing.T, j *Journal) {
				conclude(t, j, intend(t, j, submission("tides")), pixazo.Job{}, &pixazo.Error{Code: pixazo.OutOfCredits})
			}, 0, ""},
			{"uncertain, a week ago", func(t *testing.T, j *Journal) {
				conclude(t, j, intend(t, j, submission("tides")), pixazo.Job{}, uncertain)
			}, 7 * 24 * time.Hour, Uncertain},
			{"an unknown error is uncertain", func(t *testing.T, j *Journal) {
				conclude(t, j, intend(t, j, submission("tides")), pixazo.Job{}, errors.New("?"))
			}, 0, Uncertain},
			{"uncertain until a later one was accepted", func(t *testing.T, j *Journal) {
				conclude(t, j, intend(t, j, submission("tides")), pixazo.Job{}, uncertain)
				accept(t, j, allowed(submission("tides")), "id-1")
				observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed})
			}, time.Hour, ""},
			{"uncertain although a later one was refused", func(t *testing.T, j *Journal) {
				conclude(t, j, intend(t, j, submission("tides")), pixazo.Job{}, uncertain)
				conclude(t, j, intend(t, j, allowed(submission("tides"))), pixazo.Job{}, &pixazo.Error{Code: pixazo.OutOfCredits})
			}, 0, Uncertain},
			{"finished, before one that got the id of a failed job", func(t *testing.T, j *Journal) {
				accept(t, j, submission("other"), "id-1")
				observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Failed})
				accept(t, j, submission("tides"), "id-2")
				observe(t, j, pixazo.Job{RequestID: "id-2", Status: pixazo.Completed})
				accept(t, j, allowed(submission("tides")), "id-1")
			}, 5 * time.Minute, Accepted},
			{"only one that got the id of a failed job", func(t *testing.T, j *Journal) {
				accept(t, j, submission("other"), "id-1")
				observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Failed})
				accept(t, j, submission("tides"), "id-1")
			}, 0, ""},
			{"another person's", func(t *testing.T, j *Journal) {
				_, _, err := j.Intend(WithOwner(t.Context(), "somebody"), submission("tides"))
				if err != nil {
					t.Fatal(err)
				}
			}, 0, ""},
		} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					dir := place(t)
					first, second := open(t, dir), open(t, dir)
					tt.before(t, first)
					time.Sleep(tt.after)
					_, other, err := second.Intend(t.Context(), submission("tides"))
					if err != nil {
						t.Fatal(err)
					}
					if got := stateOf(other); got != tt.want {
						t.Errorf("in the way: %q, want %q", got, tt.want)
					}
					first.Close()
					second.Close()
				})
			})
		}
	})
}

func stateOf(r *Row) State {
	if r == nil {
		return ""
	}
	return r.State
}

func observe(t testing.TB, j *Journal, job pixazo.Job) Observation {
	t.Helper()
	seen, err := j.Observe(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

func TestALeaseThatEndedIsNotProlonged(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			dir := place(t)
			first, second := open(t, dir), open(t, dir)
			in := intend(t, first, submission("tides"))
			for range 10 {
				time.Sleep(10 * time.Second)
				if err := first.Renew(t.Context(), in); err != nil {
					t.Fatal(err)
				}
			}
			if rows := list(t, second, Pending); len(rows) != 1 {
				t.Errorf("%d rows under way, want 1", len(rows))
			}
			time.Sleep(2 * time.Minute) // the process was suspended
			if rows := list(t, second, OnlyUncertain); len(rows) != 1 {
				t.Errorf("%d uncertain rows, want 1", len(rows))
			}
			if err := first.Renew(t.Context(), in); err == nil {
				t.Error("an intent that others take for uncertain still stands: its request would be sent a second time")
			}
			// What came of it after all is written.
			if row := conclude(t, first, in, pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil); row.State != Accepted {
				t.Errorf("concluded as %q", row.State)
			}
			if rows := list(t, second, All); len(rows) != 1 || rows[0].Job.RequestID != "id-1" {
				t.Errorf("listed %+v, want the one job", rows)
			}
			first.Close()
			second.Close()
		})
	})
}

func TestALeaseFarAheadHasEnded(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		in := intend(t, j, submission("tides"))
		if err := j.write(t.Context(), outcomes, func(_ context.Context, db *sql.DB) error {
			_, err := db.Exec(`UPDATE jobs SET lease_until = $1`, milli(time.Now().Add(time.Hour)))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if rows := list(t, j, OnlyUncertain); len(rows) != 1 {
			t.Errorf("%d uncertain rows, want 1", len(rows))
		}
		if err := j.Renew(t.Context(), in); err == nil {
			t.Error("it still stands")
		}
	})
}

func TestOneRequestIDForTwoSubmissions(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		dir := place(t)
		j := open(t, dir)
		first := accept(t, j, submission("tides"), "id-1")
		second := accept(t, j, allowed(submission("tides")), "id-1")
		if second.Job.RequestID != "id-1" || second.ID != first.ID {
			t.Errorf("the second is told as %+v, want the first's row", second)
		}
		if rows := list(t, j, All); len(rows) != 1 {
			t.Errorf("%d rows listed, want 1: %+v", len(rows), rows)
		}
		_, other, err := open(t, dir).Intend(t.Context(), submission("tides"))
		if err != nil || other == nil || other.Job.RequestID != "id-1" || other.State != Accepted {
			t.Errorf("a third is told %+v, %v; want the job", other, err)
		}
		if err := uncertainConclude(j, "other", "id-1"); err != nil {
			t.Error(err)
		}
		for _, r := range list(t, j, OnlyUncertain) {
			if r.Job.RequestID != "" {
				t.Errorf("an uncertain row has the id of another job: %+v", r)
			}
		}
	})
}

// An outcome whose commit was not answered is written once more.
func TestAnOutcomeIsWrittenTwice(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		accept(t, j, submission("tides"), "id-1")
		for _, id := range []string{"id-1", "id-2"} { // an earlier row's, and its own
			in := intend(t, j, allowed(submission(id)))
			for range 2 {
				if row := conclude(t, j, in, pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil); row.Job.RequestID != id || row.State != Accepted {
					t.Errorf("%s: %+v", id, row)
				}
			}
		}
	})
}

func uncertainConclude(j *Journal, prompt, id string) error {
	in, _, err := j.Intend(context.Background(), submission(prompt))
	if err != nil {
		return err
	}
	_, err = j.Conclude(in, pixazo.Job{}, &pixazo.Error{Code: pixazo.SubmissionUncertain, RequestID: id})
	return err
}

// idAt is a request_id of this model that was made at a time.
func idAt(at time.Time, n int) string {
	ms := at.UnixMilli()
	return fmt.Sprintf("%s%08x-%04x-7000-8000-%012x", pixazo.IDPrefix, ms>>16, ms&0xffff, n)
}

func TestAnUncertainSubmissionIsSettledByAnIDThatFits(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		for _, tt := range []struct {
			name    string
			lost    int           // uncertain submissions
			sending int           // submissions under way
			after   time.Duration // when the job was made, from the submission on
			id      func(time.Time) string
			fits    int
		}{
			{"made while it was sent", 1, 0, 5 * time.Second, nil, 1},
			{"a gateway's clock that is behind", 1, 0, -50 * time.Second, nil, 1},
			{"made long before", 1, 0, -2 * time.Minute, nil, 0},
			{"made after its lease", 1, 0, time.Minute, nil, 0},
			{"two fit", 2, 0, 5 * time.Second, nil, 2},
			{"one that is under way fits as well", 1, 1, 5 * time.Second, nil, 2},
			{"only one that is under way fits", 0, 1, 5 * time.Second, nil, 0},
			{"another model's", 1, 0, 5 * time.Second, func(at time.Time) string { return "kling_" + idAt(at, 1)[len(pixazo.IDPrefix):] }, 0},
			{"no time inside", 1, 0, 5 * time.Second, func(time.Time) string { return pixazo.IDPrefix + "1" }, 0},
		} {
			t.Run(tt.name, func(t *testing.T) {
				j := open(t, place(t))
				for i := range tt.lost {
					conclude(t, j, intend(t, j, submission(fmt.Sprint("tides ", i))), pixazo.Job{}, uncertain)
				}
				for i := range tt.sending {
					intend(t, j, submission(fmt.Sprint("stars ", i)))
				}
				at := time.Now().Add(tt.after)
				id := idAt(at, 1)
				if tt.id != nil {
					id = tt.id(at)
				}
				seen := observe(t, j, pixazo.Job{RequestID: id, Status: pixazo.Processing})
				if seen.Fits != tt.fits || seen.Row.Job.RequestID != id || !seen.Changed {
					t.Errorf("fits %d, %+v; want %d", seen.Fits, seen, tt.fits)
				}
				if again := observe(t, j, pixazo.Job{RequestID: id, Status: pixazo.Processing}); again.Fits != tt.fits && tt.fits != 1 {
					t.Errorf("asked for again: fits %d, %+v; want %d", again.Fits, again, tt.fits)
				}
				left := tt.lost
				if tt.fits == 1 {
					left = 0
					if seen.Row.Prompt != "tides 0" || seen.Row.State != Accepted {
						t.Errorf("settled as %+v", seen.Row)
					}
				}
				if rows := list(t, j, OnlyUncertain); len(rows) != left {
					t.Errorf("%d uncertain, want %d", len(rows), left)
				}
			})
		}
	})
}

// A callback names the submission, so that others that the id would fit do not
// matter, nor whether the answer is lost or still to come.
func TestACallbackSettlesItsOwnSubmission(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			j := open(t, place(t))
			defer j.Close()
			settle := func(in Intent, id string, status pixazo.Status) Observation {
				t.Helper()
				seen, err := j.Settle(t.Context(), in.Nonce, pixazo.Job{RequestID: id, Status: status})
				if err != nil {
					t.Fatal(err)
				}
				return seen
			}
			lost := &pixazo.Error{Code: pixazo.SubmissionUncertain, Message: "lost"}
			in, other, sending := intend(t, j, submission("tides")), intend(t, j, submission("dunes")), intend(t, j, submission("caves"))
			conclude(t, j, in, pixazo.Job{}, lost)
			conclude(t, j, other, pixazo.Job{}, lost)
			taken := accept(t, j, submission("reefs"), idAt(time.Now(), 9)).Job.RequestID
			for _, id := range []string{"made-up", taken, idAt(time.Now().Add(-2*time.Minute), 1), idAt(time.Now().Add(time.Minute), 1),
				strings.TrimPrefix(idAt(time.Now(), 1), pixazo.IDPrefix)} {
				if seen := settle(in, id, pixazo.Completed); seen.Row.State != Uncertain || seen.Row.Job.RequestID != "" {
					t.Errorf("%s settles %+v", id, seen.Row)
				}
			}
			if seen := settle(Intent{Row: Row{Nonce: "unknown"}}, idAt(time.Now(), 1), pixazo.Completed); seen.Row.ID != 0 {
				t.Errorf("an unknown submission: %+v", seen)
			}
			id := idAt(time.Now(), 1)
			if seen := settle(in, id, pixazo.Completed); seen.Row.State != Accepted || seen.Row.Job.Status != pixazo.Completed || !seen.Changed || seen.Row.Failure != nil {
				t.Errorf("settled: %+v", seen)
			}
			if seen := settle(in, id, pixazo.Processing); seen.Row.Job.Status != pixazo.Completed || seen.Changed {
				t.Errorf("it goes back: %+v", seen)
			}
			if seen := settle(in, idAt(time.Now(), 2), pixazo.Failed); seen.Row.Job.RequestID != id || seen.Row.Job.Status != pixazo.Completed {
				t.Errorf("another id changes it: %+v", seen)
			}

			// The answer to a submission that was settled meanwhile takes nothing away.
			for n, answer := range []struct {
				job pixazo.Job
				err error
			}{
				{pixazo.Job{RequestID: idAt(time.Now(), 10), Status: pixazo.Queued, PollingURL: "https://gateway.example/poll"}, nil},
				{pixazo.Job{}, lost},
				{pixazo.Job{}, &pixazo.Error{Code: pixazo.Cancelled, Message: "not sent again"}},
			} {
				id := idAt(time.Now(), 10+n)
				if n > 0 {
					sending = intend(t, j, submission(id))
				}
				settle(sending, id, pixazo.Completed)
				row, err := j.Conclude(sending, answer.job, answer.err)
				if err != nil || row.State != Accepted || row.Job.RequestID != id || row.Job.Status != pixazo.Completed || row.Failure != nil || row.Job.PollingURL != answer.job.PollingURL {
					t.Errorf("answered with %+v: %+v, %v", answer, row, err)
				}
			}
		})
	})
}

func TestAReplacedRowLeavesTheList(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		conclude(t, j, intend(t, j, submission("tides")), pixazo.Job{}, uncertain)
		accept(t, j, allowed(submission("tides")), "id-1")
		if rows := list(t, j, All); len(rows) != 1 || rows[0].Job.RequestID != "id-1" {
			t.Errorf("listed %+v, want the job alone", rows)
		}
		if rows := list(t, j, OnlyUncertain); len(rows) != 1 || rows[0].State != Replaced {
			t.Errorf("uncertain: %+v, want the row that was replaced", rows)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			j := open(t, place(t), Limits{PerHour: 2, PerDay: 3})
			defer j.Close()
			in := intend(t, j, submission("1"))
			if page, err := j.List(t.Context(), All, 10, ""); err != nil || page.Left != 1 {
				t.Errorf("%d left, %v; want 1", page.Left, err)
			}
			conclude(t, j, in, pixazo.Job{}, uncertain) // counts: it may have been paid for
			conclude(t, j, intend(t, j, submission("refused")), pixazo.Job{}, &pixazo.Error{Code: pixazo.OutOfCredits})
			accept(t, j, submission("2"), "id-2")
			_, _, err := j.Intend(t.Context(), submission("3"))
			if !pixazo.IsCode(err, pixazo.LimitReached) || !strings.Contains(err.Error(), "--max-videos-per-hour") {
				t.Errorf("got %v, want the hour's limit", err)
			}
			if page, err := j.List(t.Context(), All, 10, ""); err != nil || page.Left != 0 {
				t.Errorf("%d left, %v; want 0", page.Left, err)
			}
			time.Sleep(pixazo.RetryAfter(err))
			accept(t, j, submission("3"), "id-3")
			_, _, err = j.Intend(t.Context(), submission("4"))
			if !pixazo.IsCode(err, pixazo.LimitReached) || !strings.Contains(err.Error(), "--max-videos-per-day") {
				t.Errorf("got %v, want the day's limit", err)
			}
			if after := pixazo.RetryAfter(err); after < 22*time.Hour || after > 24*time.Hour {
				t.Errorf("possible in %s, want what is left of the day", after)
			}
		})
	})
}

func TestRowsFromTheFutureCountAsNow(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			j := open(t, place(t), Limits{PerHour: 1})
			defer j.Close()
			accept(t, j, submission("tides"), "id-1")
			observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed})
			toFuture := func() {
				if err := j.write(t.Context(), outcomes, func(_ context.Context, db *sql.DB) error {
					_, err := db.Exec(`UPDATE jobs SET submitted_at = $1`, milli(time.Now().AddDate(1, 0, 0)))
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
			toFuture()
			_, _, err := j.Intend(t.Context(), submission("other"))
			if after := pixazo.RetryAfter(err); !pixazo.IsCode(err, pixazo.LimitReached) || after > time.Hour+time.Second {
				t.Errorf("got %v, want the limit for an hour", err)
			}
			time.Sleep(time.Hour + time.Second)
			accept(t, j, submission("other"), "id-2")
			toFuture()
			if _, other, err := j.Intend(t.Context(), submission("tides")); err != nil || other == nil {
				t.Errorf("the same request: %+v, %v; want that it stands in the way", other, err)
			}
			time.Sleep(time.Hour + time.Second)
			intend(t, j, submission("tides"))
		})
	})
}

func TestOneClaimAtATime(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		synctest.Test(t, func(t *testing.T) {
			dir := place(t)
			first, second := open(t, dir), open(t, dir)
			accept(t, first, submission("tides"), "id-1")
			claim := func(j *Journal, interval time.Duration, want bool) {
				t.Helper()
				if got, err := j.Claim(t.Context(), "id-1", interval); err != nil || got != want {
					t.Fatalf("claim: %t, %v; want %t", got, err, want)
				}
			}
			claim(first, time.Minute, true)
			claim(second, time.Second, false) // under way
			observe(t, first, pixazo.Job{RequestID: "id-1", Status: pixazo.Processing})
			claim(second, time.Second, false) // too early
			time.Sleep(time.Second)
			claim(first, time.Minute, false)
			claim(second, time.Second, true) // the more impatient one
			time.Sleep(29 * time.Second)
			claim(first, time.Second, false)
			time.Sleep(2 * time.Second) // the claimer was killed
			claim(first, time.Second, true)
			if err := first.Release(t.Context(), "id-1"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			claim(second, time.Second, true)
			if got, err := second.Claim(t.Context(), "unknown", time.Hour); !got || err != nil {
				t.Errorf("a job that nobody knows: %t, %v", got, err)
			}
		})
	})
}

func TestObserveTakesNoLateAnswer(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		accept(t, j, submission("tides"), "id-1")
		done := pixazo.Job{RequestID: "id-1", Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: []string{"https://v.example/1.mp4"}, MediaType: "video/mp4"}}
		if seen := observe(t, j, done); !seen.Changed {
			t.Errorf("%+v, want a change", seen)
		}
		seen := observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Processing})
		if seen.Changed || seen.Row.Job.Status != pixazo.Completed {
			t.Errorf("a late answer made it %+v", seen.Row.Job)
		}
		row := find(t, j, "id-1")
		if row.Job.Status != pixazo.Completed || len(row.Job.VideoURLs) != 1 || row.Job.MediaType != "video/mp4" || row.LastCheckedAt.IsZero() {
			t.Errorf("found %+v", row)
		}
		if seen := observe(t, j, pixazo.Job{RequestID: "elsewhere", Status: pixazo.Queued}); !seen.Changed || seen.Row.State != Foreign {
			t.Errorf("a job made elsewhere: %+v", seen)
		}
	})
}

// A video that was there is not lost because the gateway no longer knows it: it may be
// saved, and is paid for.
func TestObserveKeepsAVideo(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		accept(t, j, submission("tides"), "id-1")
		job := func(status pixazo.Status, urls ...string) pixazo.Job {
			return pixazo.Job{RequestID: "id-1", Status: status, Media: pixazo.Media{VideoURLs: urls}}
		}
		for _, tt := range []struct {
			says pixazo.Job
			want string
		}{
			{job(pixazo.Completed), "COMPLETED []"},
			{job(pixazo.Failed), "FAILED []"},
			{job(pixazo.Completed, "https://v.example/1.mp4"), "COMPLETED [https://v.example/1.mp4]"},
			{job(pixazo.Errored), "COMPLETED [https://v.example/1.mp4]"},
			{job(pixazo.Completed), "COMPLETED [https://v.example/1.mp4]"},
			{job(pixazo.Queued), "COMPLETED [https://v.example/1.mp4]"},
			{job(pixazo.Completed, "https://v.example/2.mp4"), "COMPLETED [https://v.example/2.mp4]"},
		} {
			row := observe(t, j, tt.says).Row
			if got := fmt.Sprint(row.Job.Status, " ", row.Job.VideoURLs); got != tt.want {
				t.Errorf("%s %v: %s, want %s", tt.says.Status, tt.says.VideoURLs, got, tt.want)
			}
		}
	})
}

func TestAnOutcomeSeenBeforeItWasWritten(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		in := intend(t, j, submission("tides"))
		// Another process asked for the job before its submission was answered.
		observe(t, j, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: []string{"https://v.example/1.mp4"}}})
		row := conclude(t, j, in, pixazo.Job{RequestID: "id-1", Status: pixazo.Queued, PollingURL: "https://gateway.example/1"}, nil)
		if row.Job.Status != pixazo.Completed || row.Prompt != "tides" || row.Job.PollingURL == "" {
			t.Errorf("%+v, want what was seen last", row)
		}
		if rows := list(t, j, All); len(rows) != 1 {
			t.Errorf("%d rows, want 1", len(rows))
		}
	})
}

func TestAnOutcomeThatCannotBeWrittenIsKnown(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := at(dir)
	o.Busy = 100 * time.Millisecond
	j := New(o)
	t.Cleanup(j.Close)
	s := submission("tides")
	in := intend(t, j, s)
	other := open(t, dir)
	hold := make(chan struct{})
	held := make(chan struct{})
	go func() { // the disk is full, or another process holds the database
		_ = other.write(t.Context(), intents, func(_ context.Context, db *sql.DB) error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			close(held)
			<-hold
			return tx.Rollback()
		})
	}()
	<-held
	if _, err := j.Conclude(in, pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil); err == nil {
		t.Fatal("it was written")
	}
	_, row, err := j.Intend(t.Context(), submission("tides"))
	if err != nil || row == nil || row.Job.RequestID != "id-1" || row.State != Accepted {
		t.Errorf("the same request: %+v, %v; want the job", row, err)
	}
	if row, err := j.ByNonce(t.Context(), s.Nonce); err != nil || row.Job.RequestID != "id-1" {
		t.Errorf("read %+v, %v", row, err)
	}
	if row := find(t, j, "id-1"); row == nil {
		t.Error("it is not found")
	}
	if rows := list(t, j, All); len(rows) != 1 || rows[0].Job.RequestID != "id-1" {
		t.Errorf("listed %+v, while another process writes; want the job", rows)
	}
	close(hold)
	j.Close()
	if row := find(t, open(t, dir), "id-1"); row == nil || row.State != Accepted {
		t.Errorf("another process finds %+v", row)
	}
}

func TestOutcomesAreWrittenAfterAll(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		var sent []Intent
		for n := range 4 {
			sent = append(sent, intend(t, j, submission(fmt.Sprint(n))))
		}
		for n, in := range sent { // as when the database was away
			j.keep(j.withOutcome(in, pixazo.Job{RequestID: fmt.Sprint("id-", n), Status: pixazo.Queued}, nil))
		}
		var work sync.WaitGroup
		for range 4 {
			work.Go(j.WriteOutcomes)
		}
		work.Wait()
		rows := list(t, j, All)
		for _, row := range rows {
			if row.State != Accepted || row.Job.RequestID == "" {
				t.Errorf("%+v", row)
			}
		}
		if j.Unwritten() || len(rows) != 4 {
			t.Errorf("%d rows, still unwritten: %t", len(rows), j.Unwritten())
		}
	})
}

func TestOwnersDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		j := open(t, place(t))
		ann, bob := WithOwner(t.Context(), "ann"), WithOwner(t.Context(), "bob")
		in, _, err := j.Intend(ann, submission("tides"))
		if err != nil {
			t.Fatal(err)
		}
		conclude(t, j, in, pixazo.Job{RequestID: "id-1", Status: pixazo.Queued}, nil)
		if row, err := j.Find(bob, "id-1"); row != nil || err != nil {
			t.Errorf("bob finds %+v, %v", row, err)
		}
		if page, err := j.List(bob, All, 10, ""); err != nil || len(page.Rows) != 0 {
			t.Errorf("bob lists %+v, %v", page.Rows, err)
		}
		if row, err := j.Find(ann, "id-1"); row == nil || err != nil || row.Owner != "ann" {
			t.Errorf("ann finds %+v, %v", row, err)
		}
	})
}

// Two processes save one video under two names at once.
func TestEachPlaceOfAVideoIsRecorded(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		dir := place(t)
		first, second := open(t, dir), open(t, dir)
		accept(t, first, submission("tides"), "id-1")
		add := func(j *Journal, files ...SavedFile) {
			if err := j.AddSaved(t.Context(), "id-1", files); err != nil {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		for i, j := range []*Journal{first, second} {
			wg.Go(func() {
				for n := range 10 {
					add(j, SavedFile{Path: fmt.Sprintf("/videos/%d-%d.mp4", i, n)})
				}
			})
		}
		wg.Wait()
		if saved := find(t, first, "id-1").Saved; len(saved) != 20 {
			t.Errorf("the journal has %d files, want 20: %+v", len(saved), saved)
		}
		again := SavedFile{Path: "/videos/0-3.mp4", Bytes: 6}
		other := SavedFile{Path: "/videos/b.mp4", Video: 1}
		add(first, again, other)
		saved := find(t, second, "id-1").Saved
		if len(saved) != 21 || saved[0] != again || saved[1] != other {
			t.Errorf("the journal has %+v; want the newest first, and each path once", saved)
		}
		for n := range 100 {
			add(first, SavedFile{Path: fmt.Sprintf("/videos/more-%d.mp4", n)})
		}
		if saved := find(t, first, "id-1").Saved; len(saved) != maxSaved || saved[0].Path != "/videos/more-99.mp4" {
			t.Errorf("the journal has %d files, the first %+v; want the newest %d", len(saved), saved[0], maxSaved)
		}
		if err := first.AddSaved(t.Context(), "id-of-none", []SavedFile{again}); err != nil {
			t.Errorf("files of a job that is not known: %v", err)
		}
	})
}

func TestMediaOfTheSandboxIsKeptWithoutItsPort(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		dir := place(t)
		with := func(origin string) *Journal {
			o := at(dir)
			o.Gateway, o.MediaOrigin = "sandbox", origin
			j := New(o)
			t.Cleanup(j.Close)
			return j
		}
		first, second := with("http://127.0.0.1:1111"), with("http://127.0.0.1:2222")
		accept(t, first, submission("tides"), "id-1")
		observe(t, first, pixazo.Job{RequestID: "id-1", Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: []string{"http://127.0.0.1:1111/media/a.mp4", "https://elsewhere.example/b.mp4"}, ThumbnailURL: "http://127.0.0.1:1111/t.png"}})
		got := find(t, second, "id-1").Job
		if got.VideoURLs[0] != "http://127.0.0.1:2222/media/a.mp4" || got.VideoURLs[1] != "https://elsewhere.example/b.mp4" || got.ThumbnailURL != "http://127.0.0.1:2222/t.png" {
			t.Errorf("another process finds %+v", got)
		}
	})
}

// A submission's process was killed before it could write the gateway's answer. When its
// owner asks for the job by its request_id, there is first a row for that job alone; later
// the submission gets the job.
func TestASubmissionGetsTheJobThatWasAskedForBefore(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		for _, tt := range []struct {
			name     string
			earlier  bool // it was asked for before the submission, too
			callback bool
			settled  bool
		}{
			{"a callback names it", false, true, true},
			{"it is asked for again", false, false, true},
			{"a callback names a job that is older", true, true, false},
			{"it is older", true, false, false},
		} {
			t.Run(tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					j := open(t, place(t))
					defer j.Close()
					job := pixazo.Job{RequestID: idAt(time.Now().Add(time.Second), 1), Status: pixazo.Processing}
					if tt.earlier {
						observe(t, j, job)
					}
					in := intend(t, j, submission("tides"))
					if seen := observe(t, j, job); seen.Row.State != Foreign || seen.Row.Prompt != "" {
						t.Errorf("while it may be under way: %+v", seen)
					}
					if _, err := j.Observe(WithOwner(t.Context(), "bob"), job); err != nil {
						t.Error(err)
					}
					check(t, j.AddSaved(t.Context(), job.RequestID, []SavedFile{{Path: "/videos/tides.mp4"}}))
					if job.Status = pixazo.Completed; !tt.callback {
						time.Sleep(intentLease + time.Second)
					}
					seen, err := j.Observe(t.Context(), job)
					if tt.callback {
						seen, err = j.Settle(t.Context(), in.Nonce, job)
					}
					check(t, err)
					row, rows := find(t, j, job.RequestID), list(t, j, All)
					if tt.settled {
						if seen.Row.ID != row.ID || row.State != Accepted || row.Prompt != "tides" || row.Nonce != in.Nonce || row.Job.Status != pixazo.Completed || len(row.Saved) != 1 || len(rows) != 1 {
							t.Errorf("%+v of %d rows, want the only one", row, len(rows))
						}
					} else if row.State != Foreign || row.Prompt != "" || len(rows) != 2 {
						t.Errorf("%+v of %d rows, want the foreign one of two", row, len(rows))
					}
					if other, err := j.Find(WithOwner(t.Context(), "bob"), job.RequestID); err != nil || other == nil || other.State != Foreign {
						t.Errorf("another owner has %+v, %v", other, err)
					}
				})
			})
		}
	})
}

// The job's row has its video when the submission gets the job. It keeps that, although the
// gateway's answer is from before the job's end and comes late, or has no video any more.
func TestASubmissionGetsTheVideoThatWasSeenBefore(t *testing.T) {
	t.Parallel()
	pgtest.Engines(t, func(t *testing.T, place func(testing.TB) string) {
		for _, callback := range []bool{false, true} {
			for _, late := range []pixazo.Status{pixazo.Processing, pixazo.Completed} {
				synctest.Test(t, func(t *testing.T) {
					j := open(t, place(t))
					defer j.Close()
					in := intend(t, j, submission("tides"))
					job := pixazo.Job{RequestID: idAt(time.Now().Add(time.Second), 1), Status: pixazo.Completed, Media: pixazo.Media{VideoURLs: []string{"https://v.example/tides.mp4"}}}
					observe(t, j, job)
					job.Status, job.Media = late, pixazo.Media{}
					settle := func() (Observation, error) { return j.Settle(t.Context(), in.Nonce, job) }
					if !callback {
						time.Sleep(intentLease + time.Second)
						settle = func() (Observation, error) { return j.Observe(t.Context(), job) }
					}
					seen, err := settle()
					check(t, err)
					row := find(t, j, job.RequestID)
					if row.State != Accepted || row.Job.Status != pixazo.Completed || len(row.Job.VideoURLs) != 1 || row.Nonce != in.Nonce || seen.Row.ID != row.ID || !seen.Changed {
						t.Errorf("callback %t, %s came late: %+v, seen as %+v", callback, late, row, seen)
					}
				})
			}
		}
	})
}

// The journal can't be written while a request is sent, so that its lease ends.
func TestAnIDMayBeThatOfASubmissionWhoseLeaseHasEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := open(t, t.TempDir())
		slow := intend(t, j, submission("slow"))
		time.Sleep(25 * time.Second)
		conclude(t, j, intend(t, j, submission("lost")), pixazo.Job{}, uncertain)
		time.Sleep(20 * time.Second)
		id := idAt(time.Now(), 1)
		if seen := observe(t, j, pixazo.Job{RequestID: id, Status: pixazo.Processing}); seen.Fits != 2 || seen.Row.Prompt != "" {
			t.Errorf("settled %+v", seen)
		}
		if row := conclude(t, j, slow, pixazo.Job{RequestID: id, Status: pixazo.Queued}, nil); row.Prompt != "slow" || row.State != Accepted {
			t.Errorf("it has become %+v", row)
		}
		time.Sleep(longestSend)
		conclude(t, j, intend(t, j, submission("lost later")), pixazo.Job{}, uncertain)
		if seen := observe(t, j, pixazo.Job{RequestID: idAt(time.Now(), 2), Status: pixazo.Processing}); seen.Fits != 1 || seen.Row.Prompt != "lost later" {
			t.Errorf("settled %+v", seen)
		}
	})
}

func TestAnAllowedOneReplacesNoneThatWasStillUnderWay(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			j := open(t, t.TempDir())
			first := intend(t, j, submission("tides"))
			if known {
				conclude(t, j, first, pixazo.Job{}, uncertain)
			}
			second := intend(t, j, allowed(submission("tides")))
			time.Sleep(time.Second)
			if !known {
				conclude(t, j, first, pixazo.Job{}, uncertain)
			}
			conclude(t, j, second, pixazo.Job{RequestID: "id-1", Status: pixazo.Failed}, nil)
			_, other, err := j.Intend(t.Context(), submission("tides"))
			if err != nil || (other != nil) == known {
				t.Errorf("known %t: %+v, %v", known, other, err)
			}
		})
	}
}

// The clock is set back by an hour after a Watch began.
func TestChangesAreHeardAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var heard []string
		ctx, cancel := context.WithCancel(t.Context())
		go open(t, dir).Watch(ctx, time.Now().Add(time.Hour), func(rows []Row) {
			for _, r := range rows {
				heard = append(heard, r.Job.RequestID)
			}
		})
		for _, id := range []string{"id-1", "id-2"} {
			time.Sleep(10 * time.Second)
			accept(t, open(t, dir), submission(id), id)
		}
		time.Sleep(2 * time.Second)
		cancel()
		synctest.Wait()
		if all := strings.Join(heard, " "); !strings.Contains(all, "id-1") || !strings.Contains(all, "id-2") {
			t.Errorf("heard of %q", all)
		}
	})
}
