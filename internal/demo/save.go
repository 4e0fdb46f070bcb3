// This file downloads the video and saves it under a name that was free.

package demo

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"pixazo-mcp/pixazo"
)

const maxVideoSize = 2 << 30 // bytes

// openDir makes the folder dir where it is missing, and a file in it for a
// moment, to see that it can.
func openDir(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f, name, err := createPart(root)
	if err != nil {
		_ = root.Close()
		return nil, err
	}
	_ = f.Close()
	_ = root.Remove(name)
	return root, nil
}

// createPart makes a temporary file in root.
func createPart(root *os.Root) (f *os.File, name string, err error) {
	name = ".pixazo-" + rand.Text() + ".part"
	f, err = root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	return f, name, err
}

// fileName is the name for a video without ".mp4".
func fileName(day time.Time, requestID string) string {
	return fmt.Sprintf("pixazo-%s-%s", day.Format(time.DateOnly), requestID[max(0, len(requestID)-8):])
}

// downloader fetches one video.
type downloader struct {
	client *http.Client
	limit  int64 // bytes
	screen *screen
}

func newDownloader(s *screen) downloader {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = time.Minute
	// No timeout on the whole: a large video on a slow line takes its time.
	return downloader{&http.Client{Transport: transport, CheckRedirect: checkRedirect}, maxVideoSize, s}
}

// checkRedirect keeps to checkLink, and away from this computer unless the
// download began there.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= 5 {
		return errors.New("too many redirects")
	}
	if req.URL.Scheme != "https" && !isLoopback(via[0].URL) {
		return fmt.Errorf("redirected to %s, which is not https", pixazo.Quote(req.URL.Redacted()))
	}
	return checkLink(req.URL)
}

// checkLink allows https, and http only to this computer.
func checkLink(link *url.URL) error {
	if link.Host != "" && (link.Scheme == "https" || link.Scheme == "http" && isLoopback(link)) {
		return nil
	}
	return fmt.Errorf("the address must be https; got %s", pixazo.Quote(link.Redacted()))
}

func isLoopback(link *url.URL) bool {
	host := link.Hostname()
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// save downloads link into root as base.mp4 or, when that is taken, base-2.mp4
// and so on. It returns the name and the size in bytes. After an error there
// is no file.
func (d downloader) save(ctx context.Context, link string, root *os.Root, base string) (name string, size int64, err error) {
	defer d.client.CloseIdleConnections()
	body, length, err := d.open(ctx, link)
	if err != nil {
		return "", 0, err
	}
	defer body.Close()

	file, temporary, err := createPart(root)
	if err != nil {
		return "", 0, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
			_ = root.Remove(temporary)
		}
	}()
	d.screen.line("Downloading the video.")
	meter := d.screen.measure(length)
	defer d.screen.hide()
	size, err = io.Copy(io.MultiWriter(file, meter), io.LimitReader(body, d.limit+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("download: %w", err)
	case size > d.limit:
		return "", 0, d.tooLarge()
	case size == 0:
		return "", 0, errors.New("download: the file is empty")
	}
	if err := file.Close(); err != nil {
		return "", 0, err
	}
	if name, err = reserve(root, base); err != nil {
		return "", 0, err
	}
	if err := root.Rename(temporary, name); err != nil {
		_ = root.Remove(name)
		return "", 0, err
	}
	return name, size, nil
}

// open asks for the video and sees that it is one. length is -1 when the
// server does not say it.
func (d downloader) open(ctx context.Context, link string) (body io.ReadCloser, length int64, err error) {
	address, err := url.Parse(link)
	if err != nil {
		return nil, 0, fmt.Errorf("download: the address cannot be read: %s", pixazo.Quote(link))
	}
	if err := checkLink(address); err != nil {
		return nil, 0, fmt.Errorf("download: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, 0, fmt.Errorf("download: %w", err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("download: %w", err)
	}
	defer func() {
		if err != nil {
			_ = resp.Body.Close()
		}
	}()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("download: the answer is HTTP status %d", resp.StatusCode)
	}
	if resp.ContentLength > d.limit {
		return nil, 0, d.tooLarge()
	}
	buffered := bufio.NewReader(resp.Body)
	mediaType := resp.Header.Get("Content-Type")
	// Stores that do not know the type of a file say application/octet-stream.
	if !strings.HasPrefix(strings.ToLower(mediaType), "video/") && !startsAsMP4(buffered) {
		return nil, 0, fmt.Errorf("download: not a video; its type is %s", pixazo.Quote(mediaType))
	}
	return struct {
		io.Reader
		io.Closer
	}{buffered, resp.Body}, resp.ContentLength, nil
}

func (d downloader) tooLarge() error {
	return fmt.Errorf("download: the file is larger than %d bytes", d.limit)
}

// startsAsMP4 looks for the file type box (ISO/IEC 14496-12, section 4.3).
func startsAsMP4(r *bufio.Reader) bool {
	head, _ := r.Peek(8)
	return len(head) == 8 && string(head[4:]) == "ftyp"
}

// reserve makes an empty file under the first free name. Renaming replaces
// files, but nobody else takes this one in between.
func reserve(root *os.Root, base string) (string, error) {
	for n := 1; n <= 1000; n++ {
		name := base + ".mp4"
		if n > 1 {
			name = fmt.Sprintf("%s-%d.mp4", base, n)
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		return name, f.Close()
	}
	return "", fmt.Errorf("no free name like %s.mp4", base)
}
