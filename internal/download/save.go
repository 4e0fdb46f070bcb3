// Package download saves finished videos below the output folder. Calls for the
// same video share one transfer, and a file has a temporary name until it is
// complete. A video is not fetched again while a file of it is intact.
package download

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/pixazo"
)

const (
	endTime     = time.Second // the longest wait for a cancelled transfer to end: a disk may not answer
	failureTime = time.Hour   // how long the error of a transfer without waiters is kept for the next call
)

// Jobs tells a Saver of video jobs, and records which files it saved.
type Jobs interface {
	// Status asks the gateway where a job stands. With an error it may still
	// return the job as it was last known.
	Status(ctx context.Context, requestID string) (pixazo.Job, error)

	// Find returns what the journal holds of a job, the zero Known if it has no row.
	Find(ctx context.Context, requestID string) Known

	// HoldSave waits until no other process saves videos of the job, and then locks
	// them out until release is called. Its error is ctx's.
	HoldSave(ctx context.Context, requestID string) (release func(), err error)

	// AddSaved adds files to those that the journal has for a job. A file
	// replaces an older one with the same path.
	AddSaved(ctx context.Context, requestID string, files []File) error
}

// Known is what the journal holds of a job.
type Known struct {
	Job         pixazo.Job
	Prompt      string
	SubmittedAt time.Time // zero for a job made elsewhere
	Saved       []File    // newest first
	ToSave      bool      // none is saved yet, and once the job is done all are saved automatically
}

// File is a video on this computer.
type File = disk.Video

// Options adjusts a Saver. The zero value of a number stands for its default.
type Options struct {
	// Dir is the output folder of requests that name none; it is made when
	// missing. With neither, Save fails.
	Dir string

	Team       bool   // callers are on other computers: errors name no path of this one's disk
	MaxBytes   int64  // size of the largest file that is fetched; 2 GB
	GatewayURL string // a gateway on this computer may serve media itself, also over http
	UserAgent  string // header of the requests for videos

	// Proxy returns the proxy of a request, as http.ProxyFromEnvironment does;
	// nil stands for none.
	Proxy func(*http.Request) (*url.URL, error)

	Window      time.Duration // a try ends if less than leastRate came within this time; 30 s
	RetryPause  time.Duration // before the second try, doubled before the third; 0.5 s
	ReportEvery time.Duration // how often a caller of Save hears of the transfer; 1 s

	Logger *slog.Logger // nil stands for none
}

// Saver saves videos. It is safe for concurrent use.
type Saver struct {
	jobs    Jobs
	options Options
	client  *http.Client
	own     string         // origin of a gateway on this computer, else ""
	running sync.WaitGroup // transfers that join started

	mu        sync.Mutex
	transfers map[Request]*transfer // all that run, unless they are cancelled, and those that nobody heard fail
	finished  bool                  // Finish was called
}

// New returns a saver of the videos of jobs.
func New(jobs Jobs, o Options) *Saver {
	o.MaxBytes = cmp.Or(o.MaxBytes, 2<<30)
	o.Window = cmp.Or(o.Window, 30*time.Second)
	o.RetryPause = cmp.Or(o.RetryPause, 500*time.Millisecond)
	o.ReportEvery = cmp.Or(o.ReportEvery, time.Second)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	s := &Saver{jobs: jobs, options: o, transfers: map[Request]*transfer{}}
	if u, err := url.Parse(o.GatewayURL); err == nil && pixazo.IsLoopback(u.Hostname()) {
		s.own = pixazo.OriginOf(u)
	}
	s.client = s.newClient()
	return s
}

// Finish cancels the transfers under way and waits until they have removed
// their unfinished files, for a second at most.
func (s *Saver) Finish() {
	s.mu.Lock()
	s.finished = true
	for _, t := range s.transfers {
		t.cancel()
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(endTime):
	}
}

// Request says what to save, and where below the output folder.
type Request struct {
	RequestID string
	Dir       string // the output folder, an absolute path; "" for that of the Saver
	Filename  string // a name or relative path; "" for one made of date, prompt and id
	Overwrite bool   // whether a file of that name is replaced
}

// Saved is the result of a Save.
type Saved struct {
	Files   []File // one a video URL; none while Pending
	Already bool   // nothing was fetched: the files were there and intact
	Pending bool   // the call timed out, and the transfer goes on without it
}

// Progress is what a caller of Save hears.
type Progress struct {
	Bytes, Total int64 // of all files so far; Total is 0 while it is not known
}

// Save saves the videos of a finished job. When timeout passes, the result is
// Pending and the transfer goes on: the same call again joins it. When ctx is
// cancelled and nobody else waits, the transfer ends and leaves no file.
// report, which may be nil, is called from this goroutine every ReportEvery.
//
// Errors: not_ready and video_failed for a job without a video, file_refused
// for a name that may not be written, download_failed, cancelled, and those of
// Jobs.Status; each with the request_id.
func (s *Saver) Save(ctx context.Context, req Request, timeout time.Duration, report func(Progress)) (Saved, error) {
	saved, err := s.attend(ctx, req, timeout, report)
	if errors.Is(err, context.Canceled) {
		err = &pixazo.Error{Code: pixazo.Cancelled, Message: "the download was cancelled, or the server is shutting down, and left no unfinished file", Err: err}
	}
	if e, ok := errors.AsType[*pixazo.Error](err); ok && e.RequestID == "" {
		named := *e
		named.RequestID = req.RequestID
		err = &named
	}
	return saved, err
}

// AutoSave saves the video of a finished job below dir without a call that asked for it.
// The caller has locked out other processes (see Jobs.HoldSave). name is the one that an
// earlier try passed to named; if it is "", AutoSave chooses a free name and passes it to
// named before it writes anything. An error of named, or of the journal that can't record
// the file, is returned; in the latter case a call with the same name records the file that
// is there. When ctx ends, it waits up to a second until no unfinished file is left.
func (s *Saver) AutoSave(ctx context.Context, dir, requestID, name string, named func(name string) error) error {
	t := &transfer{Saver: s, req: Request{RequestID: requestID, Dir: dir, Filename: name}, named: named}
	late, ended := make(chan struct{}), make(chan error, 1)
	defer context.AfterFunc(ctx, func() {
		time.Sleep(endTime)
		close(late)
	})()
	go func() {
		_, err := t.run(ctx)
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-late:
		return ctx.Err()
	}
}

// attend implements Save: it checks req, joins or starts its transfer and waits
// for it. Its errors may lack the request_id.
func (s *Saver) attend(ctx context.Context, req Request, timeout time.Duration, report func(Progress)) (Saved, error) {
	if err := pixazo.CheckRequestID(req.RequestID); err != nil {
		return Saved{}, err
	}
	var err error
	if req.Filename, err = checkFilename(req.Filename); err != nil {
		return Saved{}, err
	}
	if req.Dir = cmp.Or(req.Dir, s.options.Dir); req.Dir == "" {
		return Saved{}, &pixazo.Error{Code: pixazo.FileRefused, Message: "there is no folder to save videos in: start the server with --output-dir (PIXAZO_OUTPUT_DIR)"}
	}
	t, pending := s.join(ctx, req), false
	defer func() { s.leave(t, pending) }()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(s.options.ReportEvery)
	defer tick.Stop()
	for {
		switch {
		case t.hasEnded(): // its result counts, even if ctx or the timeout ended as well
			return t.saved, t.err
		case ctx.Err() != nil:
			return Saved{}, ctx.Err()
		case pending:
			return Saved{Pending: true}, nil
		}
		select {
		case <-t.ended:
		case <-ctx.Done():
		case <-deadline.C:
			pending = true
		case <-tick.C:
			if report != nil {
				report(Progress{t.written.Load(), t.size.Load()})
			}
		}
	}
}

// join returns the transfer of req with one more waiter, and starts it, with the
// values of ctx, if there is none. If a transfer fails while nobody waits, the next call
// within failureTime gets its error, instead of starting the same transfer again.
func (s *Saver) join(ctx context.Context, req Request) *transfer {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.transfers[req]
	if t == nil {
		t = &transfer{Saver: s, req: req, ended: make(chan struct{})}
		ctx, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
		s.transfers[req] = t
		s.running.Go(func() {
			t.saved, t.err = t.run(ctx)
			t.cancel()
			s.mu.Lock()
			defer s.mu.Unlock()
			close(t.ended)
			if t.err == nil || t.waiting > 0 {
				s.forget(t)
				return
			}
			time.AfterFunc(failureTime, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.forget(t)
			})
		})
		if s.finished {
			t.cancel()
		}
	}
	t.waiting++
	if t.hasEnded() {
		s.forget(t) // this call returns the result
	}
	return t
}

// leave removes a waiter from t, and cancels t if it was the last one and no caller was
// answered Pending. pending says that this one is.
func (s *Saver) leave(t *transfer, pending bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.waiting--
	t.detached = t.detached || pending
	if t.waiting == 0 && !t.detached {
		t.cancel()
		s.forget(t)
	}
}

// forget removes t from s.transfers, so that the next Save of the same request
// starts a new transfer. The caller holds s.mu.
func (s *Saver) forget(t *transfer) {
	if s.transfers[t.req] == t {
		delete(s.transfers, t.req)
	}
}

// hasEnded reports whether t.saved and t.err are set.
func (t *transfer) hasEnded() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// failed returns a download_failed error. No try is made after it.
func failed(format string, args ...any) error {
	return &pixazo.Error{Code: pixazo.DownloadFailed, Message: "the video could not be saved: " + fmt.Sprintf(format, args...)}
}

// refused returns a file_refused error.
func refused(format string, args ...any) error {
	return &pixazo.Error{Code: pixazo.FileRefused, Message: fmt.Sprintf(format, args...)}
}
