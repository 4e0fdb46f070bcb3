// This file saves finished videos below the output folder: one transfer however
// many ask for it, under a temporary name until it is whole, and not again while
// what was saved is intact.

package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
)

// SavedFile is a video on this computer.
type SavedFile struct {
	Path      string `json:"path" jsonschema_description:"Where the video is on this computer."`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type"`
	SHA256    string `json:"sha256" jsonschema_description:"SHA-256 of the file, in hexadecimal."`
}

// SaveRequest says what to save, and where below the output folder.
type SaveRequest struct {
	RequestID string
	Filename  string // a name or relative path; "" for one made of date, prompt and id
	Overwrite bool   // whether a file of that name is replaced
}

// Saved is what became of a Save.
type Saved struct {
	Job     pixazo.Job
	Files   []SavedFile   // one a video URL; none while Pending
	Already bool          // nothing was fetched: the files were there and intact
	Took    time.Duration // of fetching and writing
	Pending bool          // the time was up, and the transfer goes on
}

// SaveProgress is what a caller of Save hears.
type SaveProgress struct {
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
func (t *Tracker) Save(ctx context.Context, req SaveRequest, timeout time.Duration, report func(SaveProgress)) (Saved, error) {
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
func (t *Tracker) attend(ctx context.Context, req SaveRequest, timeout time.Duration, report func(SaveProgress)) (Saved, error) {
	if err := pixazo.CheckRequestID(req.RequestID); err != nil {
		return Saved{}, err
	}
	var err error
	if req.Filename, err = checkFilename(req.Filename); err != nil {
		return Saved{}, err
	}
	if t.options.OutputDir == "" {
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
	req    SaveRequest
	cancel context.CancelFunc
	ended  chan struct{} // closed once saved and err are set

	// Guarded by Tracker.mu.
	waiting int
	kept    bool // goes on without waiters: one of them was told to come back

	saved Saved
	err   error

	mu     sync.Mutex
	before int64 // bytes of the files that are whole
	now    SaveProgress
	known  pixazo.Job
}

func (f *flight) progress() SaveProgress {
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
func (t *Tracker) board(req SaveRequest) *flight {
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
func (t *Tracker) alight(f *flight, kept bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.waiting--
	f.kept = f.kept || kept
	t.landIdle(f)
}

// landIdle ends f if nobody waits for it. t.mu is held.
func (t *Tracker) landIdle(f *flight) {
	if f.waiting > 0 || f.kept && t.draining.Err() == nil {
		return
	}
	f.cancel()
	t.forget(f)
}

// forget has whoever asks for the same next start anew. t.mu is held.
func (t *Tracker) forget(f *flight) {
	if t.flights[f.req] == f {
		delete(t.flights, f.req)
	}
}

// save is a whole Save, from the journal to the journal.
func (t *Tracker) save(ctx context.Context, req SaveRequest, f *flight) (Saved, error) {
	begun := time.Now()
	if err := os.MkdirAll(t.options.OutputDir, 0o755); err != nil {
		return Saved{}, outputError(err)
	}
	root, err := os.OpenRoot(t.options.OutputDir)
	if err != nil {
		return Saved{}, outputError(err)
	}
	defer root.Close()

	var record Record
	if r, err := t.journal.find(req.RequestID); err == nil && r != nil {
		record = *r
	}
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

	s := &saver{Tracker: t, root: root, req: req, job: job, flight: f, there: make([]SavedFile, len(job.VideoURLs))}
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
		if err := t.journal.saved(req.RequestID, saved.Files); err != nil {
			t.log.Warn("where a video was saved could not be recorded", "request_id", req.RequestID, "error", err.Error())
		}
		t.tell(req.RequestID, false)
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
func (t *Tracker) finishedJob(ctx context.Context, requestID string) (pixazo.Job, error) {
	job, err := t.Status(ctx, requestID)
	switch {
	case len(job.VideoURLs) > 0 && job.Status == pixazo.Completed:
		return job, nil // when the gateway can't be asked, its last word
	case err != nil:
		return job, err
	case job.Status.Failed():
		return job, Failure(job)
	case job.Done():
		return job, unsaved("the gateway names no address for it")
	}
	return job, &pixazo.Error{Code: pixazo.NotReady, Message: "the video is not finished; its status is " + cmp.Or(string(job.Status), "not known yet")}
}

// Failure is the error of a job that ended without a video.
func Failure(job pixazo.Job) error {
	said := "the gateway gave no reason"
	if job.Error != "" {
		said = "the gateway said: " + text.Said(job.Error)
	}
	return &pixazo.Error{Code: pixazo.VideoFailed, RequestID: job.RequestID,
		Message: fmt.Sprintf("the job ended with status %s; %s", job.Status, said)}
}

// madeAt is when a video was asked for, as well as it is known.
func madeAt(job pixazo.Job, record Record) time.Time {
	for _, at := range []time.Time{record.SubmittedAt, job.CreatedAt, pixazo.IDTime(job.RequestID), job.CompletedAt} {
		if !at.IsZero() {
			return at
		}
	}
	return time.Now()
}

// isIntact reports whether a file saved below root is still what it was.
func isIntact(ctx context.Context, root *os.Root, s SavedFile) bool {
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
	*Tracker
	root   *os.Root
	req    SaveRequest
	job    pixazo.Job
	flight *flight
	name   string      // slashes; with an ending or without
	there  []SavedFile // one a video; those with a Path are where they should be
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
func (s *saver) isAt(i int, file SavedFile) bool {
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
func (s *saver) fetch(ctx context.Context, i int) (SavedFile, error) {
	return s.write(ctx, i, func(file *os.File) (SavedFile, error) {
		link := s.job.VideoURLs[i]
		saved, err := s.fetcher.fetch(ctx, link, file, s.heard)
		if errors.Is(err, errExpired) {
			fresh, statusErr := s.Status(ctx, s.req.RequestID)
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
func (s *saver) copy(ctx context.Context, i int, from SavedFile) (SavedFile, error) {
	return s.write(ctx, i, func(file *os.File) (SavedFile, error) {
		name, _ := below(s.root, from.Path)
		source, err := openRegular(s.root, name)
		if err != nil {
			return SavedFile{}, diskError(err)
		}
		defer source.Close()
		sum, err := fileSum(ctx, io.TeeReader(source, file))
		if err == nil && sum != from.SHA256 {
			return SavedFile{}, unsaved("the copy saved before, %s, is being changed", text.Quote(from.Path))
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
func (s *saver) write(ctx context.Context, i int, fill func(*os.File) (SavedFile, error)) (SavedFile, error) {
	if err := s.prepare(); err != nil {
		return SavedFile{}, err
	}
	part := filepath.Join(filepath.FromSlash(path.Dir(s.name)), partPrefix+rand.Text()+partEnding)
	file, err := s.root.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return SavedFile{}, outputError(err)
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
		return SavedFile{}, err
	}
	name, err := s.place(ctx, part, i, saved)
	if err != nil {
		return SavedFile{}, err
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
func (s *saver) place(ctx context.Context, part string, i int, saved SavedFile) (string, error) {
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
		case isIntact(ctx, s.root, SavedFile{Path: filepath.Join(s.root.Name(), name), Bytes: saved.Bytes, SHA256: saved.SHA256}):
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
