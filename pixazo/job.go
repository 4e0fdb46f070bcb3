// This file holds what is known of one video request, and reads it from the
// gateway's answers, which the documents describe in more than one form.

package pixazo

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

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

// Done reports whether the job has ended, with a video or without.
func (s Status) Done() bool { return s == Completed || s.Failed() }

// Failed reports whether the job has ended without a video.
func (s Status) Failed() bool { return s == Failed || s == Errored }

// IDPrefix begins the request_id of every job of this model (API, "Output").
const IDPrefix = "heygen-video-agent_"

// Job is one video request and what the gateway has said of it. Every string
// is cleaned for showing. A time that is not known is zero.
type Job struct {
	RequestID   string
	Status      Status   // "" while nothing is known
	VideoURLs   []string // http(s) URLs, as they came
	MediaType   string
	Error       string // the gateway's words on a failure
	CreatedAt   time.Time
	UpdatedAt   time.Time
	CompletedAt time.Time

	// PollingURL is the address the gateway named for this job's status, if
	// it lies on the gateway's own origin; else "".
	PollingURL string
}

// Done reports whether the job has ended, with a video or without.
func (j Job) Done() bool { return j.Status.Done() }

// Limits on what is kept of an answer. They are far above what the gateway
// sends; past them something is wrong and the rest is left out.
const (
	maxErrorLength  = 1000 // characters
	maxStatusLength = 40
	maxURLLength    = 4096
	maxVideoURLs    = 20
)

// wireJob is the documented answer, in the loosest types that still tell its
// parts apart: one odd field must not cost the caller a paid video's URL.
type wireJob struct {
	RequestID   json.RawMessage `json:"request_id"`
	Status      json.RawMessage `json:"status"`
	PollingURL  json.RawMessage `json:"polling_url"`
	Error       json.RawMessage `json:"error"`
	Output      json.RawMessage `json:"output"`
	CreatedAt   json.RawMessage `json:"created_at"`
	UpdatedAt   json.RawMessage `json:"updated_at"`
	CompletedAt json.RawMessage `json:"completed_at"`
}

// decodeJob reads a submission's or a status answer. It fails when the body is
// not a JSON object, or names no valid request_id or no status. requestID is
// the job that was asked for, which the answer need not name again; "" if none
// was.
func decodeJob(body []byte, requestID string) (Job, error) {
	var w wireJob
	if err := json.Unmarshal(body, &w); err != nil {
		return Job{}, errors.New("the answer is not the documented JSON")
	}
	job := Job{
		RequestID:   stringOf(w.RequestID),
		Status:      Status(strings.ToUpper(text.Clean(stringOf(w.Status), maxStatusLength))),
		Error:       text.Clean(words(w.Error), maxErrorLength),
		PollingURL:  escapeURL(stringOf(w.PollingURL)),
		CreatedAt:   timestamp(w.CreatedAt),
		UpdatedAt:   timestamp(w.UpdatedAt),
		CompletedAt: timestamp(w.CompletedAt),
	}
	var output struct {
		MediaURL  json.RawMessage `json:"media_url"`
		MediaType json.RawMessage `json:"media_type"`
	}
	if json.Unmarshal(w.Output, &output) == nil {
		job.VideoURLs = videoURLs(output.MediaURL)
		job.MediaType = text.Clean(stringOf(output.MediaType), 100)
	}
	switch string(w.RequestID) {
	case "", "null", `""`:
		job.RequestID = requestID
	}
	if CheckRequestID(job.RequestID) != nil {
		// What stands there may still be what the gateway knows the job by.
		got := "nothing"
		if len(w.RequestID) > 0 {
			got = text.Clean(string(w.RequestID), 300)
		}
		return Job{}, errors.New("the answer names no valid request_id; it names " + got)
	}
	if job.Status == "" {
		return job, errors.New("the answer names no status")
	}
	return job, nil
}

// text is the JSON string in raw, or "" when raw is anything else.
func stringOf(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s)
	return s
}

// words is the text of an error field: a string, or whatever JSON stands
// there instead; "" for null.
func words(raw json.RawMessage) string {
	return text.WithoutData(rawWords(raw))
}

func rawWords(raw json.RawMessage) string {
	if s := stringOf(raw); s != "" {
		return s
	}
	switch string(raw) {
	case "", "null", `""`, "false", "{}", "[]":
		return ""
	}
	var object struct {
		Message json.RawMessage `json:"message"`
	}
	if json.Unmarshal(raw, &object) == nil && stringOf(object.Message) != "" {
		return stringOf(object.Message)
	}
	var b bytes.Buffer
	_ = json.Compact(&b, raw)
	return b.String()
}

// timestamp reads the two documented forms. The one without a zone is UTC.
func timestamp(raw json.RawMessage) time.Time {
	s := strings.TrimSpace(stringOf(raw))
	for _, layout := range []string{time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// videoURLs reads media_url, documented as an array and seen as a plain string
// on other models. What is not an http(s) URL is left out.
func videoURLs(raw json.RawMessage) []string {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		items = []json.RawMessage{raw}
	}
	var urls []string
	for _, item := range items {
		s := stringOf(item)
		u, err := url.Parse(s)
		if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" || u.User != nil {
			continue
		}
		if s = escapeURL(s); len(s) <= maxURLLength && len(urls) < maxVideoURLs {
			urls = append(urls, s)
		}
	}
	return urls
}

// escapeURL percent-encodes what must not be shown as it stands, in every part
// of the URL; url.URL.String leaves a query as it came.
func escapeURL(s string) string {
	if len(s) > maxURLLength || text.Clean(s, maxURLLength) == s && !strings.Contains(s, " ") {
		return s // too long a URL is not kept
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// IDTime is the time of creation inside a request_id that ends in a UUIDv7, as
// the documented ones do (RFC 9562, section 5.7); the zero time when there is
// none. It serves where the gateway has not said when a job was created.
func IDTime(requestID string) time.Time {
	const uuidLength = 36
	if len(requestID) < uuidLength {
		return time.Time{}
	}
	u := requestID[len(requestID)-uuidLength:]
	b, err := hex.DecodeString(strings.ReplaceAll(u, "-", ""))
	if err != nil || len(b) != 16 || u[14] != '7' {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b) >> 16)).UTC()
}
