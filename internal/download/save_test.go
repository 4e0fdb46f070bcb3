// This file tests what Save makes of a finished job: one file, whole or not at
// all, however many ask for it and whenever they leave. Bugs it guards against:
// the same gigabyte fetched twice, a file of the user overwritten, half a video
// under its name, what is left of a transfer that ended early.

package download_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pixazo-mcp/e2e/disktest"
	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

// another is a second saver on the same folder and journal, as another process
// has it.
func (h *house) another(t testing.TB) *house {
	t.Helper()
	other := *h
	other.Saver = openSaver(t, h.jobs, h.options)
	return &other
}

func wellBehaved(t testing.TB, b []byte) *media {
	return newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) { serve(w, r, b, "") })
}

// halting serves the first half of b, and the rest once go on is closed. Half is
// closed when the first half is out.
func halting(t testing.TB, b []byte) (m *media, half <-chan struct{}, goOn func()) {
	sent, release := make(chan struct{}), make(chan struct{})
	goOn = sync.OnceFunc(func() { close(release) })
	var once sync.Once
	m = newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()
		once.Do(func() { close(sent) })
		select {
		case <-release:
			_, _ = w.Write(b[len(b)/2:])
		case <-r.Context().Done():
		}
	})
	t.Cleanup(goOn) // before the server is closed, which waits for its answers
	return m, sent, goOn
}

// eventually waits for what another goroutine does, as long as it takes.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute still not: %s", what)
		}
	}
}

func isPart(name string) bool {
	return strings.HasPrefix(name, ".pixazo-") && strings.HasSuffix(name, ".part")
}

func TestSavedVideoIsNotFetchedAgainWhileIntact(t *testing.T) {
	whole := video(50_000)
	damage := map[string]func(path string) error{
		"intact":    func(string) error { return nil },
		"truncated": func(path string) error { return os.Truncate(path, 49_999) },
		"longer": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
				err = errors.Join(err, f.Close())
			}
			return err
		},
		"changed": func(path string) error { // same length, same time
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			b := slices.Clone(whole)
			b[40_000] ^= 1
			return errors.Join(os.WriteFile(path, b, 0o600), os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"deleted":  os.Remove,
		"a folder": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
	}
	for name, do := range damage {
		t.Run(name, func(t *testing.T) {
			m := wellBehaved(t, whole)
			h := newHouse(t, m.URL, m.link())
			first := h.mustSave(t, "")
			if err := do(first.Path); err != nil {
				t.Fatal(err)
			}
			for _, h := range []*house{h, h.another(t)} { // what is known must be on disk
				s, err := h.save(t, "", false)
				if err != nil {
					t.Fatal(err)
				}
				wantFile(t, s.Files[0], whole)
				if name == "intact" && (!s.Already || s.Files[0] != first || len(m.requests()) != 1) {
					t.Errorf("an intact file: %+v after %d requests; want it Already there", s, len(m.requests()))
				}
			}
			if n := len(m.requests()); name != "intact" && n != 2 {
				t.Errorf("%d requests, want 2: one before and one after the damage", n)
			}
		})
	}
}

func TestSavedVideoGetsAnotherNameWithoutFetching(t *testing.T) {
	whole := video(50_000)
	m := wellBehaved(t, whole)
	h := newHouse(t, m.URL, m.link())
	h.mustSave(t, "first")
	s, err := h.save(t, "second.mp4", false)
	if err != nil || !s.Already {
		t.Fatalf("Save = %+v, %v; want a copy of what was there", s, err)
	}
	wantFile(t, s.Files[0], whole)
	for _, name := range []string{"second", "second.mp4", ""} { // the same file, however it is called
		if s, err := h.save(t, name, false); err != nil || !s.Already || filepath.Base(s.Files[0].Path) != "second.mp4" {
			t.Errorf("Save as %q = %+v, %v; want second.mp4 Already there", name, s, err)
		}
	}
	wantTree(t, h.out, "first.mp4", "second.mp4")
	if n := len(m.requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestOverwriteReplacesAndOnlyThen(t *testing.T) {
	whole := video(50_000)
	m := wellBehaved(t, whole)
	h := newHouse(t, m.URL, m.link())
	mine := filepath.Join(h.out, "v.mp4")
	if err := errors.Join(os.Mkdir(h.out, 0o755), os.WriteFile(mine, []byte("mine"), 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := h.save(t, "v", false)
	wantFailure(t, err, pixazo.FileRefused, `filename must be a free name, such as "v (2).mp4": there is a file `+text.Quote(mine)+", which only overwrite: true replaces")
	if b, _ := os.ReadFile(mine); string(b) != "mine" || len(m.requests()) > 0 {
		t.Fatalf("the file holds %d bytes after %d requests; want it kept and nothing fetched", len(b), len(m.requests()))
	}
	s, err := h.save(t, "v", true)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, s.Files[0], whole)
	wantTree(t, h.out, "v.mp4")
}

// Each name that is suggested is free, and does.
func TestTakenNameSuggestsAFreeOne(t *testing.T) {
	whole := video(1000)
	m := wellBehaved(t, whole)
	h := newHouse(t, m.URL, m.link())
	if err := os.MkdirAll(filepath.Join(h.out, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"v.mp4", "v (2).mp4", "a/v.webm", "a/w.mp4", strings.Repeat("x", 194) + ".mp4"} {
		if err := os.WriteFile(filepath.Join(h.out, name), []byte("mine"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, free := range map[string]string{"v": "v (3).mp4", "v.mp4": "v (3).mp4", "a/v.webm": "a/v (2).webm", "a/w": "a/w (2).mp4"} {
		_, err := h.save(t, name, false)
		wantFailure(t, err, pixazo.FileRefused, "filename must be a free name, such as "+text.Quote(free)+": there is a file ")
		if saved := h.mustSave(t, free); saved.Path != filepath.Join(h.out, filepath.FromSlash(free)) {
			t.Errorf("saved as %q, want %q", saved.Path, free)
		}
		if err := os.Remove(filepath.Join(h.out, filepath.FromSlash(free))); err != nil {
			t.Fatal(err)
		}
	}
	_, err := h.save(t, strings.Repeat("x", 194), false) // with a number it would be too long
	wantFailure(t, err, pixazo.FileRefused, "filename must be a free name: there is a file ")
}

// A default name may be taken by something else: both stay.
func TestDefaultNameThatIsTaken(t *testing.T) {
	whole := video(50_000)
	m := wellBehaved(t, whole)
	h := newHouse(t, m.URL, m.link())
	first := h.mustSave(t, "")
	if err := os.WriteFile(first.Path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := h.mustSave(t, "")
	wantFile(t, second, whole)
	if b, _ := os.ReadFile(first.Path); string(b) != "mine" || second.Path != strings.TrimSuffix(first.Path, ".mp4")+" (2).mp4" {
		t.Errorf("the file in the way holds %d bytes and the video is %q; want the first kept and the second numbered", len(b), second.Path)
	}
}

func TestJobsThatCantBeSaved(t *testing.T) {
	tests := []struct {
		name string
		job  pixazo.Job
		err  error
		code pixazo.Code
		says string
	}{
		{"queued", pixazo.Job{Status: pixazo.Queued}, nil, pixazo.NotReady, "its status is QUEUED"},
		{"processing", pixazo.Job{Status: pixazo.Processing}, nil, pixazo.NotReady, "its status is PROCESSING"},
		{"a word that is not known", pixazo.Job{Status: "RESTING", Media: pixazo.Media{VideoURLs: []string{"https://media.example/v.mp4"}}}, nil, pixazo.NotReady, "its status is RESTING"},
		{"failed", pixazo.Job{Status: pixazo.Failed, Error: `no "credits"`}, nil, pixazo.VideoFailed, `the job ended with status FAILED; the gateway said: "no 'credits'"`},
		{"failed, and is forgotten", pixazo.Job{Status: pixazo.Failed, Error: "no"}, failing(pixazo.NotFound, videoID), pixazo.VideoFailed, `the gateway said: "no"`},
		{"ended in an error", pixazo.Job{Status: pixazo.Errored}, nil, pixazo.VideoFailed, "status ERROR; the gateway gave no reason"},
		{"completed without a video", pixazo.Job{Status: pixazo.Completed}, nil, pixazo.DownloadFailed, "the gateway names no address for it"},
		{"not known", pixazo.Job{}, failing(pixazo.NotFound, videoID), pixazo.NotFound, "as scripted"},
		{"no connection", pixazo.Job{}, failing(pixazo.GatewayUnreachable, ""), pixazo.GatewayUnreachable, "as scripted"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, "")
			h.jobs.status = func(_ context.Context, id string, _ int) (pixazo.Job, error) {
				test.job.RequestID = id
				return test.job, test.err
			}
			_, err := h.save(t, "", false)
			wantFailure(t, err, test.code, test.says)
			wantTree(t, h.out)
		})
	}
	h := newHouse(t, "")
	if _, err := h.Save(t.Context(), download.Request{RequestID: "../x"}, time.Minute, nil); !pixazo.IsCode(err, pixazo.InvalidArgument) {
		t.Errorf("Save of ../x = %v, want invalid_argument", err)
	}
	h.reopen(t, func(o *download.Options) { o.Dir = "" })
	_, err := h.save(t, "", false)
	wantFailure(t, err, pixazo.FileRefused, "--output-dir (PIXAZO_OUTPUT_DIR)")
}

func TestOutputFolderThatCantBeUsed(t *testing.T) {
	m := wellBehaved(t, video(1000))
	h := newHouse(t, m.URL, m.link())
	if err := os.WriteFile(h.out, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := h.save(t, "", false)
	wantFailure(t, err, pixazo.DownloadFailed, "the output folder (--output-dir, PIXAZO_OUTPUT_DIR) can't be used")
	if n := len(m.requests()); n > 0 {
		t.Errorf("%d requests for nothing", n)
	}
}

func TestSeveralVideosAreAllSaved(t *testing.T) {
	videos := [][]byte{video(10_000), video(20_000), video(30_000)}
	broken := map[string]int{} // what a path answers instead
	m := newMedia(t, nil)
	m.answer = func(w http.ResponseWriter, r *http.Request, _ int) {
		if code := broken[r.URL.Path]; code != 0 {
			w.WriteHeader(code)
			return
		}
		serve(w, r, videos[r.URL.Path[1]-'0'], "")
	}
	h := newHouse(t, m.URL, m.URL+"/0", m.URL+"/1", m.URL+"/2")

	broken["/1"] = 400
	_, err := h.save(t, "v.mp4", false)
	wantFailure(t, err, pixazo.DownloadFailed, "HTTP 400")
	wantTree(t, h.out, "v.mp4") // whole, and not to be fetched again
	delete(broken, "/1")

	s, err := h.another(t).save(t, "v.mp4", false)
	if err != nil || len(s.Files) != 3 || s.Already {
		t.Fatalf("Save = %+v, %v; want three files", s, err)
	}
	for i, file := range s.Files {
		wantFile(t, file, videos[i])
	}
	wantTree(t, h.out, "v-2.mp4", "v-3.mp4", "v.mp4")
	if n := len(m.requests()); n != 4 {
		t.Errorf("%d requests, want 4: one a video and the broken one", n)
	}
	if err := os.Remove(s.Files[2].Path); err != nil {
		t.Fatal(err)
	}
	again, err := h.save(t, "v", false)
	if err != nil || !slices.Equal(again.Files, s.Files) || len(m.requests()) != 5 {
		t.Errorf("Save after one was deleted = %+v, %v after %d requests; want the same three, and only that one fetched", again, err, len(m.requests()))
	}
}

func TestSavesAtOnceFetchOnce(t *testing.T) {
	whole := video(100_000)
	m, half, goOn := halting(t, whole)
	h := newHouse(t, m.URL, m.link())
	var wg sync.WaitGroup
	saved := make([]download.Saved, 8)
	for i := range saved {
		wg.Go(func() {
			var err error
			if saved[i], err = h.save(t, "", false); err != nil {
				t.Error(err)
			}
		})
	}
	<-half
	eventually(t, "all of them wait for one transfer", func() bool { return h.Waiting() == len(saved) })
	goOn()
	wg.Wait()
	if n := len(m.requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	for _, s := range saved {
		if len(s.Files) != 1 || s.Files[0] != saved[0].Files[0] {
			t.Errorf("one of them got %+v, another %+v", s.Files, saved[0].Files)
		}
	}
	wantFile(t, saved[0].Files[0], whole)
	wantTree(t, h.out, filepath.Base(saved[0].Files[0].Path))
}

// Neither is forgotten, however they end.
func TestSavesUnderTwoNamesAtOnceAreBothRecorded(t *testing.T) {
	whole := video(100_000)
	m, _, goOn := halting(t, whole)
	h := newHouse(t, m.URL, m.link())
	var wg sync.WaitGroup
	for _, name := range []string{"a.mp4", "b.mp4"} {
		wg.Go(func() {
			if _, err := h.save(t, name, false); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "both fetch", func() bool { return len(m.requests()) == 2 })
	goOn()
	wg.Wait()
	var names []string
	for _, file := range h.jobs.Find(t.Context(), videoID).Saved {
		wantFile(t, file, whole)
		names = append(names, filepath.Base(file.Path))
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"a.mp4", "b.mp4"}) {
		t.Errorf("the journal has %q, want both", names)
	}
	for _, name := range []string{"a.mp4", "b.mp4", ""} {
		if s, err := h.save(t, name, false); err != nil || !s.Already {
			t.Errorf("Save as %q = %+v, %v; want it Already there", name, s, err)
		}
	}
	wantTree(t, h.out, "a.mp4", "b.mp4")
}

// On macOS the folder of an NFD path is that of the NFC path; here a link makes
// it so.
func TestAccentsOfTheOutputFolderInEitherForm(t *testing.T) {
	whole := video(1000)
	m := wellBehaved(t, whole)
	h := newHouse(t, m.URL, m.link())
	composed, decomposed := filepath.Join(t.TempDir(), "Vid\u00e9os"), ""
	decomposed = strings.Replace(composed, "\u00e9", "e\u0301", 1)
	if err := os.Mkdir(composed, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(decomposed); err != nil {
		disktest.Link(t, composed, decomposed)
	}
	h.reopen(t, func(o *download.Options) { o.Dir = decomposed })
	first := h.mustSave(t, "e\u0301te\u0301")
	wantFile(t, first, whole)
	h.reopen(t, func(o *download.Options) { o.Dir = composed })
	for _, name := range []string{"", "e\u0301te\u0301", "\u00e9t\u00e9.mp4"} {
		if s, err := h.save(t, name, false); err != nil || !s.Already || s.Files[0] != first {
			t.Errorf("Save as %q = %+v, %v; want %+v Already there", name, s, err, first)
		}
	}
	wantTree(t, composed, "\u00e9t\u00e9.mp4")
}

// Two processes do not know of each other's transfer, but make one file.
func TestTwoProcessesMakeOneFile(t *testing.T) {
	for _, filename := range []string{"", "v.mp4"} {
		whole := video(100_000)
		m, _, goOn := halting(t, whole)
		h := newHouse(t, m.URL, m.link())
		other := h.another(t)
		var wg sync.WaitGroup
		var saved [2]download.File
		for i, h := range []*house{h, other} {
			wg.Go(func() {
				s, err := h.save(t, filename, false)
				if err != nil || len(s.Files) != 1 {
					t.Errorf("Save = %+v, %v; want a file", s, err)
					return
				}
				saved[i] = s.Files[0]
			})
		}
		eventually(t, "both fetch", func() bool { return len(m.requests()) == 2 })
		goOn()
		wg.Wait()
		if saved[0] != saved[1] {
			t.Errorf("one has %+v, the other %+v; want one file", saved[0], saved[1])
		}
		wantFile(t, saved[0], whole)
		wantTree(t, h.out, filepath.Base(saved[0].Path))
	}
}

func TestCancelledSaveLeavesNothing(t *testing.T) {
	whole := video(100_000)
	m, half, goOn := halting(t, whole)
	h := newHouse(t, m.URL, m.link())
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := h.Save(ctx, download.Request{RequestID: videoID}, time.Minute, nil)
		failed <- err
	}()
	<-half
	eventually(t, "there is an unfinished file", func() bool { return len(tree(t, h.out)) == 1 })
	if name := tree(t, h.out)[0]; !isPart(name) {
		t.Errorf("halfway the folder holds %q, want an unfinished name only", name)
	}
	cancel()
	wantFailure(t, <-failed, pixazo.Cancelled, "left no unfinished file")
	eventually(t, "the unfinished file is gone", func() bool { return len(tree(t, h.out)) == 0 })
	goOn()
	wantFile(t, h.mustSave(t, ""), whole) // nothing of it stands in the way
}

func TestSaveGoesOnForWhoStillWaits(t *testing.T) {
	whole := video(100_000)
	m, half, goOn := halting(t, whole)
	h := newHouse(t, m.URL, m.link())
	ctx, cancel := context.WithCancel(t.Context())
	left, stayed := make(chan error), make(chan error)
	go func() {
		_, err := h.Save(ctx, download.Request{RequestID: videoID}, time.Minute, nil)
		left <- err
	}()
	<-half
	var saved download.Saved
	go func() {
		var err error
		saved, err = h.save(t, "", false)
		stayed <- err
	}()
	eventually(t, "both wait", func() bool { return h.Waiting() == 2 })
	cancel()
	wantFailure(t, <-left, pixazo.Cancelled, "")
	goOn()
	if err := <-stayed; err != nil {
		t.Fatal(err)
	}
	wantFile(t, saved.Files[0], whole)
	if n := len(m.requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestSaveWhoseTimeIsUpGoesOn(t *testing.T) {
	whole := video(100_000)
	m, half, goOn := halting(t, whole)
	h := newHouse(t, m.URL, m.link())
	request := download.Request{RequestID: videoID}
	s, err := h.Save(t.Context(), request, 0, nil)
	if err != nil || !s.Pending || len(s.Files) != 0 {
		t.Fatalf("Save = %+v, %v; want it Pending", s, err)
	}
	<-half
	// A cancelled call does not end what another was promised.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Save(ctx, request, time.Minute, nil); !pixazo.IsCode(err, pixazo.Cancelled) {
		t.Errorf("a cancelled Save = %v, want cancelled", err)
	}
	if s, err := h.Save(t.Context(), request, 0, nil); err != nil || !s.Pending {
		t.Errorf("the second Save = %+v, %v; want it Pending, the job COMPLETED", s, err)
	}
	goOn()
	s, err = h.save(t, "", false)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, s.Files[0], whole)
	if n := len(m.requests()); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// Whoever was told to come back hears why it failed, instead of starting the
// same transfer over and over.
func TestFailureBetweenTwoCallsIsHeard(t *testing.T) {
	goOn := make(chan struct{})
	m := newMedia(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
		<-goOn
		http.Error(w, "no", http.StatusTeapot)
	})
	t.Cleanup(func() { close(goOn) }) // before the server is closed, which waits for its answers
	h := newHouse(t, m.URL, m.link())
	request := download.Request{RequestID: videoID}
	for _, try := range []string{"the first call", "the call after the failure"} {
		if s, err := h.Save(t.Context(), request, 0, nil); err != nil || !s.Pending {
			t.Fatalf("%s: Save = %+v, %v; want it Pending", try, s, err)
		}
		goOn <- struct{}{}
		h.FinishSaves()
		if _, err := h.Save(t.Context(), request, 0, nil); !pixazo.IsCode(err, pixazo.DownloadFailed) {
			t.Errorf("after %s: Save = %v, want download_failed", try, err)
		}
	}
	if n := len(m.requests()); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
}

// Also when nobody calls again: the promise was that it goes on.
func TestPendingSaveEndsWithAFileInTheJournal(t *testing.T) {
	whole := video(100_000)
	m, _, goOn := halting(t, whole)
	h := newHouse(t, m.URL, m.link())
	if s, err := h.Save(t.Context(), download.Request{RequestID: videoID}, 0, nil); err != nil || !s.Pending {
		t.Fatalf("Save = %+v, %v; want it Pending", s, err)
	}
	goOn()
	eventually(t, "the file is recorded", func() bool { return len(h.jobs.Find(t.Context(), videoID).Saved) == 1 })
	wantFile(t, h.jobs.Find(t.Context(), videoID).Saved[0], whole)
}

// What the end of the program leaves of a transfer: with and without waiters.
func TestEndLeavesNoUnfinishedFile(t *testing.T) {
	for _, waits := range []bool{true, false} {
		m, half, _ := halting(t, video(100_000))
		h := newHouse(t, m.URL, m.link())
		timeout, failed := time.Duration(0), make(chan error, 1)
		if waits {
			timeout = time.Minute
		}
		go func() {
			_, err := h.Save(t.Context(), download.Request{RequestID: videoID}, timeout, nil)
			failed <- err
		}()
		<-half
		if !waits {
			if err := <-failed; err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "there is an unfinished file", func() bool { return len(tree(t, h.out)) == 1 })
		h.Finish()
		wantTree(t, h.out)
		if waits {
			wantFailure(t, <-failed, pixazo.Cancelled, "shutting down")
		}
		_, err := h.Save(t.Context(), download.Request{RequestID: videoID}, time.Minute, nil)
		if waits {
			wantFailure(t, err, pixazo.Cancelled, "shutting down")
		}
		wantTree(t, h.out)
	}
}

func TestSaveReportsProgress(t *testing.T) {
	whole := video(100_000)
	for _, declared := range []bool{true, false} {
		goOn := make(chan struct{})
		m := newMedia(t, func(w http.ResponseWriter, _ *http.Request, _ int) {
			if declared {
				w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
			}
			_, _ = w.Write(whole[:50_000])
			_ = http.NewResponseController(w).Flush()
			<-goOn
			_, _ = w.Write(whole[50_000:])
		})
		release := sync.OnceFunc(func() { close(goOn) })
		t.Cleanup(release)
		h := newHouse(t, m.URL, m.link())
		total, last := int64(0), int64(0)
		if declared {
			total = int64(len(whole))
		}
		_, err := h.Save(t.Context(), download.Request{RequestID: videoID}, time.Minute, func(p download.Progress) {
			if p.Bytes < last || p.Bytes > int64(len(whole)) || p.Bytes > 0 && p.Total != total {
				t.Errorf("progress %+v after %d bytes, want it rising and the total %d", p, last, total)
			}
			if last = p.Bytes; last == 50_000 {
				release()
			}
		})
		if err != nil || last < 50_000 {
			t.Errorf("Save = %v, the last progress %d bytes; want the half told", err, last)
		}
	}
}

func TestDefaultNameSaysWhatTheJournalHolds(t *testing.T) {
	m := wellBehaved(t, video(1000))
	h := newHouse(t, m.URL, m.link())
	h.jobs.known[videoID] = download.Known{Prompt: "A lighthouse in the fog", SubmittedAt: time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)}
	if got := filepath.Base(h.mustSave(t, "").Path); got != "2026-03-04-a-lighthouse-in-the-fog-he-video.mp4" {
		t.Errorf("saved as %q, want day and prompt in it", got)
	}
}

// Without a journal a video can be saved all the same.
func TestSaveWithoutAJournal(t *testing.T) {
	whole := video(50_000)
	m := wellBehaved(t, whole)
	h := newHouse(t, m.URL, m.link())
	h.jobs.known = nil
	first, second := h.mustSave(t, ""), h.mustSave(t, "")
	wantFile(t, first, whole)
	if second != first {
		t.Errorf("saved again as %+v, want %+v", second, first)
	}
	wantTree(t, h.out, filepath.Base(first.Path))
}

func TestWhatAKilledProgramLeftGoes(t *testing.T) {
	m := wellBehaved(t, video(1000))
	h := newHouse(t, m.URL, m.link())
	write := func(name string, age time.Duration) {
		path := filepath.Join(h.out, name)
		at := time.Now().Add(-age)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("x"), 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	write("a/.pixazo-STALE.part", 25*time.Hour)
	write("a/.pixazo-FRESH.part", 23*time.Hour)
	write("a/old.mp4", 1000*time.Hour)
	write("a/old.part", 1000*time.Hour)
	write("a/.pixazo-old.mp4", 1000*time.Hour)
	write(".pixazo-ELSEWHERE.part", 25*time.Hour)
	h.mustSave(t, "a/v.mp4")
	wantTree(t, h.out, ".pixazo-ELSEWHERE.part", "a", "a/.pixazo-FRESH.part", "a/.pixazo-old.mp4", "a/old.mp4", "a/old.part", "a/v.mp4")
}

// While it is fetched nothing has the final name, and a file that comes to have
// it meanwhile stays.
func TestFileThatAppearsMeanwhileStays(t *testing.T) {
	m, half, goOn := halting(t, video(100_000))
	h := newHouse(t, m.URL, m.link())
	failed := make(chan error)
	go func() {
		_, err := h.save(t, "v.mp4", false)
		failed <- err
	}()
	<-half
	eventually(t, "there is an unfinished file", func() bool { return len(tree(t, h.out)) == 1 })
	if err := os.WriteFile(filepath.Join(h.out, "v.mp4"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	goOn()
	wantFailure(t, <-failed, pixazo.FileRefused, "filename must be a free name")
	if b, _ := os.ReadFile(filepath.Join(h.out, "v.mp4")); string(b) != "mine" {
		t.Errorf("the file holds %d bytes, want the user's own", len(b))
	}
	wantTree(t, h.out, "v.mp4")
}

// A save that nobody asked for keeps to the name of its first try, takes the
// whole file of one, and fetches nothing when the name can't be written down.
func TestAAutoSaveKeepsItsName(t *testing.T) {
	whole := video(1000)
	m := wellBehaved(t, whole)
	h := newHouse(t, m.URL, m.link())
	refused := errors.New("the journal can't be used")
	if err := h.AutoSave(t.Context(), h.out, videoID, "", func(string) error { return refused }); !errors.Is(err, refused) || len(m.requests()) != 0 {
		t.Fatalf("%v after %d requests", err, len(m.requests()))
	}
	var name string
	if err := h.AutoSave(t.Context(), h.out, videoID, "", func(n string) error { name = n; return nil }); err != nil || name == "" {
		t.Fatal(name, err)
	}
	wantTree(t, h.out, name)
	taken := func(string) error { t.Error("named again"); return nil }
	if err := h.AutoSave(t.Context(), h.out, videoID, name, taken); err != nil || len(m.requests()) != 1 {
		t.Errorf("again: %v after %d requests", err, len(m.requests()))
	}
}

// A file that the journal could not record would be a save that failed for good.
func TestAAutoSaveThatIsNotRecordedFailsAndIsRecordedLater(t *testing.T) {
	m := wellBehaved(t, video(1000))
	h := newHouse(t, m.URL, m.link())
	h.jobs.known = nil
	name := ""
	if err := h.AutoSave(t.Context(), h.out, videoID, "", func(n string) error { name = n; return nil }); err == nil {
		t.Error("it is taken for saved")
	}
	h.jobs.known = map[string]download.Known{}
	err := h.AutoSave(t.Context(), h.out, videoID, name, func(string) error { t.Error("named again"); return nil })
	if saved := h.jobs.known[videoID].Saved; err != nil || len(saved) != 1 || len(m.requests()) != 1 {
		t.Errorf("%v, recorded %+v after %d requests", err, saved, len(m.requests()))
	}
	wantTree(t, h.out, name)
}

// If the first of two videos were recorded alone, the job would count as saved, and nothing
// would fetch the second.
func TestAAutoSaveOfTwoVideosIsRecordedWhole(t *testing.T) {
	whole, broken := video(1000), true
	m := newMedia(t, func(w http.ResponseWriter, r *http.Request, _ int) {
		if broken && r.URL.Path == "/second.mp4" {
			http.NotFound(w, r)
			return
		}
		serve(w, r, whole, "")
	})
	h := newHouse(t, m.URL, m.link(), m.URL+"/second.mp4")
	name := ""
	err := h.AutoSave(t.Context(), h.out, videoID, "", func(n string) error { name = n; return nil })
	if saved := h.jobs.known[videoID].Saved; err == nil || len(saved) > 0 {
		t.Errorf("%v, recorded %+v", err, saved)
	}
	wantTree(t, h.out, name)
	h.jobs.known[videoID] = download.Known{ToSave: true}
	if _, err := h.save(t, "", false); err == nil || len(h.jobs.known[videoID].Saved) > 0 {
		t.Errorf("asked for before the automatic save: %v, recorded %+v", err, h.jobs.known[videoID].Saved)
	}
	wantTree(t, h.out, name)
	h.jobs.known[videoID] = download.Known{}
	fetched := len(m.requests())
	broken = false
	err = h.AutoSave(t.Context(), h.out, videoID, name, func(string) error { t.Error("named again"); return nil })
	if saved := h.jobs.known[videoID].Saved; err != nil || len(saved) != 2 || len(m.requests()) != fetched+1 {
		t.Errorf("then %v, recorded %+v after %d requests", err, saved, len(m.requests()))
	}
}
