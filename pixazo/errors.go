// This file holds the errors of this project and their codes.

package pixazo

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"pixazo-mcp/internal/text"
)

// Code names a kind of failure. The codes are part of the tools' contract: a
// model reads them at the start of an error result.
type Code string

// The codes; for their meaning see Codes.
const (
	InvalidArgument     Code = "invalid_argument"
	MissingAPIKey       Code = "missing_api_key"
	Unauthorized        Code = "unauthorized"
	OutOfCredits        Code = "out_of_credits"
	NotFound            Code = "not_found"
	RateLimited         Code = "rate_limited"
	GatewayError        Code = "gateway_error"
	GatewayUnreachable  Code = "gateway_unreachable"
	BadResponse         Code = "bad_response"
	SubmissionUncertain Code = "submission_uncertain"
	DuplicateUncertain  Code = "duplicate_uncertain"
	LimitReached        Code = "limit_reached"
	JournalUnavailable  Code = "journal_unavailable"
	VideoFailed         Code = "video_failed"
	NotReady            Code = "not_ready"
	FileRefused         Code = "file_refused"
	DownloadFailed      Code = "download_failed"
	NotConfirmed        Code = "not_confirmed"
	Cancelled           Code = "cancelled"
)

// CodeInfo explains a code.
type CodeInfo struct {
	Code    Code
	Meaning string // what happened: a sentence in lower case without a full stop
	Advice  string // what to do: whole sentences, for a model that speaks to a user

	// Charged says whether a video may have been charged when a submission ends with
	// the code: "no", "maybe", or "earlier" if an earlier submission of the same
	// request may have been. It is "" for a code that no submission ends with.
	Charged string
}

// Codes explains every code. The README's table, the troubleshooting guide and the
// advice in results are made from it, in this order.
var Codes = []CodeInfo{
	{InvalidArgument, "an argument breaks a rule, ours or the gateway's; the message names it, the rule and what came", "Correct it and call again.", "no"},
	{MissingAPIKey, "there is no API key, or none that can be used", "Ask the user to put a key where the message says; keys are made at " + KeyURL + ". To try everything without a key and without cost, start the server with --sandbox.", "no"},
	{Unauthorized, "the gateway refused the API key", "Ask the user to check the key, or to make a new one at " + KeyURL + ", and call again then.", "no"},
	{OutOfCredits, "the account has no credits left", "Ask the user to add credits at " + CreditsURL + ", and call again once they say that they did.", "no"},
	{NotFound, "the gateway does not know the request_id", "Check that the request_id is exactly as it was answered, and that this server uses the same account and gateway. It is no reason to call generate_video again.", ""},
	{RateLimited, "too many requests, also after waiting as the gateway asked", "Call again in a minute.", "no"},
	{GatewayUnreachable, "no connection to the gateway, or no answer in time", "Call again in a minute; if it stays so, ask the user to check the network.", "no"},
	{GatewayError, "the gateway failed, or something else is at its address", "Call again in a minute; if the message speaks of the address, ask the user to check --gateway-url (PIXAZO_GATEWAY_URL).", "no"},
	{BadResponse, "a status answer that can't be read", "Call again in a minute.", ""},
	{SubmissionUncertain, "the request was sent and its outcome is unknown: it may have been accepted", "Do not call generate_video again before that is settled. With a request_id, it was very likely accepted: call get_status. Without one, ask the user to look at " + CreditsURL + " in a few minutes: if the video is there, call get_status with its request_id. If it is not there, call generate_video as before with allow_duplicate: true.", "maybe"},
	{DuplicateUncertain, "the same request was sent before and its outcome is unknown", "With a request_id, call get_status. Without one, ask the user to look at " + CreditsURL + ": if the video is there, call get_status with its request_id; only if not, call generate_video with allow_duplicate: true, which may pay for it a second time.", "earlier"},
	{LimitReached, "the limit on videos is reached; the message says when the next one is possible", "Tell the user: they can wait, or raise --max-videos-per-hour or --max-videos-per-day.", "no"},
	{JournalUnavailable, "the journal can't be used, so nothing is submitted: a video that is not in it could be paid for twice", "Ask the user to mend the state directory (disk space, permissions), or to set --state-dir (PIXAZO_STATE_DIR) to another one. get_status and wait_for_video go on working.", "no"},
	{VideoFailed, "the job ended without a video; the gateway's words say why", "Tell the user why and let them decide. Another generate_video is another charge.", "maybe"},
	{NotReady, "the video is not finished yet; the message has its status", "Call wait_for_video, then call again.", ""},
	{FileRefused, "a local file that may not be read or written; the message names the setting that would allow it", "Correct it, or leave the file out, and call again. Only the user can open a folder, in this server's settings.", "no"},
	{DownloadFailed, "the finished video could not be saved; the message says why", "Call get_status and show the user its video_urls; call download_video again once the cause is mended, or in a few minutes.", ""},
	{NotConfirmed, "with --confirm-spend the user is asked before each video, and has not said yes", "Tell the user. Call again only if they want the video after all; where the client shows no question, it takes another client, or a server that was not told to ask.", "no"},
	{Cancelled, "the call was given up before anything was submitted, or the server is ending", "Call again if it is still wanted.", "no"},
}

// Info returns the entry of Codes for c; for an unknown code one without explanation.
func (c Code) Info() CodeInfo {
	for _, info := range Codes {
		if info.Code == c {
			return info
		}
	}
	return CodeInfo{Code: c}
}

// Error is an error with a code and a message that can be shown. The methods of Client
// return all their errors in this form.
type Error struct {
	Code       Code          `json:"code"`
	Message    string        `json:"message"`               // what happened, in one line; the gateway's own words are quoted and cleaned
	RequestID  string        `json:"request_id,omitempty"`  // the job, if one is known
	HTTPStatus int           `json:"http_status,omitempty"` // the gateway's status code; 0 when there was no answer
	RetryAfter time.Duration `json:"retry_after,omitempty"` // how long the gateway asked to wait; 0 when it did not
	Err        error         `json:"-"`                     // the cause, if there is one
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// LogValue returns all but the message. That may quote a refusal of the gateway, and so
// the prompt or an attachment, which do not belong in a log.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(slog.String("code", string(e.Code)), slog.Int("http_status", e.HTTPStatus), slog.String("request_id", e.RequestID))
}

func (e *Error) Unwrap() error { return e.Err }

// AsError returns the *Error that err is or wraps, nil for nil. Another error becomes one
// with the code otherwise.
func AsError(err error, otherwise Code) *Error {
	e, ok := errors.AsType[*Error](err)
	if err != nil && !ok {
		e = &Error{Code: otherwise, Message: text.Clean(err.Error(), 300), Err: err}
	}
	return e
}

// IsCode reports whether err is or wraps an *Error with one of codes.
func IsCode(err error, codes ...Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(codes, e.Code)
}

// RetryAfter returns how long the gateway asked to wait when err is or wraps an *Error,
// else 0.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

func invalid(field, rule, got string) *Error {
	return &Error{Code: InvalidArgument, Message: fmt.Sprintf("%s %s; got %s", field, rule, got)}
}
