// Package download saves finished videos below the output folder: one transfer
// however many ask for it, under a temporary name until it is whole, and not
// again while what was saved is intact.
package download

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	// A file that is being written. One left by a program that was killed goes
	// when it has not grown for staleAfter.
	partPrefix, partEnding = ".pixazo-", ".part"
	staleAfter             = 24 * time.Hour

	maxNames = 1000 // names that are tried when they are taken

	defaultMaxBytes = 2 << 30
)

// Jobs is what a Saver needs to know of video jobs, and where it says what it
// saved.
type Jobs interface {
	// Status asks the gateway where a job stands. Its job may be known though
	// the gateway can't be asked.
	Status(ctx context.Context, requestID string) (pixazo.Job, error)

	// Find is what the journal holds of a job, nothing when it has none.
	Find(ctx context.Context, requestID string) Known

	// RecordSaved has the journal hold where the files of a job are.
	RecordSaved(ctx context.Context, requestID string, files []File) error
}

// Known is what the journal holds of a job.
type Known struct {
	Job         pixazo.Job
	Prompt      string
	SubmittedAt time.Time // zero for a job made elsewhere
	Saved       []File    // in the order of Job.VideoURLs
}

// Options adjusts a Saver.
type Options struct {
	// Dir is the folder below which files are written; it is made when missing.
	// Without it nothing can be saved.
	Dir string

	MaxBytes   int64        // of the largest file that is fetched; 0 means 2 GB
	GatewayURL string       // may serve media itself over http when it is on this computer
	UserAgent  string       // of fetching videos
	Logger     *slog.Logger // nil means none
}

// Saver saves videos. It is safe for concurrent use.
type Saver struct {
	jobs     Jobs
	options  Options
	log      *slog.Logger
	fetcher  *fetcher
	draining context.Context // done when the program ends
	drain    context.CancelFunc

	mu      sync.Mutex
	flights map[Request]*flight
	saves   sync.WaitGroup
}

// New returns a saver of the videos of jobs.
func New(jobs Jobs, options Options) *Saver {
	t := &Saver{
		jobs: jobs, options: options, log: options.Logger,
		fetcher: newFetcher(options.GatewayURL, options.UserAgent, cmp.Or(options.MaxBytes, defaultMaxBytes)),
		flights: map[Request]*flight{},
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	t.draining, t.drain = context.WithCancel(context.Background())
	return t
}

// Drain begins the end: a transfer for which nobody waits ends, the others go
// on.
func (t *Saver) Drain() {
	t.drain()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.flights {
		t.landIdle(f)
	}
}

// Finish ends the transfers under way and waits for them to take their
// unfinished files away, for a second at most.
func (t *Saver) Finish() {
	t.mu.Lock()
	for _, f := range t.flights {
		f.cancel()
	}
	t.mu.Unlock()
	done := make(chan struct{})
	go func() {
		t.saves.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second): // a disk that does not answer
	}
}

// File is a video on this computer.
type File struct {
	Path      string `json:"path" jsonschema_description:"Where the video is on this computer."`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type"`
	SHA256    string `json:"sha256" jsonschema_description:"SHA-256 of the file, in hexadecimal."`
}

// Request says what to save, and where below the output folder.
type Request struct {
	RequestID string
	Filename  string // a name or relative path; "" for one made of date, prompt and id
	Overwrite bool   // whether a file of that name is replaced
}

// Saved is what became of a Save.
type Saved struct {
	Job     pixazo.Job
	Files   []File        // one a video URL; none while Pending
	Already bool          // nothing was fetched: the files were there and intact
	Took    time.Duration // of fetching and writing
	Pending bool          // the time was up, and the transfer goes on
}

// Progress is what a caller of Save hears.
type Progress struct {
	Bytes, Total int64 // of all files so far; Total is 0 while it is not known
}

// Save saves the videos of a finished job. When timeout passes it returns what
// is Pending, and the transfer goes on: the same call again joins it. When ctx
// is cancelled and nobody else waits, the transfer ends and leaves no file.
// report, which may be nil, is called from this goroutine at least every 5 s.
//
// Errors: not_ready and video_failed for a job without a video, file_refused
// for a name that may not be written, download_failed, cancelled, and those of
// pixazo.Client.Status; each with the request_id.
func (t *Saver) Save(ctx context.Context, req Request, timeout time.Duration, report func(Progress)) (Saved, error) {
	saved, err := t.attend(ctx, req, timeout, report)
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

// attend is Save, its errors as they come.
func (t *Saver) attend(ctx context.Context, req Request, timeout time.Duration, report func(Progress)) (Saved, error) {
	if err := pixazo.CheckRequestID(req.RequestID); err != nil {
		return Saved{}, err
	}
	var err error
	if req.Filename, err = checkFilename(req.Filename); err != nil {
		return Saved{}, err
	}
	if t.options.Dir == "" {
		return Saved{}, &pixazo.Error{Code: pixazo.FileRefused, Message: "there is no folder to save videos in: start the server with --output-dir (PIXAZO_OUTPUT_DIR)"}
	}
	f := t.board(req)
	pending := false
	defer func() { t.alight(f, pending) }()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(saveReportEvery)
	defer tick.Stop()
	over, cancelled := false, false
	for {
		switch {
		case f.over(): // whatever else comes at the same time
			return f.saved, f.err
		case cancelled:
			return Saved{}, ctx.Err()
		case over && t.draining.Err() != nil: // it ends with this call
			return Saved{}, context.Canceled
		case over:
			pending = true
			return Saved{Job: f.job(), Pending: true}, nil
		}
		select {
		case <-f.ended:
		case <-deadline.C:
			over = true
		case <-ctx.Done():
			cancelled = true
		case <-tick.C:
			if report != nil {
				report(f.progress())
			}
		}
	}
}

// saveReportEvery is how often a caller of Save hears of the transfer.
var saveReportEvery = time.Second

// flight is one Save under way, for all who asked for the same.
type flight struct {
	req    Request
	cancel context.CancelFunc
	ended  chan struct{} // closed once saved and err are set

	// Guarded by Saver.mu.
	waiting int
	kept    bool // goes on without waiters: one of them was told to come back

	saved Saved
	err   error

	mu     sync.Mutex
	before int64 // bytes of the files that are whole
	now    Progress
	known  pixazo.Job
}

func (f *flight) progress() Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *flight) job() pixazo.Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known
}

// board joins the transfer of req, starting it if there is none.
func (t *Saver) board(req Request) *flight {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.flights[req]
	if f == nil {
		ctx, cancel := context.WithCancel(context.Background())
		f = &flight{req: req, cancel: cancel, ended: make(chan struct{}), known: pixazo.Job{RequestID: req.RequestID}}
		t.flights[req] = f
		t.saves.Go(func() {
			f.saved, f.err = t.save(ctx, req, f)
			cancel()
			t.mu.Lock()
			defer t.mu.Unlock()
			close(f.ended)
			// Whoever was told to come back should hear of a failure, instead
			// of starting it all again.
			if unheard := f.err != nil && f.kept && f.waiting == 0; !unheard {
				t.forget(f)
			}
		})
	}
	f.waiting++
	if f.over() {
		t.forget(f) // heard of now
	}
	return f
}

// over reports whether the transfer has ended.
func (f *flight) over() bool {
	select {
	case <-f.ended:
		return true
	default:
		return false
	}
}

// alight leaves a transfer, which ends when nobody waits for it any more.
func (t *Saver) alight(f *flight, kept bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.waiting--
	f.kept = f.kept || kept
	t.landIdle(f)
}

// landIdle ends f if nobody waits for it. t.mu is held.
func (t *Saver) landIdle(f *flight) {
	if f.waiting > 0 || f.kept && t.draining.Err() == nil {
		return
	}
	f.cancel()
	t.forget(f)
}

// forget has whoever asks for the same next start anew. t.mu is held.
func (t *Saver) forget(f *flight) {
	if t.flights[f.req] == f {
		delete(t.flights, f.req)
	}
}

// save is a whole Save, from the journal to the journal.
func (t *Saver) save(ctx context.Context, req Request, f *flight) (Saved, error) {
	begun := time.Now()
	if err := os.MkdirAll(t.options.Dir, 0o755); err != nil {
		return Saved{}, outputError(err)
	}
	root, err := os.OpenRoot(t.options.Dir)
	if err != nil {
		return Saved{}, outputError(err)
	}
	defer root.Close()

	record := t.jobs.Find(ctx, req.RequestID)
	// There are fewer files than videos when an earlier call failed halfway.
	intact := make([]bool, len(record.Saved))
	for i, s := range record.Saved {
		intact[i] = isIntact(ctx, root, s)
	}
	all := record.Job.Status == pixazo.Completed && len(intact) > 0 && len(intact) == len(record.Job.VideoURLs) && !slices.Contains(intact, false)
	job := record.Job
	if !all {
		if job, err = t.finishedJob(ctx, req.RequestID); err != nil {
			return Saved{Job: job}, err
		}
	}
	f.mu.Lock()
	f.known = job
	f.mu.Unlock()

	s := &saver{Saver: t, root: root, req: req, job: job, flight: f, there: make([]File, len(job.VideoURLs))}
	s.name = req.Filename
	if s.name == "" {
		s.name = defaultName(madeAt(job, record), record.Prompt, req.RequestID)
	}
	for i, file := range record.Saved {
		if i < len(s.there) && intact[i] && (req.Filename == "" || s.isAt(i, file)) {
			s.there[i] = file
		}
	}
	if req.Filename != "" {
		if err := s.checkFree(); err != nil {
			return Saved{Job: job}, err
		}
	}
	saved := Saved{Job: job, Already: true}
	for i, file := range s.there {
		switch {
		case file.Path != "":
		case i < len(intact) && intact[i]:
			file, err = s.copy(ctx, i, record.Saved[i])
		default:
			file, err = s.fetch(ctx, i)
			saved.Already = false
		}
		if err != nil {
			break
		}
		saved.Files = append(saved.Files, file)
	}
	saved.Job, saved.Took = s.job, time.Since(begun)
	if !slices.Equal(saved.Files, record.Saved) && len(saved.Files) > 0 {
		if err := t.jobs.RecordSaved(context.WithoutCancel(ctx), req.RequestID, saved.Files); err != nil {
			t.log.Warn("where a video was saved could not be recorded", "request_id", req.RequestID, "error", err.Error())
		}
	}
	if e, ok := errors.AsType[*pixazo.Error](err); ok && len(saved.Files) > 0 {
		some := *e
		some.Message += fmt.Sprintf("; %d of %d videos are saved, the first as %s", len(saved.Files), len(s.there), text.Quote(saved.Files[0].Path))
		err = &some
	}
	if err != nil {
		return saved, err
	}
	t.log.Info("video saved", "request_id", req.RequestID, "files", len(saved.Files), "took", saved.Took)
	return saved, nil
}

// finishedJob asks for a job that can be saved.
func (t *Saver) finishedJob(ctx context.Context, requestID string) (pixazo.Job, error) {
	job, err := t.jobs.Status(ctx, requestID)
	switch {
	case len(job.VideoURLs) > 0 && job.Status == pixazo.Completed:
		return job, nil // when the gateway can't be asked, its last word
	case err != nil:
		return job, err
	case job.Status.Failed():
		return job, job.Failure()
	case job.Done():
		return job, unsaved("the gateway names no address for it")
	}
	return job, &pixazo.Error{Code: pixazo.NotReady, Message: "the video is not finished; its status is " + cmp.Or(string(job.Status), "not known yet")}
}

// madeAt is when a video was asked for, as well as it is known.
func madeAt(job pixazo.Job, record Known) time.Time {
	for _, at := range []time.Time{record.SubmittedAt, job.CreatedAt, pixazo.IDTime(job.RequestID), job.CompletedAt} {
		if !at.IsZero() {
			return at
		}
	}
	return time.Now()
}

// isIntact reports whether a file saved below root is still what it was.
func isIntact(ctx context.Context, root *os.Root, s File) bool {
	name, ok := below(root, s.Path)
	if !ok {
		return false
	}
	f, err := openRegular(root, name)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != s.Bytes {
		return false
	}
	sum, err := fileSum(ctx, f)
	return err == nil && sum == s.SHA256
}

// openRegular opens a file to read it, and nothing that would block.
func openRegular(root *os.Root, name string) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fs.ErrInvalid
	}
	return root.Open(name)
}

// fileSum is the SHA-256 of f, in hexadecimal.
func fileSum(ctx context.Context, f io.Reader) (string, error) {
	sum := sha256.New()
	buf := make([]byte, copyBuffer)
	for {
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		switch {
		case errors.Is(err, io.EOF):
			return fmt.Sprintf("%x", sum.Sum(nil)), nil
		case err != nil:
			return "", err
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
	}
}

// below is the path of a file relative to root.
func below(root *os.Root, file string) (string, bool) {
	name, err := filepath.Rel(root.Name(), file)
	return name, err == nil && filepath.IsLocal(name)
}

// outputError words an error of the output folder.
func outputError(err error) error {
	return unsaved("the output folder (--output-dir, PIXAZO_OUTPUT_DIR) can't be used: %s", text.Clean(err.Error(), 300))
}

// saver is a Save once it is known that there is something to save.
type saver struct {
	*Saver
	root   *os.Root
	req    Request
	job    pixazo.Job
	flight *flight
	name   string // slashes; with an ending or without
	there  []File // one a video; those with a Path are where they should be
}

// prepare makes the folder of the name, and takes out what a program that was
// killed left there long ago.
func (s *saver) prepare() error {
	dir := filepath.FromSlash(path.Dir(s.name))
	if err := s.root.MkdirAll(dir, 0o755); err != nil {
		return s.nameError(err)
	}
	d, err := s.root.Open(dir)
	if err != nil {
		return s.nameError(err)
	}
	defer d.Close()
	entries, _ := d.ReadDir(-1)
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, partPrefix) && strings.HasSuffix(name, partEnding) {
			if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > staleAfter {
				_ = s.root.Remove(filepath.Join(dir, name))
			}
		}
	}
	return nil
}

// nameError is the error of a name that can't be written where it leads.
func (s *saver) nameError(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		err = p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		err = l.Err
	}
	return &pixazo.Error{Code: pixazo.FileRefused, Message: fmt.Sprintf("filename %s can't be written below the output folder %s (--output-dir, PIXAZO_OUTPUT_DIR): %s",
		text.Quote(s.name), s.root.Name(), text.Clean(err.Error(), 200))}
}

// nameOf is the name of the ith video, the nth that is tried.
func (s *saver) nameOf(i, n int, mediaType string) string {
	base, ending := split(s.name, mediaType)
	if i > 0 {
		base = fmt.Sprintf("%s-%d", base, i+1)
	}
	if n > 1 {
		base = fmt.Sprintf("%s (%d)", base, n)
	}
	return filepath.FromSlash(base + ending)
}

// isAt reports whether file has the name of the ith video.
func (s *saver) isAt(i int, file File) bool {
	name, ok := below(s.root, file.Path)
	return ok && name == s.nameOf(i, 1, file.MediaType)
}

// checkFree refuses names that are taken before anything is fetched.
func (s *saver) checkFree() error {
	for i, file := range s.there {
		if file.Path != "" {
			continue
		}
		name := s.nameOf(i, 1, s.job.MediaType)
		info, err := s.root.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return s.nameError(err)
		case info.IsDir():
			return &pixazo.Error{Code: pixazo.FileRefused, Message: fmt.Sprintf("filename must name a file; %s is a folder", text.Quote(name))}
		case !s.req.Overwrite:
			return taken(s.root, name)
		}
	}
	return nil
}

func taken(root *os.Root, name string) error {
	return &pixazo.Error{Code: pixazo.FileRefused, Message: fmt.Sprintf(
		"filename must be free, or overwrite true; there is a file %s", text.Quote(filepath.Join(root.Name(), name)))}
}

// fetch saves the ith video, by a fresh link if its first has expired.
func (s *saver) fetch(ctx context.Context, i int) (File, error) {
	return s.write(ctx, i, func(file *os.File) (File, error) {
		link := s.job.VideoURLs[i]
		saved, err := s.fetcher.fetch(ctx, link, file, s.heard)
		if errors.Is(err, errExpired) {
			fresh, statusErr := s.jobs.Status(ctx, s.req.RequestID)
			if statusErr != nil {
				return saved, unsaved("%v, and the gateway can't be asked for a fresh one: %v", err, statusErr)
			}
			// The same link once more does no harm: a store may be behind.
			if len(fresh.VideoURLs) == len(s.job.VideoURLs) {
				s.log.Info("a link had expired and a fresh one is tried", "request_id", s.req.RequestID)
				s.job = fresh
				saved, err = s.fetcher.fetch(ctx, fresh.VideoURLs[i], file, s.heard)
			}
		}
		if errors.Is(err, errExpired) {
			err = unsaved("%v, and the gateway names no fresh one", err)
		}
		return saved, err
	})
}

// copy saves the ith video from where it was saved before.
func (s *saver) copy(ctx context.Context, i int, from File) (File, error) {
	return s.write(ctx, i, func(file *os.File) (File, error) {
		name, _ := below(s.root, from.Path)
		source, err := openRegular(s.root, name)
		if err != nil {
			return File{}, diskError(err)
		}
		defer source.Close()
		sum, err := fileSum(ctx, io.TeeReader(source, file))
		if err == nil && sum != from.SHA256 {
			return File{}, unsaved("the copy saved before, %s, is being changed", text.Quote(from.Path))
		}
		return from, diskError(err)
	})
}

// heard keeps the progress of the transfer under way.
func (s *saver) heard(done, total int64) {
	s.flight.mu.Lock()
	defer s.flight.mu.Unlock()
	s.flight.now.Bytes = s.flight.before + done
	s.flight.now.Total = 0
	if total > 0 && len(s.job.VideoURLs) == 1 {
		s.flight.now.Total = total
	}
}

// write saves the ith video, whose bytes come from fill, under its name: whole
// and on the disk, or not at all.
func (s *saver) write(ctx context.Context, i int, fill func(*os.File) (File, error)) (File, error) {
	if err := s.prepare(); err != nil {
		return File{}, err
	}
	part := filepath.Join(filepath.FromSlash(path.Dir(s.name)), partPrefix+rand.Text()+partEnding)
	file, err := s.root.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return File{}, outputError(err)
	}
	defer s.root.Remove(part) // there is nothing any more if all went well
	saved, err := fill(file)
	if err == nil {
		err = diskError(file.Sync())
	}
	if closeErr := file.Close(); err == nil {
		err = diskError(closeErr)
	}
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return File{}, err
	}
	name, err := s.place(ctx, part, i, saved)
	if err != nil {
		return File{}, err
	}
	saved.Path = filepath.Join(s.root.Name(), name)
	syncDir(filepath.Dir(saved.Path))
	s.flight.mu.Lock()
	s.flight.before += saved.Bytes
	s.flight.mu.Unlock()
	return saved, nil
}

// place gives the finished file its name. A file of that name stays, unless it
// is to be overwritten, or is the same video already: another server may have
// been quicker.
func (s *saver) place(ctx context.Context, part string, i int, saved File) (string, error) {
	for n := 1; n <= maxNames; n++ {
		name := s.nameOf(i, n, saved.MediaType)
		if s.req.Overwrite {
			if err := s.root.Rename(part, name); err != nil {
				return "", s.nameError(err)
			}
			return name, nil
		}
		err := s.moveTo(part, name)
		switch {
		case err == nil:
			return name, nil
		case !errors.Is(err, fs.ErrExist):
			return "", s.nameError(err)
		case isIntact(ctx, s.root, File{Path: filepath.Join(s.root.Name(), name), Bytes: saved.Bytes, SHA256: saved.SHA256}):
			return name, nil
		case s.req.Filename != "":
			return "", taken(s.root, name)
		}
	}
	return "", unsaved("there are too many files of that name")
}

// moveTo renames part, if there is no file of that name. A link does it in one
// step, where the file system has links.
func (s *saver) moveTo(part, name string) error {
	err := s.root.Link(part, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := s.root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fs.ErrExist)
	}
	return s.root.Rename(part, name)
}
