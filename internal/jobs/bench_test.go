// This file measures what the journal adds to a call. The promise is less than
// 5 ms at the median for a submission, which is synced to disk twice:
//
//	go test -run - -bench 'Journal|Note' ./internal/jobs

package jobs_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"pixazo-mcp/pixazo"
)

func median(took []time.Duration) float64 {
	slices.Sort(took)
	return took[len(took)/2].Seconds() * 1000
}

func BenchmarkSubmitJournal(b *testing.B) {
	g := &fakeGateway{}
	tracker := openTracker(b, g, b.TempDir())
	submit(b, tracker, prompt("the first, which makes the journal"))
	var with, without []time.Duration
	for n := 0; b.Loop(); n++ {
		p := prompt("video %d", n)
		start := time.Now()
		submit(b, tracker, p)
		with = append(with, time.Since(start))
		start = time.Now()
		if _, err := g.Submit(context.Background(), p, pixazo.SubmitOptions{}); err != nil {
			b.Fatal(err)
		}
		without = append(without, time.Since(start))
	}
	b.ReportMetric(median(with)-median(without), "added-ms/median")
}

func BenchmarkNote(b *testing.B) {
	g := &fakeGateway{}
	tracker := openTracker(b, g, b.TempDir())
	id := submit(b, tracker, request())
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := tracker.Status(context.Background(), id); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	b.ReportMetric(median(took), "ms/median")
}

// BenchmarkSubmitJournalFirst is a submission that opens the journal, as each
// one does for a client that starts a process a call. The first one of all,
// which makes the file, is left out.
func BenchmarkSubmitJournalFirst(b *testing.B) {
	g, dir := &fakeGateway{}, b.TempDir()
	submit(b, openTracker(b, g, dir), prompt("the first, which makes the journal"))
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		tracker := openTracker(b, g, dir)
		start := time.Now()
		submit(b, tracker, prompt("video %d", n))
		took = append(took, time.Since(start))
		end(tracker)
	}
	b.ReportMetric(median(took), "ms/median")
}
