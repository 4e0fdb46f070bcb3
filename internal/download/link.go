// This file makes and serves links to the saved videos of a team server, whose
// users can't see its disk.

package download

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"pixazo-mcp/internal/disk"
)

const (
	linkTime    = time.Hour
	linkKeyName = ".pixazo-links" // no video can have the name
	linkKeySize = 32              // bytes
)

// Folder returns the folder below dir for an owner's videos. Its name is valid on
// every system, and no two owners have the same.
func Folder(dir, owner string) string {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(owner[:min(len(owner), 40)]))
	readable = cmp.Or(strings.Trim(readable, "-"), "everybody")
	sum := sha256.Sum256([]byte(owner))
	return filepath.Join(dir, fmt.Sprintf("%s-%x", readable, sum[:8]))
}

// LinkKey returns the key that signs links. It is in a file in dir, the folder that
// all replicas share; the first replica makes the file.
func LinkKey(dir string) ([]byte, error) {
	if err := disk.MakeFolder(dir, 0o755); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, linkKeyName)
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		key := make([]byte, linkKeySize)
		_, _ = rand.Read(key) // never fails
		unfinished := filepath.Join(dir, partPrefix+rand.Text()+partEnding)
		defer os.Remove(unfinished)
		if err := os.WriteFile(unfinished, key, 0o600); err != nil {
			return nil, err
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		if err := moveTo(root, filepath.Base(unfinished), linkKeyName); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	key, err := disk.ReadFile(name, linkKeySize)
	if err == nil && len(key) < linkKeySize {
		err = fmt.Errorf("%s must have %d bytes; remove it, and a new one is made", name, linkKeySize)
	}
	return key, err
}

// Links makes links to saved videos, and serves the videos; the server bounds the time of
// each write. A link is valid for an
// hour, and whoever has it can open it.
type Links struct {
	Origin string // of the server, as its users see it: scheme and host
	Key    []byte // of LinkKey
	Dir    string // the output folder; each owner has a folder in it

	// Find returns the owner and the saved files of the job with an id, no files if
	// there is none. Neither owner nor request_id can be told from an id.
	Find func(ctx context.Context, id string) (owner string, saved []File, err error)

	Now func() time.Time // the time by a clock that all replicas share

	Logger *slog.Logger
}

// To returns a link to a file of the owner's job with an id. It returns "" if the
// file is gone, or is not in the owner's folder.
func (l *Links) To(id, owner string, file File) string {
	if _, ok := disk.Below(Folder(l.Dir, owner), file.Path); id == "" || !ok {
		return ""
	}
	if info, err := os.Stat(file.Path); err != nil || info.Size() != file.Bytes {
		return ""
	}
	path := fmt.Sprintf("/videos/%s/%d", url.PathEscape(id), file.Video+1)
	expires := strconv.FormatInt(l.Now().Add(linkTime).Unix(), 10)
	return l.Origin + path + "?exp=" + expires + "&sig=" + l.sign(path, expires)
}

// sign returns the signature of a link. It need not cover the owner: the id in the
// path is that of one job of one owner for ever.
func (l *Links) sign(path, expires string) string {
	mac := hmac.New(sha256.New, l.Key)
	mac.Write([]byte("video link\n" + path + "\n" + expires))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ServeHTTP implements http.Handler, for paths that begin with /videos/.
func (l *Links) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const noLink = "There is no such video: the link is not whole, or the video is gone. Ask for a new one with get_status."
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "private, no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "A link is opened with GET.", http.StatusMethodNotAllowed)
		return
	}
	q := r.URL.Query()
	if !hmac.Equal([]byte(q.Get("sig")), []byte(l.sign(r.URL.EscapedPath(), q.Get("exp")))) {
		http.Error(w, noLink, http.StatusNotFound)
		return
	}
	if expires, err := strconv.ParseInt(q.Get("exp"), 10, 64); err != nil || l.Now().Unix() >= expires {
		http.Error(w, "This link has expired. Ask for a new one with get_status.", http.StatusForbidden)
		return
	}
	id, number, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/videos/"), "/")
	owner, saved, err := l.Find(r.Context(), id)
	if err != nil {
		l.Logger.Warn("a link could not be looked up", "error", err)
		h.Set("Retry-After", "10")
		http.Error(w, "The server can't look the video up just now.", http.StatusServiceUnavailable)
		return
	}
	for _, file := range saved {
		if strconv.Itoa(file.Video+1) == number && l.serve(w, r, owner, file) {
			return
		}
	}
	http.Error(w, noLink, http.StatusNotFound)
}

// serve serves a file of an owner, and reports whether it is there.
func (l *Links) serve(w http.ResponseWriter, r *http.Request, owner string, file File) bool {
	folder := Folder(l.Dir, owner)
	name, ok := disk.Below(folder, file.Path)
	if !ok {
		return false
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return false
	}
	defer root.Close()
	f, info, err := disk.OpenFile(root, name)
	if err != nil {
		return false
	}
	defer f.Close()
	if info.Size() != file.Bytes { // another video has the name now
		return false
	}
	w.Header().Set("Content-Type", cmp.Or(file.MediaType, "video/mp4"))
	w.Header().Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": filepath.Base(name)}))
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin") // for the player, in a client's page
	http.ServeContent(w, r, "", info.ModTime(), f)
	return true
}
