// This file defines the rows of the journal, and how they are encoded.

package journal

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"pixazo-mcp/internal/disk"
	"pixazo-mcp/pixazo"
)

// State is how far a submission got.
type State string

// The states of a row. An intent whose lease has ended reads as Uncertain,
// without anybody writing that down (see columns).
const (
	Submitting State = "submitting" // the intent is written, its outcome is not known yet
	Accepted   State = "accepted"   // the gateway took it; the row has a request_id
	Refused    State = "refused"    // certainly not accepted; kept for callers that wait for its outcome
	Uncertain  State = "uncertain"  // perhaps accepted, outcome unknown
	Replaced   State = "replaced"   // was uncertain until a later submission of the same request was allowed and accepted
	Alias      State = "alias"      // accepted, but the gateway named a job that an earlier row has
	Foreign    State = "foreign"    // a job made elsewhere, first seen by its request_id
)

// Row is one submission or job. Times that are not known are zero.
type Row struct {
	ID            int64  // in the order of submission or of first sight
	Owner         string // "" for the only user of a server over stdio
	Account       string // hash of the key that it was submitted with; "" for a job made elsewhere
	State         State
	Job           pixazo.Job
	Prompt        string
	Request       string        // the other fields as pixazo.Prepared.Description gives them, JSON; "" for a foreign job
	Fingerprint   string        // hash of the request's normal form
	Exact         string        // hash of the body that was sent
	Nonce         string        // random name of the submission
	SubmittedAt   time.Time     // zero for a job made elsewhere
	LastCheckedAt time.Time     // when the gateway last answered for it
	PolledAt      time.Time     // when the newest poll began, in any process
	ChangedAt     time.Time     // when its state, status or saved files last changed
	Failure       *pixazo.Error // why a submission was not accepted, or is uncertain
	Saved         []SavedFile   // its files on this computer, newest first
	Save          Save
}

// Pending reports whether the row has a request_id, so that the gateway can be asked
// for the job, and the job has not ended.
func (r Row) Pending() bool {
	switch r.State {
	case Accepted, Uncertain, Foreign:
		return r.Job.RequestID != "" && !r.Job.Done()
	}
	return false
}

// ToSave reports whether the row's video is to be saved automatically, now or later.
func (r Row) ToSave() bool {
	return r.Job.Status == pixazo.Completed && r.Save.Folder != "" && len(r.Saved) == 0 && r.Save.Tries < MaxSaves
}

// SavedFile is a video on this computer.
type SavedFile = disk.Video

// Save is the state of the automatic save of a finished video, and of its notice.
type Save struct {
	Folder   string    // absolute path of the output folder; "" when the video is not to be saved
	Name     string    // of the file below Folder; "" before the first download
	Tries    int       // downloads that ended, in success or failure
	Next     time.Time // when the next try is due
	Error    string    // why the newest try failed; "" if it did not
	Notify   bool      // whether a desktop notice is wanted
	Told     time.Time // when the notice was shown
	Attended time.Time // until when a call waits for the job, so that no notice is needed
}

// encodeMedia returns m as the journal stores it. Addresses at Options.MediaOrigin are
// stored without it, since the sandbox has another port in each process. For the gateway
// that option is empty, and all addresses are stored whole.
func (j *Journal) encodeMedia(m pixazo.Media) string {
	return strings.ReplaceAll(encode(m), `"`+j.mediaOrigin+`/`, `"/`)
}

// decodeMedia returns what encodeMedia encoded, with Options.MediaOrigin put before the
// addresses that are stored without an origin.
func (j *Journal) decodeMedia(s string) pixazo.Media {
	return decode[pixazo.Media](strings.ReplaceAll(s, `"/`, `"`+j.mediaOrigin+`/`))
}

// encode returns value as JSON, "" for an empty one. The types that are stored here
// always have a JSON form.
func encode(value any) string {
	raw, _ := json.Marshal(value)
	if kept := string(raw); kept != "null" && kept != "{}" && kept != "[]" {
		return kept
	}
	return ""
}

// decode returns the value that encode encoded, the zero value if s can't be read.
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

// lapsed returns an SQL condition: the row is an intent whose lease has ended.
func (j *Journal) lapsed() string {
	return "(state = 'submitting' AND NOT " + j.leased("lease_until") + ")"
}

// leased returns an SQL condition: the lease that ends at the time in column has not
// ended.
func (j *Journal) leased(column string) string { return leased(column, j.now()) }

// leased is Journal.leased with an expression for the present time. A lease that ends
// far ahead was written under another clock and does not count.
func leased(column, now string) string {
	return fmt.Sprintf("(%[1]s > %[2]s AND %[1]s <= %[2]s + %[3]d)", column, now, maxAhead.Milliseconds())
}

// scan reads a row that has the columns of Journal.columns.
func (j *Journal) scan(from func(...any) error) (Row, error) {
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
	// If media or files can't be decoded, they are left out and the row is returned
	// all the same: the gateway can be asked again, and videos can be saved again.
	r.Job.Media, r.Saved = j.decodeMedia(media), decode[[]SavedFile](saved)
	r.SubmittedAt, r.LastCheckedAt, r.PolledAt, r.ChangedAt = fromMilli(submitted), fromMilli(checked), fromMilli(polled), fromMilli(changed)
	r.Job.CreatedAt, r.Job.UpdatedAt, r.Job.CompletedAt = fromMilli(created), fromMilli(updated), fromMilli(completed)
	r.Save.Next, r.Save.Notify, r.Save.Told = fromMilli(next), notify != 0, fromMilli(told)
	r.Save.Attended = fromMilli(attended)
	r.Failure = decodeFailure(failure, r.Job.RequestID)
	return r, nil
}

// encodeFailure returns the code and the message of an error as stored; "" for nil.
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

// Times are stored as Unix milliseconds, 0 when they are not known.

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
