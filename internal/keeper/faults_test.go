// This file tests that no video is lost while the journal fails in one way after the
// other.

package keeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// faults are statements after which the journal fails, and ends those that mend it.
var faults, ends = []string{
	full("INSERT ON jobs"), full("UPDATE ON jobs"), full("UPDATE OF status ON jobs"), full("UPDATE OF save_name ON jobs"),
	full("UPDATE OF saved_files ON jobs"), full("UPDATE OF save_tries ON jobs"), "ALTER TABLE jobs RENAME TO hidden",
}, []string{"DROP TRIGGER IF EXISTS full", "ALTER TABLE hidden RENAME TO jobs"}

// full returns a statement after which writes of this kind fail.
func full(kind string) string {
	return "CREATE TRIGGER full BEFORE " + kind + " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
}

func TestEachVideoIsSavedWhateverTheJournalRefuses(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 0))
				var looks atomic.Int32
				dir := t.TempDir()
				h := newHouseOf(t, dir, &gateway{takes: 5 * time.Minute, end: pixazo.Completed}, "gateway", func() string { looks.Add(1); return "key" })
				defer h.close()
				h.saver.fail = []error{errors.New("broken")}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { defer close(ended); h.keeper.Run(ctx) }()
				db, begun := raw(t, dir), time.Now()
				for n := 0; time.Since(begun) < 6*time.Minute; n++ {
					if _, err := h.submit(t, fmt.Sprint("tides ", n)); err != nil && n == 0 {
						t.Fatal(err)
					}
					execute(t, db, faults[random.IntN(len(faults))])
					time.Sleep(time.Duration(random.IntN(60)) * time.Second)
					_, _ = h.submit(t, fmt.Sprint("while it fails ", n))
					for _, statement := range ends {
						_, _ = db.Exec(statement)
					}
					time.Sleep(time.Duration(random.IntN(10)) * time.Second)
				}
				time.Sleep(time.Hour)
				cancel()
				<-ended
				page, err := h.journal.List(t.Context(), journal.All, 100, "")
				if err != nil || len(page.Rows) != len(h.gateway.begun) || len(h.notices) != len(h.gateway.begun) {
					t.Errorf("%d rows and %d notices of %d jobs, %v", len(page.Rows), len(h.notices), len(h.gateway.begun), err)
				}
				for _, row := range page.Rows {
					if row.Job.Status != pixazo.Completed || len(row.Saved) != 1 {
						t.Errorf("%+v", row)
					}
				}
				if n, most := looks.Load(), int32(2*time.Since(begun).Seconds()); n > most {
					t.Errorf("it looked %d times, want at most %d", n, most)
				}
			})
		})
	}
}
