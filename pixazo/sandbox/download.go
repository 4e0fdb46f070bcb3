// This file serves the videos, and holds the answers of scripts that make trouble with
// them.

package sandbox

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	mediaPath    = "/media/"
	mediaFile    = "/output.mp4"
	secondFile   = "/output-2.mp4" // only where a script makes two videos
	previewFile  = "/preview.gif"  // only where a script has extras
	captionsFile = "/captions.srt" // likewise
)

const captions = "1\n00:00:00,000 --> 00:00:05,000\nThis is a video of the sandbox.\n"

//go:embed media/preview.gif
var preview []byte

//go:embed media/landscape.mp4
var landscapeVideo []byte

//go:embed media/portrait.mp4
var portraitVideo []byte

// links returns the media URLs of the job in a status answer that is given at the time
// now.
func (j job) links(now time.Time, origin string) []string {
	script := j.script()
	query := ""
	if script.linkLife > 0 {
		query = fmt.Sprintf("?expires=%d", now.Add(script.linkLife).UnixMilli())
	}
	list := []string{origin + mediaPath + j.id() + mediaFile + query}
	if script.twoVideos {
		list = append(list, origin+mediaPath+j.id()+secondFile+query)
	}
	return list
}

// expired reports whether the link of a request has expired. The time is part of the
// link, so that every process decides alike. A link without a time counts as expired,
// as stores refuse a signed link without its signature.
func expired(r *http.Request) bool {
	ms, err := strconv.ParseInt(r.URL.Query().Get("expires"), 10, 64)
	return err != nil || time.Now().UnixMilli() >= ms
}

func (s *Sandbox) media(w http.ResponseWriter, r *http.Request) {
	// Like public buckets, lets pages of any origin, sandboxed frames included, show
	// the video.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")

	j, ok := parseID(r.PathValue("id"))
	output := j.status(time.Now(), "").Output
	if !ok || output == nil {
		writeError(w, http.StatusNotFound, errors.New("no such video"))
		return
	}
	script, ended := j.script(), j.created.Add(j.duration)
	file := "/" + r.PathValue("file")
	switch {
	case file == mediaFile, file == secondFile && script.twoVideos:
	case file == previewFile && output.extras != nil:
		http.ServeContent(w, r, file, ended, bytes.NewReader(preview))
		return
	case file == captionsFile && output.extras != nil:
		w.Header().Set("Content-Type", "application/x-subrip")
		http.ServeContent(w, r, file, ended, strings.NewReader(captions))
		return
	default:
		writeError(w, http.StatusNotFound, errors.New("no such file"))
		return
	}
	if script.linkLife > 0 && expired(r) {
		writeStoreError(w, http.StatusForbidden, "AccessDenied", "Request has expired")
		return
	}
	video := landscapeVideo
	if j.portrait != (file == secondFile) { // the second video has the other orientation
		video = portraitVideo
	}
	if script.when == atDownload {
		script.answer(script, s, w, r, video)
		return
	}
	serveVideo(w, r, video, ended)
}

// serveVideo answers with the video, or the requested part of it. With a zero time in
// changed the client can only tell by the ETag whether the video is still the same.
func serveVideo(w http.ResponseWriter, r *http.Request, video []byte, changed time.Time) {
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("ETag", fmt.Sprintf(`"%08x"`, crc32.ChecksumIEEE(video)))
	http.ServeContent(w, r, "", changed, bytes.NewReader(video))
}

// writeStoreError answers with an error in XML, as S3 and other object stores do.
func writeStoreError(w http.ResponseWriter, code int, name, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(code)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message></Error>\n", name, message)
}

func gone(_ Script, _ *Sandbox, w http.ResponseWriter, _ *http.Request, _ []byte) {
	writeStoreError(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
}

func empty(_ Script, _ *Sandbox, w http.ResponseWriter, _ *http.Request, _ []byte) {
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusOK)
}

// dropEachThird drops the connection after each third of the video. A client that
// resumes has all of it with its third request.
func dropEachThird(_ Script, _ *Sandbox, w http.ResponseWriter, r *http.Request, video []byte) {
	serveVideo(cut(w, (len(video)+2)/3), r, video, time.Time{})
}

// dropHalfway ignores Range: each answer begins with the first byte and is dropped in the
// middle.
func dropHalfway(_ Script, _ *Sandbox, w http.ResponseWriter, r *http.Request, video []byte) {
	w.Header().Set("Content-Type", "video/mp4")
	w.Header().Set("Content-Length", strconv.Itoa(len(video)))
	w.Header().Set("Accept-Ranges", "none")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = cut(w, len(video)/2).Write(video)
	}
}

// trickle takes script.delay to send the whole video, and a proportionate time for a part of it.
func trickle(script Script, s *Sandbox, w http.ResponseWriter, r *http.Request, video []byte) {
	slowly := func(data []byte) (written int, err error) {
		for piece := range slices.Chunk(data, len(video)/50+1) {
			s.pause(r, script.delay*time.Duration(len(piece))/time.Duration(len(video)))
			n, err := w.Write(piece)
			written += n
			if err != nil {
				return written, err
			}
			_ = http.NewResponseController(w).Flush()
		}
		return written, nil
	}
	serveVideo(bodyWriter{w, slowly}, r, video, time.Time{})
}

// cut returns a ResponseWriter that drops the connection after n bytes of the body.
func cut(w http.ResponseWriter, n int) http.ResponseWriter {
	return bodyWriter{w, func(data []byte) (int, error) {
		if len(data) <= n {
			n -= len(data)
			return w.Write(data)
		}
		_, _ = w.Write(data[:n])
		_ = http.NewResponseController(w).Flush() // else the panic discards what net/http has buffered
		panic(http.ErrAbortHandler)
	}}
}

// bodyWriter is a ResponseWriter whose body is written by write.
type bodyWriter struct {
	http.ResponseWriter
	write func(data []byte) (int, error)
}

func (b bodyWriter) Write(data []byte) (int, error) { return b.write(data) }
