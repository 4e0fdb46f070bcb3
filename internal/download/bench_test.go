// This file measures a download against the simplest one there could be, a bare
// http.Get and io.Copy into a file, turn and turn about on the same disk. The
// promise is at least 0.8 of the speed of the copy with an fsync, with less than
// 32 MB above idle, though a save also hashes the file before it has a name. The
// figures count only while nothing else runs, since the server is in this process
// too:
//
//	go test -run - -bench Download -benchtime 3x ./internal/download

package download_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strconv"
	"testing"
	"time"

	"pixazo-mcp/internal/download"
)

// BenchmarkDownload reports medians in MB/s: of Save, of the bare copy, and of
// the bare copy with the same fsync at its end, which is the fair one. The
// server is in this process and takes its share of the processors from either.
func BenchmarkDownload(b *testing.B) {
	const size = 1 << 30
	block := mp4(1 << 20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for range size / len(block) {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	bare := func(sync bool) time.Duration {
		name := filepath.Join(b.TempDir(), "bare.mp4")
		defer os.Remove(name)
		begun := time.Now()
		resp, err := http.Get(server.URL)
		if err != nil {
			b.Fatal(err)
		}
		defer resp.Body.Close()
		file, err := os.Create(name)
		if err != nil {
			b.Fatal(err)
		}
		defer file.Close()
		if _, err := io.Copy(file, resp.Body); err != nil {
			b.Fatal(err)
		}
		if sync {
			if err := file.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(begun)
	}
	var saves, copies, syncedCopies []time.Duration
	var most uint64
	for b.Loop() {
		dir := b.TempDir()
		saver := openSaver(b, completed(server.URL+"/v.mp4"), download.Options{Dir: dir, GatewayURL: server.URL})
		watch := watchMemory()
		begun := time.Now()
		saved, err := saver.Save(context.Background(), download.Request{RequestID: "id-1"}, time.Hour, nil)
		saves = append(saves, time.Since(begun))
		most = max(most, watch())
		if err != nil || saved.Files[0].Bytes != size {
			b.Fatalf("Save = %+v, %v", saved, err)
		}
		_ = os.Remove(saved.Files[0].Path)
		copies = append(copies, bare(false))
		syncedCopies = append(syncedCopies, bare(true))
	}
	speed := func(took []time.Duration) float64 {
		slices.Sort(took)
		return size / 1e6 / took[len(took)/2].Seconds()
	}
	b.ReportMetric(0, "ns/op") // of the three together, which says nothing
	b.ReportMetric(speed(saves), "save-MB/s")
	b.ReportMetric(speed(copies), "copy-MB/s")
	b.ReportMetric(speed(syncedCopies), "synced-copy-MB/s")
	b.ReportMetric(speed(saves)/speed(copies), "of-copy")
	b.ReportMetric(speed(saves)/speed(syncedCopies), "of-synced-copy")
	b.ReportMetric(float64(most)/1e6, "MB-above-idle")
}

// watchMemory samples what this process holds, the server within it included,
// until the function that it returns is called, which answers with the most
// above the first sample in bytes.
func watchMemory() (most func() uint64) {
	now := func() uint64 {
		samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
		metrics.Read(samples)
		total := uint64(0)
		for _, s := range samples {
			total += s.Value.Uint64()
		}
		return total
	}
	idle, stop, result := now(), make(chan struct{}), make(chan uint64)
	go func() {
		peak, tick := idle, time.NewTicker(10*time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				peak = max(peak, now())
			case <-stop:
				result <- max(peak, now()) - idle
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-result
	}
}

// mp4 is n bytes that look like a video.
func mp4(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	copy(b, "\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42")
	return b
}
