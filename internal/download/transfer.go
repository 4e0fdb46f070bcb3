// This file runs one transfer: it finds what is saved already, fetches or copies the
// rest, and records where the files are.

package download

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/text/unicode/norm"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	maxNames  = 1000 // numbered names that are tried until one is free
	maxCopies = 10   // names under which a team server saves one video: its users don't see the disk that they fill
)

// transfer is one save under way, shared by all callers with the same Request.
type transfer struct {
	*Saver
	req    Request
	cancel context.CancelFunc
	ended  chan struct{} // closed once saved and err are set
	saved  Saved
	err    error

	// named is the function given to AutoSave, which is called with the chosen
	// name; nil for transfers that Save started.
	named func(name string) error

	// Guarded by Saver.mu.
	waiting  int  // callers
	detached bool // a caller timed out and was answered Pending; the transfer goes on without waiters

	// Progress over all files: bytes written so far, and bytes in all, 0 while not known.
	written, size atomic.Int64

	// Used by run alone.
	root    *os.Root // the output folder
	job     pixazo.Job
	name    string // with slashes; its ending may be missing
	asked   bool   // whether the gateway was asked for the job
	fetched bool   // whether anything was fetched
	whole   int64  // bytes of the complete files
}

// run saves the videos of the job and records where they are.
func (t *transfer) run(ctx context.Context) (saved Saved, err error) {
	err = disk.MakeFolder(t.req.Dir, 0o755)
	if err == nil {
		t.root, err = os.OpenRoot(t.req.Dir)
	}
	if err != nil {
		return Saved{}, t.folderError(err)
	}
	defer t.root.Close()
	if t.named == nil {
		release, err := t.jobs.HoldSave(ctx, t.req.RequestID)
		if err != nil {
			return Saved{}, err
		}
		defer release()
	}
	known := t.jobs.Find(ctx, t.req.RequestID)
	if t.job = known.Job; t.job.Status != pixazo.Completed || len(t.job.VideoURLs) == 0 {
		err = t.ask(ctx)
	}
	t.name = t.req.Filename
	if t.name == "" {
		ordered := cmp.Or(known.SubmittedAt, t.job.CreatedAt, pixazo.IDTime(t.req.RequestID), t.job.CompletedAt, time.Now())
		t.name = defaultName(ordered, known.Prompt, t.req.RequestID)
		if t.named != nil && err == nil {
			if t.req.Filename = t.free(t.name); t.req.Filename == "" {
				return Saved{}, failed("there are too many files of that name")
			}
			t.name, err = t.req.Filename, t.named(t.req.Filename)
		}
	}
	for i := 0; err == nil && i < len(t.job.VideoURLs); i++ {
		var file File
		if file, err = t.saveVideo(ctx, i, known.Saved); err == nil {
			saved.Files = append(saved.Files, file)
		}
	}
	switch {
	case err != nil && (t.named != nil || known.ToSave):
		// A record of some videos would count as one of all, and end the automatic save.
		// Another try of that finds the complete files and fetches the rest.
	case t.named != nil:
		err = t.record(ctx, known.Saved, saved.Files)
	default:
		_ = t.record(ctx, known.Saved, saved.Files)
	}
	saved.Already = !t.fetched
	return saved, err
}

// ask asks the gateway for the job. Its error says why there is no video.
func (t *transfer) ask(ctx context.Context) error {
	job, err := t.jobs.Status(ctx, t.req.RequestID)
	t.job, t.asked = job, true
	switch {
	case job.Status == pixazo.Completed && len(job.VideoURLs) > 0:
		return nil // also with an error: the job as last known has a video
	case job.Status.Failed():
		return job.Failure() // likewise
	case err != nil:
		return err
	case job.Done():
		return failed("the gateway names no address for it")
	}
	return &pixazo.Error{Code: pixazo.NotReady, Message: "the video is not finished; its status is " + cmp.Or(string(job.Status), "not known yet")}
}

// saveVideo returns the file of the ith video: one of known if it is intact and
// has the requested name, else a new one. That is copied from an intact one of
// known, or fetched if there is none.
func (t *transfer) saveVideo(ctx context.Context, i int, known []File) (File, error) {
	var other File
	copies := 0
	for _, file := range known {
		if file.Video != i || !t.isIntact(file) {
			continue
		}
		if t.req.Filename == "" || samePath(file.Path, filepath.Join(t.root.Name(), pathOf(t.name, i, file.MediaType))) {
			return file, nil
		}
		other = file
		copies++
	}
	name := pathOf(t.name, i, t.job.MediaType)
	if t.named != nil { // an earlier try may have saved it: only a complete file has the name
		if file, err := t.read(File{Path: filepath.Join(t.root.Name(), name), MediaType: t.job.MediaType, Video: i}); err == nil {
			return file, nil
		}
	}
	if err := t.checkName(name); err != nil {
		return File{}, err
	}
	if t.options.Team && copies >= maxCopies {
		return File{}, refused("filename must be left out, or be one that the video has: it is saved under %d names", copies)
	}
	if other.Path != "" {
		return t.write(ctx, i, func(p *part) error { return p.copy(other) })
	}
	t.fetched = true
	return t.write(ctx, i, func(p *part) error { return p.fetchFresh(ctx, i) })
}

// record adds files to the journal, without those in known, which it has.
func (t *transfer) record(ctx context.Context, known, files []File) error {
	added := slices.DeleteFunc(slices.Clone(files), func(f File) bool { return slices.Contains(known, f) })
	if len(added) == 0 {
		return nil
	}
	t.options.Logger.Info("video saved", "request_id", t.req.RequestID, "files", len(added))
	err := t.jobs.AddSaved(context.WithoutCancel(ctx), t.req.RequestID, added)
	if err != nil {
		t.options.Logger.Warn("where a video was saved could not be recorded", "request_id", t.req.RequestID, "error", err.Error())
	}
	return err
}

// isIntact reports whether a saved file is below the output folder and has the
// size and SHA-256 that were recorded.
func (t *transfer) isIntact(saved File) bool {
	now, err := t.read(saved)
	return err == nil && now == saved
}

// read returns file with the size and SHA-256 of what is at its path now, which
// must be below the output folder.
func (t *transfer) read(file File) (File, error) {
	f, info, err := t.open(file)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	file.Bytes = info.Size()
	file.SHA256, err = sumOf(f)
	return file, err
}

// sumOf reads r to its end and returns the SHA-256 in hexadecimal.
func sumOf(r io.Reader) (string, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, r)
	return fmt.Sprintf("%x", sum.Sum(nil)), err
}

// open opens a saved file for reading. A file outside the output folder does not
// exist.
func (t *transfer) open(saved File) (*os.File, fs.FileInfo, error) {
	name, ok := disk.Below(t.req.Dir, saved.Path)
	if !ok {
		return nil, nil, fs.ErrNotExist
	}
	return disk.OpenFile(t.root, name)
}

// samePath compares paths as macOS does: there, both normal forms of a letter with
// an accent name the same file.
func samePath(a, b string) bool { return norm.NFC.String(a) == norm.NFC.String(b) }

// checkName refuses a requested filename that can't be written. It is called
// before anything is fetched.
func (t *transfer) checkName(name string) error {
	info, err := t.root.Lstat(name)
	switch {
	case t.req.Filename == "" || errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return t.nameError(err)
	case info.IsDir():
		return refused("filename must name a file; %s is a folder", text.Quote(name))
	case !t.req.Overwrite:
		return t.takenError(name)
	}
	// Renaming a file to its own name changes nothing, but Windows refuses it
	// while another program has the file open.
	if err := replace(t.root, name, name); isOpenElsewhere(err) {
		return t.nameError(err)
	}
	return nil
}

// free returns the first of name, name (2), … under which there is no file, with
// slashes; "" if all are taken.
func (t *transfer) free(name string) string {
	for n := 1; n <= maxNames; n++ {
		free := filepath.ToSlash(pathOf(numbered(name, n), 0, t.job.MediaType))
		if _, err := checkFilename(free); err != nil { // too long
			break
		}
		if _, err := t.root.Lstat(free); errors.Is(err, fs.ErrNotExist) {
			return free
		}
	}
	return ""
}

// takenError returns the refusal of a name that another file has. It suggests a
// free one.
func (t *transfer) takenError(name string) error {
	suggestion := t.free(filepath.ToSlash(name))
	if suggestion != "" {
		suggestion = ", such as " + text.Quote(suggestion)
	}
	return refused("filename must be a free name%s: there is a file %s, which only overwrite: true replaces", suggestion, text.Quote(t.shown(name)))
}

// fetchFresh fetches the ith video. If the link has expired it asks the gateway
// for a fresh one.
func (p *part) fetchFresh(ctx context.Context, i int) (err error) {
	for range 2 {
		if !p.asked || err != nil {
			if askErr := p.ask(ctx); askErr != nil && err != nil {
				return &pixazo.Error{Code: pixazo.DownloadFailed, Err: askErr, Message: fmt.Sprintf("the video could not be saved: %v, and the gateway can't be asked for a fresh one: %v", err, askErr)}
			} else if askErr != nil {
				return askErr
			}
		}
		if i >= len(p.job.VideoURLs) {
			return failed("the gateway names no address for it")
		}
		// The same link once more does no harm: a store may be behind.
		if err = p.fetch(ctx, p.job.VideoURLs[i]); !errors.Is(err, errExpired) {
			return err
		}
	}
	return failed("%v, and the gateway names no fresh one", err)
}

// copy fills the part with the content of a file that was saved before.
func (p *part) copy(from File) error {
	source, _, err := p.open(from)
	if err != nil {
		return failed("the copy saved before can't be read: %s", words(err))
	}
	defer source.Close()
	p.total, p.mediaType = from.Bytes, from.MediaType
	_, err = io.Copy(p, source)
	return p.diskError(err)
}

// nameError returns err, which came of creating or renaming a file under the
// transfer's name, as a caller of Save gets it.
func (t *transfer) nameError(err error) error {
	if isFull(err) {
		return t.folderError(err)
	}
	why := words(err)
	if isOpenElsewhere(err) {
		why = "another program may have it open, or it is read-only"
	}
	return refused("filename %s can't be written below the output folder (--output-dir, PIXAZO_OUTPUT_DIR): %s", text.Quote(t.shown(t.name)), why)
}

// folderError returns err, which came of using the output folder, as a caller of
// Save gets it.
func (t *transfer) folderError(err error) error {
	switch {
	case isFull(err):
		return failed("the disk is full; %s", freeSome)
	case t.options.Team:
		return failed("the output folder (--output-dir, PIXAZO_OUTPUT_DIR) can't be used: %s", words(err))
	}
	return failed("the output folder (--output-dir, PIXAZO_OUTPUT_DIR) can't be used: %s", text.Clean(err.Error(), 300))
}

// shown returns the path of a name below the output folder for an error message;
// on a team server only the name.
func (t *transfer) shown(name string) string {
	if t.options.Team {
		return filepath.ToSlash(name)
	}
	return filepath.Join(t.req.Dir, name)
}
