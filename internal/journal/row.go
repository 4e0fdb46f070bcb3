// This file holds what a row of the journal is.

package journal

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"pixazo-mcp/pixazo"
)

// State is how far a submission got.
type State string

// The states of a row. An intent whose lease has ended reads as Uncertain,
// without anybody writing that down (see columns).
const (
	Submitting State = "submitting" // the intent is written, its outcome is not known yet
	Accepted   State = "accepted"   // the gateway took it; the row has a request_id
	Refused    State = "refused"    // certainly not accepted; kept for callers that joined it
	Uncertain  State = "uncertain"  // perhaps accepted, outcome unknown
	Replaced   State = "replaced"   // was uncertain until a later submission of the same request was allowed and accepted
	Alias      State = "alias"      // accepted, but the gateway named a job that an earlier row has
	Foreign    State = "foreign"    // a job made elsewhere, first seen by its request_id
)

// Row is one submission or job. Times that are not known are zero.
type Row struct {
	ID            int64  // in the order of submission or of first sight
	Owner         string // whose it is; "" for the one person of stdio
	Account       string // of the key that it was submitted with, by hash; "" for a job made elsewhere
	State         State
	Job           pixazo.Job
	Prompt        string
	Request       string        // the other fields as pixazo.Prepared.Description gives them, JSON; "" for a foreign job
	Fingerprint   string        // of the request's normal form
	Exact         string        // of the very body that was sent
	Nonce         string        // names the submission
	SubmittedAt   time.Time     // zero for a job made elsewhere
	LastCheckedAt time.Time     // when the gateway last answered for it
	PolledAt      time.Time     // when the newest poll was begun, by whichever process
	ChangedAt     time.Time     // when its status last became another one
	Failure       *pixazo.Error // why a submission was not accepted, or is uncertain
	Saved         []SavedFile   // its files on this computer, newest first
	Save          Save
}

// Pending reports whether the row is of a job that the gateway can be asked for
// and that has not ended.
func (r Row) Pending() bool {
	switch r.State {
	case Accepted, Uncertain, Foreign:
		return r.Job.RequestID != "" && !r.Job.Done()
	}
	return false
}

// SavedFile is a video on this computer.
type SavedFile struct {
	Path      string `json:"path"`
	Bytes     int64  `json:"bytes"`
	MediaType string `json:"media_type"`
	SHA256    string `json:"sha256"`          // of the file, in hexadecimal
	Video     int    `json:"video,omitempty"` // index in Job.VideoURLs
}

// Save is what is known of saving a finished video without being asked.
type Save struct {
	Folder   string    // absolute path of the output folder; "" when it is not to be saved
	Name     string    // below Folder, set before the first download; "" until then
	Tries    int       // downloads that came to an end
	Next     time.Time // when the next try is due
	Error    string    // why the newest try failed; "" when none did
	Notify   bool      // whether a desktop notice is wanted
	Told     time.Time // when the notice was given
	Attended time.Time // until when a call waits for the job, and no notice is needed
}

// encodeMedia is what the gateway says of a finished video, as the journal keeps
// it. The addresses of the sandbox are kept without their origin, whose port is
// another one in each process.
func (j *Journal) encodeMedia(m pixazo.Media) string {
	m = j.addresses(m, func(address string) string { return strings.TrimPrefix(address, j.mediaOrigin) })
	return encode(m)
}

// absolute returns m with Options.MediaOrigin put before the addresses that the
// journal keeps without an origin.
func (j *Journal) absolute(m pixazo.Media) pixazo.Media {
	return j.addresses(m, func(address string) string {
		if strings.HasPrefix(address, "/") {
			return j.mediaOrigin + address
		}
		return address
	})
}

// addresses returns m with change made to its addresses, in the sandbox.
func (j *Journal) addresses(m pixazo.Media, change func(address string) string) pixazo.Media {
	if j.mediaOrigin == "" {
		return m
	}
	m.VideoURLs = slices.Clone(m.VideoURLs)
	for i := range m.VideoURLs {
		m.VideoURLs[i] = change(m.VideoURLs[i])
	}
	for _, address := range []*string{&m.ThumbnailURL, &m.SubtitleURL, &m.CaptionedVideoURL} {
		*address = change(*address)
	}
	return m
}

// encode returns value as JSON, "" when there is nothing in it. The values kept here
// always have a JSON form.
func encode(value any) string {
	raw, _ := json.Marshal(value)
	if kept := string(raw); kept != "null" && kept != "{}" && kept != "[]" {
		return kept
	}
	return ""
}

// decode returns what encode made a text of, the zero value if it can't be read.
func decode[T any](s string) (value T) {
	if json.Unmarshal([]byte(s), &value) != nil {
		return *new(T)
	}
	return value
}

// columns returns the columns that scan reads. An intent whose lease has ended reads
// as uncertain.
func (j *Journal) columns() string {
	return `row, owner, account, CASE WHEN ` + j.lapsed() + ` THEN 'uncertain' ELSE state END, COALESCE(request_id, ''), prompt, request,
	COALESCE(fingerprint, ''), exact, COALESCE(nonce, ''), failure, status, error, output, polling_url, saved_files,
	submitted_at, created_at, updated_at, completed_at, checked_at, polled_at, changed_at,
	save_folder, save_name, save_tries, save_next, save_error, notify, told_at, attended_until`
}

// lapsed returns the SQL condition of an intent whose lease has ended.
func (j *Journal) lapsed() string {
	return "(state = 'submitting' AND NOT " + j.leased("lease_until") + ")"
}

// leased returns the SQL condition of a row whose lease, which ends at the time in
// column, has not ended.
func (j *Journal) leased(column string) string { return leased(column, j.now()) }

// leased is Journal.leased with an expression for the time. A lease that ends far
// ahead was written under another clock and does not count.
func leased(column, now string) string {
	return fmt.Sprintf("(%[1]s > %[2]s AND %[1]s <= %[2]s + %[3]d)", column, now, maxAhead.Milliseconds())
}

func scan(from func(...any) error) (Row, error) {
	var r Row
	var failure, media, saved string
	var submitted, created, updated, completed, checked, polled, changed, next, notify, told, attended int64
	err := from(&r.ID, &r.Owner, &r.Account, &r.State, &r.Job.RequestID, &r.Prompt, &r.Request,
		&r.Fingerprint, &r.Exact, &r.Nonce, &failure, &r.Job.Status, &r.Job.Error, &media, &r.Job.PollingURL, &saved,
		&submitted, &created, &updated, &completed, &checked, &polled, &changed,
		&r.Save.Folder, &r.Save.Name, &r.Save.Tries, &next, &r.Save.Error, &notify, &told, &attended)
	if err != nil {
		return Row{}, err
	}
	// A part that can't be read costs that part, not the row: videos can be
	// asked for, and saved, again.
	r.Job.Media, r.Saved = decode[pixazo.Media](media), decode[[]SavedFile](saved)
	r.SubmittedAt, r.LastCheckedAt, r.PolledAt, r.ChangedAt = fromMilli(submitted), fromMilli(checked), fromMilli(polled), fromMilli(changed)
	r.Job.CreatedAt, r.Job.UpdatedAt, r.Job.CompletedAt = fromMilli(created), fromMilli(updated), fromMilli(completed)
	r.Save.Next, r.Save.Notify, r.Save.Told = fromMilli(next), notify != 0, fromMilli(told)
	r.Save.Attended = fromMilli(attended)
	r.Failure = decodeFailure(failure, r.Job.RequestID)
	return r, nil
}

// encodeFailure keeps of an error what a later reader needs.
func encodeFailure(e *pixazo.Error) string {
	if e == nil {
		return ""
	}
	return encode(pixazo.Error{Code: e.Code, Message: e.Message})
}

func decodeFailure(s, requestID string) *pixazo.Error {
	if s == "" {
		return nil
	}
	e := decode[pixazo.Error](s)
	if e.Code == "" {
		e = pixazo.Error{Code: pixazo.GatewayError, Message: "the reason was not kept"}
	}
	e.RequestID = requestID
	return &e
}

// Times are kept as Unix milliseconds, 0 when they are not known.

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
