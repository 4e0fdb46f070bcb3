// This file holds what is known of one video request, and reads it from the
// gateway's answers, which the documents describe in more than one form.

package pixazo

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"

	"pixazo-mcp/internal/text"
)

// Status is the gateway's word for where a job stands, in upper case. Words
// beside the documented ones are kept as they came: a paid job stands behind
// them.
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

// Job is one video request and what the gateway has said of it. Every string
// is cleaned for showing. What is not known is zero.
type Job struct {
	RequestID   string
	Status      Status // "" while nothing is known
	Error       string // the gateway's words on a failure
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CompletedAt time.Time
	Media

	// PollingURL is the address the gateway named for this job's status, if
	// it lies on the gateway's own origin; else "".
	PollingURL string
}

// Media is what is known of a finished video, as it is kept and shown. From
// DurationSeconds on it is what HeyGen adds, where the gateway passes it on; those
// URLs are https, or on the gateway's own origin.
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

// Failure is the error of a job that ended without a video.
func (j Job) Failure() error {
	said := "the gateway gave no reason"
	if j.Error != "" {
		said = "the gateway said: " + text.Said(j.Error)
	}
	return &Error{Code: VideoFailed, RequestID: j.RequestID, Message: fmt.Sprintf("the job ended with status %s; %s", j.Status, said)}
}

// Limits on what is kept of an answer. They are far above what the gateway
// sends; past them something is wrong and the rest is left out.
const (
	maxErrorLength  = 1000 // characters
	maxStatusLength = 40
	maxIDLength     = 200
	maxURLLength    = 4096
	maxVideoURLs    = 20
)

// decode reads a submission's or a status answer, in the loosest types: one odd
// field must not cost the caller a paid video's URL. It fails when the body is
// not a JSON object, or names no valid request_id or no status. requestID is the
// job that was asked for, which the answer need not name again; "" if none was, and
// then the end of the polling_url may name it.
func (c *Client) decode(a answer, requestID string) (Job, error) {
	var body map[string]any
	if err := json.Unmarshal(a.body, &body); err != nil {
		return Job{}, errors.New("the answer is not the documented JSON")
	}
	output, _ := body["output"].(map[string]any)
	job := Job{
		Status:      a.statusWord(body["status"]),
		CreatedAt:   timestamp(body["created_at"]),
		UpdatedAt:   timestamp(body["updated_at"]),
		CompletedAt: timestamp(body["completed_at"]),
		Media: Media{
			VideoURLs:         a.videoURLs(output["media_url"]),
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
	if job.Status.Failed() { // else the other fields may say how it goes on
		said = join(sayings(body), "; ", sayings(output))
	}
	job.Error = a.shown(said, maxErrorLength)

	job.RequestID, _ = body["request_id"].(string)
	if body["request_id"] == nil || body["request_id"] == "" {
		job.RequestID = requestID
		if named := path.Base(job.PollingURL); requestID == "" && namesOurModel(named) {
			job.RequestID = named
		}
	}
	if CheckRequestID(job.RequestID) != nil || a.key.Clean(job.RequestID, maxIDLength) != job.RequestID {
		// What stands there may still be what the gateway knows the job by.
		got := "nothing"
		if named := wordsOf(body["request_id"]); named != "" {
			got = text.Said(a.key.Clean(named, 300))
		}
		return Job{}, errors.New("the answer names no valid request_id; it names " + got)
	}
	if job.Status == "" {
		return job, errors.New("the answer names no status")
	}
	return job, nil
}

// statusWord keeps letters, digits and spaces of a status, since it is shown
// without quotation marks. A space takes the place of anything else: what stood on
// both sides of it may be the key, which is looked for again.
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

// mediaType is a type and subtype, "" for anything else.
func (a answer) mediaType(value any) string {
	s, _ := value.(string)
	kind, _, err := mime.ParseMediaType(a.key.Clean(s, 100))
	if err != nil || !strings.Contains(kind, "/") {
		return ""
	}
	return kind
}

// seconds reads a duration in seconds, a number or one in a string; 0 when it is
// neither, or not of a video.
func seconds(value any) float64 {
	n, err := strconv.ParseFloat(wordsOf(value), 64)
	if err != nil || !(n > 0 && n < 24*60*60) {
		return 0
	}
	return n
}

// timestamp reads the two documented forms. The one without a zone is UTC.
func timestamp(value any) time.Time {
	s, _ := value.(string)
	for _, layout := range []string{time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// videoURLs reads media_url, documented as an array and seen as a plain string
// on other models. What is not an http(s) URL is left out.
func (a answer) videoURLs(value any) []string {
	items, ok := value.([]any)
	if !ok {
		items = []any{value}
	}
	var urls []string
	for _, item := range items {
		if u := a.escapedURL(item); u != "" && len(urls) < maxVideoURLs {
			urls = append(urls, u)
		}
	}
	return urls
}

// extraURL is a URL that is https, or on the gateway's own origin, as the
// sandbox's is; "" for anything else.
func (c *Client) extraURL(a answer, value any) string {
	s := a.escapedURL(value)
	if strings.HasPrefix(strings.ToLower(s), "https://") || c.isOwn(s) {
		return s
	}
	return ""
}

// escapedURL is an http(s) URL with what is not printable ASCII percent-encoded
// in every part of it; url.URL.String leaves a query as it came.
// It is "" for anything else, and for one too long to be kept.
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

var notPrintable = text.Pattern(`[^!-~]+`) // as ASCII

// IDTime is the time of creation inside a request_id that ends in a UUIDv7, as
// the documented ones do (RFC 9562, section 5.7); the zero time when there is
// none. It serves where the gateway has not said when a job was created.
func IDTime(requestID string) time.Time {
	u := requestID[max(len(requestID)-len("00000000-0000-7000-8000-000000000000"), 0):]
	b, err := hex.DecodeString(strings.ReplaceAll(u, "-", ""))
	if err != nil || len(b) != 16 || u[14] != '7' {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) >> 16)).UTC()
}
