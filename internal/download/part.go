// This file writes one video into a file with a temporary name, checks that it is
// a video, and renames the file once it is whole.

package download

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/gabriel-vasile/mimetype"

	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	// The name of an unfinished file. One that a killed program left is removed
	// when it has not grown for staleAfter.
	partPrefix, partEnding = ".pixazo-", ".part"
	staleAfter             = 24 * time.Hour

	sniffed = 3072 // bytes that are looked at to tell what a file is
)

// part is the file of one video before it is whole.
type part struct {
	*transfer
	file      *os.File
	done      int64       // bytes in the file
	total     int64       // bytes of the whole video; -1 when it is not known
	etag      string      // of what is in the file; "" when there is no strong one
	mediaType string      // "" until a head was seen
	timer     *time.Timer // ends a try that is too slow
	missing   int64       // bytes that have to come before it does
}

// write saves the ith video, which fill writes into a part: whole and on the
// disk under its name, or not at all.
func (t *transfer) write(ctx context.Context, i int, fill func(*part) error) (File, error) {
	dir := filepath.FromSlash(path.Dir(t.name))
	if err := t.makeDir(dir); err != nil {
		return File{}, t.nameError(err)
	}
	p := &part{transfer: t, total: -1}
	name := filepath.Join(dir, partPrefix+rand.Text()+partEnding)
	var err error
	if p.file, err = t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644); err != nil {
		return File{}, t.folderError(err)
	}
	defer func() { _ = t.root.Remove(name) }() // there is none any more if all went well
	saved := File{Video: i}
	if err = fill(p); err == nil {
		synced := make(chan error)
		go func() { synced <- p.file.Sync() }()
		saved.SHA256, err = sumOf(io.NewSectionReader(p.file, 0, p.done)) // from the cache, while the disk is busy
		err = p.diskError(cmp.Or(<-synced, err))
	}
	if closeErr := p.file.Close(); err == nil {
		err = p.diskError(closeErr)
	}
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return File{}, err
	}
	saved.Bytes, saved.MediaType = p.done, p.mediaType
	if err := p.place(name, &saved); err != nil {
		return File{}, err
	}
	// The name survives a power cut with its folder. Not every system can sync
	// one, and the file itself is safe.
	if d, err := t.root.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	t.whole += saved.Bytes
	return saved, nil
}

// makeDir makes a folder below the output folder, and removes from it what
// killed programs left long ago.
func (t *transfer) makeDir(dir string) error {
	if err := t.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := fs.ReadDir(t.root.FS(), filepath.ToSlash(dir))
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, partPrefix) && strings.HasSuffix(name, partEnding) {
			if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > staleAfter {
				_ = t.root.Remove(filepath.Join(dir, name))
			}
		}
	}
	return err
}

// place gives the finished file its name and sets saved.Path. Another file of
// that name stays, unless it is to be overwritten or is the same video: another
// process may have been quicker.
func (p *part) place(from string, saved *File) error {
	for n := 1; n <= maxNames; n++ {
		name := pathOf(numbered(p.name, n), saved.Video, saved.MediaType)
		saved.Path = filepath.Join(p.root.Name(), name)
		var err error
		if p.req.Overwrite {
			err = replace(p.root, from, name)
		} else {
			err = moveTo(p.root, from, name)
		}
		switch {
		case err == nil:
			return nil
		case p.req.Overwrite || !errors.Is(err, fs.ErrExist):
			return p.nameError(err)
		case p.isIntact(*saved):
			return nil
		case p.req.Filename != "":
			return p.takenError(name)
		}
	}
	return failed("there are too many files of that name")
}

// replace renames a file below root, over one that has the new name. It tries again
// for a second while another program has that open on Windows: a virus scanner or a
// search index lets go of it.
func replace(root *os.Root, from, name string) error {
	err := root.Rename(from, name)
	for range 10 {
		if !isOpenElsewhere(err) {
			break
		}
		time.Sleep(100 * time.Millisecond)
		err = root.Rename(from, name)
	}
	return err
}

// moveTo renames a file below root unless there is one of the new name. A link
// does both in one step, where the file system has links.
func moveTo(root *os.Root, from, name string) error {
	err := root.Link(from, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := root.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return cmp.Or(err, fs.ErrExist)
	}
	return root.Rename(from, name)
}

// Write appends b. Its errors are ready to be shown.
func (p *part) Write(b []byte) (int, error) {
	if err := p.checkSize(p.done + int64(len(b))); err != nil {
		return 0, err
	}
	n, err := p.file.Write(b)
	p.done += int64(n)
	if p.missing -= int64(n); p.missing <= 0 {
		p.startWindow()
	}
	p.here.Store(p.whole + p.done)
	if len(p.job.VideoURLs) == 1 {
		p.size.Store(max(p.total, 0))
	}
	return n, p.diskError(err)
}

// checkSize refuses a file of at least size bytes if that is too large.
func (p *part) checkSize(size int64) error {
	if size > p.options.MaxBytes {
		return failed("it has at least %d bytes and the limit is %d (--max-download, PIXAZO_MAX_DOWNLOAD)", size, p.options.MaxBytes)
	}
	return nil
}

// restart empties the file.
func (p *part) restart() error {
	p.done, p.total, p.etag, p.mediaType = 0, -1, "", ""
	if err := p.file.Truncate(0); err != nil {
		return p.diskError(err)
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return p.diskError(err)
}

// checkHead refuses a file whose first bytes are not those of a video, whatever
// the server calls it, and sets the media type.
func (p *part) checkHead(head []byte) error {
	if len(head) == 0 {
		return failed("the file is empty")
	}
	found, _, _ := mime.ParseMediaType(mimetype.Detect(head).String())
	if !strings.HasPrefix(found, "video/") {
		return failed("the server sent %s, not a video", found)
	}
	p.mediaType = found
	return nil
}

const freeSome = "free some, or set --output-dir (PIXAZO_OUTPUT_DIR) to another disk"

// diskError is the error of the file or of the disk it is on; nil for nil.
func (p *part) diskError(err error) error {
	if _, ok := errors.AsType[*pixazo.Error](err); ok || err == nil {
		return err
	}
	megabytes := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	needed, there := megabytes(p.total), megabytes(p.done)
	switch {
	case !isFull(err):
		return failed("the file can't be written: %s", words(err))
	case p.total < 0:
		needed = "more"
	case p.total == p.done: // some systems only say so when the file is synced
		there = "less"
	}
	return failed("the disk is full: it needs %s and there was room for %s; %s", needed, there, freeSome)
}

// words returns what an error says, without the operation and the path if the
// system has a word for it.
func words(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		err = e
	}
	return text.Clean(err.Error(), 200)
}

// isFull reports whether err says that a disk, or the user's share of it, is
// full.
func isFull(err error) bool {
	if runtime.GOOS == "windows" {
		const handleDiskFull, diskFull = syscall.Errno(39), syscall.Errno(112)
		return errors.Is(err, handleDiskFull) || errors.Is(err, diskFull)
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// isOpenElsewhere reports whether err is what Windows says of a file that
// another program has open, or that is read-only.
func isOpenElsewhere(err error) bool {
	const accessDenied, sharingViolation = syscall.Errno(5), syscall.Errno(32)
	return runtime.GOOS == "windows" && (errors.Is(err, accessDenied) || errors.Is(err, sharingViolation))
}
