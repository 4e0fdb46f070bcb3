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
	"net/http"
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
	// An unfinished file has a name with these. If a killed program left it, it is
	// removed once it has not changed for staleAfter.
	partPrefix, partEnding = ".pixazo-", ".part"
	staleAfter             = 24 * time.Hour

	sniffLength = 3072 // bytes from which the media type is told
)

// part is the unfinished file of one video.
type part struct {
	*transfer
	file      *os.File
	done      int64       // bytes in the file
	total     int64       // bytes of the whole video; -1 when it is not known
	header    http.Header // of the answer that the file begins with; nil when it is empty
	mediaType string      // "" until the first bytes were checked
	timer     *time.Timer // cancels a try that is too slow
	missing   int64       // bytes that must come before timer fires
}

// write saves the ith video, whose content fill writes into a part. Either the
// complete file is on the disk under its name, or there is no file.
func (t *transfer) write(ctx context.Context, i int, fill func(*part) error) (File, error) {
	dir := filepath.FromSlash(path.Dir(t.name))
	if err := t.makeDir(dir); err != nil {
		return File{}, t.nameError(err)
	}
	p := &part{transfer: t, total: -1}
	name := filepath.Join(dir, partPrefix+rand.Text()+partEnding)
	var err error
	if p.file, err = t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644); err != nil {
		return File{}, t.folderError(&fs.PathError{Op: "write", Path: filepath.Join(t.root.Name(), dir), Err: cause(err)})
	}
	defer func() { _ = t.root.Remove(name) }() // it was renamed unless something failed
	saved := File{Video: i}
	if err = fill(p); err == nil {
		synced := make(chan error)
		go func() { synced <- p.file.Sync() }()
		saved.SHA256, err = sumOf(io.NewSectionReader(p.file, 0, p.done)) // read from the cache while the disk writes
		err = p.diskError(cmp.Or(<-synced, err))
	}
	if closeErr := p.file.Close(); err == nil {
		err = p.diskError(closeErr)
	}
	if err = cmp.Or(ctx.Err(), err); err != nil {
		return File{}, err
	}
	saved.Bytes, saved.MediaType = p.done, p.mediaType
	// The folder may have another path now, as when a person renamed it or its disk was
	// taken out. The file would then not be where the journal says.
	if _, err := os.Lstat(filepath.Join(t.root.Name(), name)); err != nil {
		return File{}, failed("the output folder (--output-dir, PIXAZO_OUTPUT_DIR) was moved, replaced or deleted while the video was written")
	}
	if err := p.place(name, &saved); err != nil {
		return File{}, err
	}
	// Syncing the folder keeps the new name through a power cut. Where the system
	// can't do that, the content of the file is safe all the same.
	if d, err := t.root.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	t.whole += saved.Bytes
	return saved, nil
}

// makeDir makes a folder below the output folder, and removes from it the
// unfinished files that killed programs left long ago.
func (t *transfer) makeDir(dir string) error {
	if err := t.root.MkdirAll(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return errors.New("a folder of it is a link that leads nowhere")
	} else if err != nil {
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

// place renames the complete file and sets saved.Path. An existing file of the name
// stays, unless it is to be overwritten; if it has the same content, since another
// process was quicker, it is the result.
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

// replace renames a file below root, and replaces a file of the new name. While
// another program has that open on Windows, it tries again for a second: a virus
// scanner or a search index closes it soon.
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

// moveTo renames a file below root unless the new name is taken, and returns
// fs.ErrExist then. A hard link checks and creates the name in one step; it is used
// where the file system has them, and the caller removes the old name.
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

// Write implements io.Writer. Its errors are *pixazo.Error.
func (p *part) Write(b []byte) (int, error) {
	if err := p.checkSize(p.done + int64(len(b))); err != nil {
		return 0, err
	}
	n, err := p.file.Write(b)
	p.done += int64(n)
	if p.missing -= int64(n); p.missing <= 0 {
		p.startWindow()
	}
	p.written.Store(p.whole + p.done)
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
	p.done, p.total, p.header, p.mediaType = 0, -1, nil, ""
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

// diskError returns err, which came of writing the file, as a download_failed
// error; nil for nil.
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

// words returns the text of an error; of a system error without the operation and
// the path.
func words(err error) string { return text.Clean(cause(err).Error(), 200) }

// cause returns a system error without the operation and the path, any other error
// unchanged.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return err
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
