// This file holds the errors that this project tells apart, by code.

package pixazo

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Code names a kind of failure. The codes are part of the tools' contract: a
// model reads them at the start of an error result.
type Code string

// The codes, and when each arises.
const (
	InvalidArgument     Code = "invalid_argument"     // the request breaks a rule, ours or the gateway's
	MissingAPIKey       Code = "missing_api_key"      // there is no key, or it can't be read
	Unauthorized        Code = "unauthorized"         // 401 or 403: the key was refused
	OutOfCredits        Code = "out_of_credits"       // 402
	NotFound            Code = "not_found"            // the gateway does not know the request_id
	RateLimited         Code = "rate_limited"         // 429, also after waiting as asked
	GatewayError        Code = "gateway_error"        // 5xx on a status request, and answers that fit nothing else
	GatewayUnreachable  Code = "gateway_unreachable"  // no connection, or no answer to a status request
	BadResponse         Code = "bad_response"         // a status answer that can't be read
	SubmissionUncertain Code = "submission_uncertain" // a submission that may have been accepted, outcome unknown
	DuplicateUncertain  Code = "duplicate_uncertain"  // the same request was sent before, outcome unknown
	LimitReached        Code = "limit_reached"        // the hourly limit on videos
	JournalUnavailable  Code = "journal_unavailable"  // the record of submissions can't be read or written
	VideoFailed         Code = "video_failed"         // the gateway ended the job without a video
	NotReady            Code = "not_ready"            // there is no video yet to be saved
	FileRefused         Code = "file_refused"         // a local file that may not be read or written
	DownloadFailed      Code = "download_failed"      // a finished video that could not be saved
	Cancelled           Code = "cancelled"            // the caller left, or the program is ending
)

// Error is every error of this package: a code, what happened in words that
// can be shown, and what is known besides.
type Error struct {
	Code       Code
	Message    string        // what happened, in one line; the gateway's own words are quoted and cleaned
	RequestID  string        // the job, if one is known
	HTTPStatus int           // the gateway's status code; 0 when there was no answer
	RetryAfter time.Duration // how long the gateway asked to wait; 0 when it did not
	Err        error         // the cause, if there is one
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// LogValue leaves out the words: a gateway's refusal may repeat the prompt, or
// an attachment, and those do not belong in a log.
func (e *Error) LogValue() slog.Value {
	return slog.GroupValue(slog.String("code", string(e.Code)), slog.Int("http_status", e.HTTPStatus), slog.String("request_id", e.RequestID))
}

func (e *Error) Unwrap() error { return e.Err }

// IsCode reports whether err is or wraps an *Error with one of codes.
func IsCode(err error, codes ...Code) bool {
	var e *Error
	return errors.As(err, &e) && slices.Contains(codes, e.Code)
}

// RetryAfter is how long the gateway asked to wait in err; 0 when it did not.
func RetryAfter(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

func invalid(field, rule, got string) *Error {
	return &Error{Code: InvalidArgument, Message: fmt.Sprintf("%s %s; got %s", field, rule, got)}
}
