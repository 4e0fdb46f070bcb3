// This file holds what is known of a job, and reads it from the gateway's answers, for
// which the documents show more than one form.

package pixazo

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"pixazo-mcp/internal/text"
)

// Status is the gateway's word for the state of a job, in upper case. A word that is not
// documented is kept, since the job is paid for and may go on.
type Status string

// The statuses that the documents name.
const (
	Queued     Status = "QUEUED"
	Processing Status = "PROCESSING"
	Completed  Status = "COMPLETED"
	Failed     Status = "FAILED"
	Errored    Status = "ERROR"
)

// Failed reports whether the job has ended without a video.
func (s Status) Failed() bool { return s == Failed || s == Errored }

// IDPrefix begins the request_id of every job of this model (API, "Output").
const IDPrefix = "heygen-video-agent_"

// Job is what the gateway has said of one video request. Every string is cleaned. What
// is not known is zero.
type Job struct {
	RequestID   string
	Status      Status // "" while nothing is known
	Error       string // the gateway's words on a failure
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CompletedAt time.Time
	Media

	// PollingURL is the address that the gateway named for this job's status, "" unless
	// it has the gateway's origin.
	PollingURL string
}

// Media is what is known of a finished video, in the form in which it is stored and
// shown. DurationSeconds and the fields behind it come from HeyGen, if the gateway
// passes them on; their URLs are https or have the gateway's origin.
type Media struct {
	VideoURLs         []string `json:"video_urls,omitempty" jsonschema_description:"Where the finished video is, as the gateway last said. Links expire: get_status names fresh ones."`
	MediaType         string   `json:"media_type,omitempty"`
	DurationSeconds   float64  `json:"duration_seconds,omitempty" jsonschema_description:"Length of the video."`
	ThumbnailURL      string   `json:"thumbnail_url,omitempty"`
	SubtitleURL       string   `json:"subtitle_url,omitempty"`
	CaptionedVideoURL string   `json:"captioned_video_url,omitempty"`
}

// Done reports whether the job has ended, with a video or without.
func (j Job) Done() bool { return j.Status == Completed || j.Status.Failed() }

// Failure returns the error of a job that ended without a video.
func (j Job) Failure() error {
	said := "the gateway gave no reason"
	if j.Error != "" {
		said = "the gateway said: " + text.QuoteCleaned(j.Error)
	}
	return &Error{Code: VideoFailed, RequestID: j.RequestID, Message: fmt.Sprintf("the job ended with status %s; %s", j.Status, said)}
}

// Limits on what is kept of an answer. They are far above what the gateway sends. What
// exceeds them is left out.
const (
	maxErrorLength  = 1000 // characters
	maxStatusLength = 40
	maxIDLength     = 200
	maxURLLength    = 4096
	maxVideoURLs    = 20
)

// decode reads the answer to a submission or a status request. It leaves out fields of
// an unexpected type, so that they don't cost the caller a paid video's URL. It fails
// when the body is not a JSON object, or names no valid request_id or no status; in the
// last case it also returns the job. requestID is the job that was asked for, which the
// answer need not repeat; with "" the end of polling_url may name the job instead.
func (c *Client) decode(a answer, requestID string) (Job, error) {
	var body map[string]any
	if err := decodeJSON(a.body, &body); err != nil {
		return Job{}, errors.New("the answer is not the documented JSON")
	}
	output, _ := body["output"].(map[string]any)
	job := Job{
		Status:      a.statusWord(body["status"]),
		CreatedAt:   timestamp(body["created_at"]),
		UpdatedAt:   timestamp(body["updated_at"]),
		CompletedAt: timestamp(body["completed_at"]),
		Media: Media{
			VideoURLs:         a.videoURLs(body["output"]),
			MediaType:         a.mediaType(output["media_type"]),
			DurationSeconds:   seconds(output["duration"]),
			ThumbnailURL:      c.extraURL(a, output["thumbnail_url"]),
			SubtitleURL:       c.extraURL(a, output["subtitle_url"]),
			CaptionedVideoURL: c.extraURL(a, output["captioned_video_url"]),
		},
	}
	if address := a.escapedURL(body["polling_url"]); c.isOwn(address) {
		job.PollingURL = address
	}
	said := wordsOf(body["error"])
	if job.Status.Failed() { // the other fields of a job that has not failed may be no errors
		said = join(sayings(body), "; ", sayings(output))
	}
	job.Error = a.shown(said, maxErrorLength)

	job.RequestID, _ = body["request_id"].(string)
	if id := strings.TrimSpace(job.RequestID); namesOurModel(id) {
		job.RequestID = id
	}
	if body["request_id"] == nil || body["request_id"] == "" {
		job.RequestID = cmp.Or(requestID, idAtEnd(job.PollingURL))
	} else if named := a.namedID(); requestID == "" && !namesOurModel(job.RequestID) && namesOurModel(named) {
		job.RequestID = named // the other one is a proxy's
	}
	if CheckRequestID(job.RequestID) != nil || a.key.Clean(job.RequestID, maxIDLength) != job.RequestID {
		// The error shows it all the same: it may be what the gateway knows the job by.
		got := "nothing"
		if named := wordsOf(body["request_id"]); named != "" {
			got = text.QuoteCleaned(a.key.Clean(named, 300))
		}
		return Job{}, errors.New("the answer names no valid request_id; it names " + got)
	}
	if job.Status == "" {
		return job, errors.New("the answer names no status")
	}
	return job, nil
}

// statusWord returns a status in upper case with a space in place of everything but
// letters, digits, _ and -, since it is shown without quotation marks. It hides the key
// once more at the end, since that may have been spelled with the characters replaced.
func (a answer) statusWord(value any) Status {
	s, _ := value.(string)
	word := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-", r) {
			return unicode.ToUpper(r)
		}
		return ' '
	}, a.key.Clean(s, maxErrorLength))
	return Status(a.key.Clean(word, maxStatusLength))
}

// mediaType returns the type and subtype that value holds, "" if none.
func (a answer) mediaType(value any) string {
	s, _ := value.(string)
	kind, _, err := mime.ParseMediaType(a.key.Clean(s, 100))
	if err != nil || !strings.Contains(kind, "/") {
		return ""
	}
	return kind
}

// seconds reads a duration in seconds, a number or a string. It returns 0 for anything
// else, and for what can't be the length of a video.
func seconds(value any) float64 {
	n, err := strconv.ParseFloat(wordsOf(value), 64)
	if err != nil || !(n > 0 && n < 24*60*60) {
		return 0
	}
	return n
}

// timestamp reads a time in the two documented forms; the one without a zone is UTC. It
// returns the zero time for anything else.
func timestamp(value any) time.Time {
	s, _ := value.(string)
	for _, layout := range []string{time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// videoURLs returns the http(s) URLs of an output: its media_url, documented as an
// array and seen as a plain string on other models. Each may be an object with a url
// as well, and so may the output itself, or a list of outputs.
func (a answer) videoURLs(value any) (urls []string) {
	switch v := value.(type) {
	case string:
		if u := a.escapedURL(v); u != "" {
			urls = []string{u}
		}
	case []any:
		for _, item := range v {
			urls = append(urls, a.videoURLs(item)...)
		}
	case map[string]any:
		if urls = a.videoURLs(v["media_url"]); len(urls) == 0 {
			urls = a.videoURLs(v["url"])
		}
	}
	return urls[:min(len(urls), maxVideoURLs)]
}

// extraURL returns a URL that is https, or has the gateway's origin, as the sandbox's
// do; "" for anything else.
func (c *Client) extraURL(a answer, value any) string {
	s := a.escapedURL(value)
	if strings.HasPrefix(strings.ToLower(s), "https://") || c.isOwn(s) {
		return s
	}
	return ""
}

// escapedURL returns an http(s) URL with everything but printable ASCII percent-encoded,
// also in the query, which url.URL.String leaves alone. It returns "" for anything else,
// and for a URL that is too long.
func (a answer) escapedURL(value any) string {
	s, _ := value.(string)
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil || len(s) > maxURLLength {
		return ""
	}
	if s = notPrintable().ReplaceAllStringFunc(s, url.PathEscape); len(s) > maxURLLength {
		return ""
	}
	return a.key.Clean(s, maxURLLength)
}

var notPrintable = text.Pattern(`[^!-~]+`)

// IDTime returns the time of creation that a request_id contains if it ends in a UUIDv7
// (RFC 9562, section 5.7), as the documented ones do; else the zero time. It is used
// where the gateway has not said when a job was created.
func IDTime(requestID string) time.Time {
	u := requestID[max(len(requestID)-len("00000000-0000-7000-8000-000000000000"), 0):]
	b, err := hex.DecodeString(strings.ReplaceAll(u, "-", ""))
	if err != nil || len(b) != 16 || u[14] != '7' {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) >> 16)).UTC()
}
