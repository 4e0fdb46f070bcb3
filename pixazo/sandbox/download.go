// This file serves the videos, and holds the answers of scripts that make trouble with
// them.

package sandbox

import (
	"bytes"
	_ "embed"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strconv"
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

// Media types.
const (
	videoType = "video/mp4"
	jsonType  = "application/json"
	htmlType  = "text/html; charset=utf-8"
	xmlType   = "application/xml" // of errors of object stores
)

//go:embed media/preview.gif
var preview []byte

//go:embed media/landscape.mp4
var landscapeVideo []byte

//go:embed media/portrait.mp4
var portraitVideo []byte

// links returns the media URLs of the job in a status answer that is given at the time
// now. When a link expires is part of it, so that every process decides alike.
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

func (s *Sandbox) media(w http.ResponseWriter, r *http.Request) {
	// Like public buckets, lets pages of any origin, sandboxed frames included, show
	// the video.
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")

	j, ok := parseID(r.PathValue("id"))
	output := j.status(time.Now(), "").Output
	if !ok || output == nil {
		writeError(w, http.StatusNotFound, "no such video")
		return
	}
	script, ended := j.script(), j.created.Add(j.duration)
	file := "/" + r.PathValue("file")
	extra := output.extras != nil
	expires, _ := strconv.ParseInt(r.URL.Query().Get("expires"), 10, 64)
	switch {
	case file == previewFile && extra:
		serve(w, r, "image/gif", preview, ended)
	case file == captionsFile && extra:
		serve(w, r, "application/x-subrip", []byte(captions), ended)
	case file != mediaFile && (file != secondFile || !script.twoVideos):
		writeError(w, http.StatusNotFound, "no such file")
	case script.linkLife > 0 && time.Now().UnixMilli() >= expires: // also a link without a time, as stores refuse one without its signature
		write(w, http.StatusForbidden, xmlType, []byte(expired))
	default:
		video := landscapeVideo
		if j.portrait != (file == secondFile) { // the second video has the other orientation
			video = portraitVideo
		}
		if script.when == atDownload {
			script.answer(script, s, w, r, video)
			return
		}
		serve(w, r, videoType, video, ended)
	}
}

// serve answers with a file, or the requested part of it. With a zero time in changed the
// client can only tell by the ETag whether it is still the same.
func serve(w http.ResponseWriter, r *http.Request, mediaType string, file []byte, changed time.Time) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("ETag", fmt.Sprintf(`"%08x"`, crc32.ChecksumIEEE(file)))
	http.ServeContent(w, r, "", changed, bytes.NewReader(file))
}

// dropEachThird drops the connection after each third of the video. A client that
// resumes has all of it with its third request.
func dropEachThird(_ Script, _ *Sandbox, w http.ResponseWriter, r *http.Request, video []byte) {
	serve(cut(w, (len(video)+2)/3), r, videoType, video, time.Time{})
}

// dropHalfway ignores Range: each answer begins with the first byte and is dropped in the
// middle.
func dropHalfway(_ Script, _ *Sandbox, w http.ResponseWriter, r *http.Request, video []byte) {
	w.Header().Set("Content-Type", videoType)
	w.Header().Set("Content-Length", strconv.Itoa(len(video)))
	w.Header().Set("Accept-Ranges", "none")
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = cut(w, len(video)/2).Write(video)
	}
}

// trickle takes script.delay to send the whole video, and a proportionate time for a part of it.
func trickle(script Script, s *Sandbox, w http.ResponseWriter, r *http.Request, video []byte) {
	serve(pieces{w, len(video)/50 + 1, func(n int) {
		s.pause(r, script.delay*time.Duration(n)/time.Duration(len(video)))
	}}, r, videoType, video, time.Time{})
}

// cut returns a ResponseWriter that drops the connection after n bytes of the body, if the
// first write has as many.
func cut(w http.ResponseWriter, n int) http.ResponseWriter {
	left := n
	return pieces{w, n, func(n int) {
		if left -= n; left < 0 {
			panic(http.ErrAbortHandler)
		}
	}}
}

// pieces is a ResponseWriter that sends the body in pieces of at most size bytes, and calls
// before with the length of each.
type pieces struct {
	http.ResponseWriter
	size   int
	before func(n int)
}

// Write sends data piece by piece, and stops at the first error.
func (p pieces) Write(data []byte) (written int, err error) {
	for piece := range slices.Chunk(data, p.size) {
		p.before(len(piece))
		n, err := p.ResponseWriter.Write(piece)
		written += n
		if err != nil {
			return written, err
		}
		_ = http.NewResponseController(p.ResponseWriter).Flush() // also before a panic, which discards what net/http has buffered
	}
	return written, nil
}
