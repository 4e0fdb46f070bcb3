// This file reads from an answer of the gateway which job it names and, if it is a
// refusal, what that means.

package pixazo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"pixazo-mcp/internal/text"
)

// answer is an HTTP answer.
type answer struct {
	status int // 0 when there was no answer
	header http.Header
	body   []byte
	key    Key // is hidden in everything that is shown of the answer
}

// namedID returns the request_id that the answer names, "" if it names no valid one. It
// looks at the fields request_id and polling_url of the body, and of the objects in which
// HeyGen's own API and common frameworks put an answer, and at the headers with the
// address of what a request has made; an id elsewhere, or in a text, may be that of
// another job. It prefers an id of our model, since proxies put request_ids of their own
// into error pages. The body may be cut off behind the id.
func (a answer) namedID() string {
	ids := idsIn(bytes.TrimLeft(a.body, "[ \t\r\n"), true)
	if a.status != http.StatusTemporaryRedirect && a.status != http.StatusPermanentRedirect { // which have made nothing
		for _, name := range []string{"Location", "Content-Location", "Operation-Location"} {
			ids = append(ids, idAtEnd(a.header.Get(name)))
		}
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return CheckRequestID(id) != nil || a.key.Clean(id, maxIDLength) != id })
	if i := slices.IndexFunc(ids, namesOurModel); i > 0 {
		return ids[i]
	}
	return cmp.Or(ids...)
}

// namesOurModel reports whether requestID is that of a job of this model.
func namesOurModel(requestID string) bool { return strings.HasPrefix(requestID, IDPrefix) }

// idAtEnd returns the request_id of a job of this model with which the path or the query of
// a status address ends, "" if neither does.
func idAtEnd(address string) string {
	before, _, _ := strings.Cut(address, "?")
	for _, part := range []string{before, address} {
		if id := path.Base(part); namesOurModel(id) {
			return id
		}
	}
	return ""
}

// idsIn returns the ids that request_id and polling_url hold in a JSON object, which may
// be cut off, and with envelopes those in the objects in which an answer may be put.
func idsIn(object []byte, envelopes bool) (ids []string) {
	d := json.NewDecoder(bytes.NewReader(object))
	d.UseNumber()
	if brace, err := d.Token(); err != nil || brace != json.Delim('{') {
		return nil
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			break
		}
		rest := object[d.InputOffset():]
		var value any
		err = d.Decode(&value) // fails where the body is cut off
		switch strings.ReplaceAll(strings.ToLower(fmt.Sprint(name)), "_", "") {
		case "requestid": // also requestId and Request_ID
			if id, ok := value.(string); ok {
				ids = append(ids, strings.TrimSpace(id))
			}
		case "pollingurl":
			if address, ok := value.(string); ok {
				ids = append(ids, idAtEnd(address))
			}
		case "data", "result", "response", "output", "error", "detail":
			if envelopes {
				ids = append(ids, idsIn(bytes.TrimLeft(rest, ": \t\r\n"), false)...)
			}
		}
		if err != nil {
			break
		}
	}
	return ids
}

// refusal returns the error that the HTTP status of a stands for.
func refusal(a answer) *Error {
	e := &Error{Code: GatewayError, Message: "the gateway failed", HTTPStatus: a.status, RetryAfter: parseRetryAfter(a.header.Get("Retry-After"))}
	said := a.words()
	switch {
	case a.status == http.StatusPaymentRequired || a.status == http.StatusForbidden && aboutMoney().MatchString(said):
		e.Code, e.Message = OutOfCredits, "the account is out of credits"
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		e.Code, e.Message = Unauthorized, "the gateway refused the API key"
	case a.status == http.StatusTooManyRequests:
		e.Code, e.Message = RateLimited, "the gateway limits the rate of requests"
	case a.status == http.StatusRequestEntityTooLarge:
		e.Code, e.Message = InvalidArgument, "the request is too large for the gateway: send less data, such as URLs in place of files"
	case a.status/100 == 4 && said != "":
		e.Code, e.Message = InvalidArgument, "the gateway refused the request"
	case a.status/100 == 3:
		e.Message = "the gateway answered with a redirect, which is not followed"
	}
	e.Message += a.details()
	return e
}

// details returns the second part of an error's message: the answer's HTTP status, how
// long it asks to wait, and its words.
func (a answer) details() string {
	details := fmt.Sprintf(" (HTTP %d", a.status)
	if wait := parseRetryAfter(a.header.Get("Retry-After")); wait > 0 {
		details += fmt.Sprintf(", asking to wait %s", wait)
	}
	details += ")"
	if said := a.words(); said != "" {
		details += "; it said: " + text.QuoteCleaned(said)
	}
	return details
}

// aboutMoney matches the words of a 403 that means an empty account.
var aboutMoney = text.Pattern(`(?i)credit|funds|quota|payment|billing|wallet|balance([^rd]|$)`)

// words returns what the body of a refusal says, cleaned; "" when it says nothing. A
// short text that is neither JSON nor HTML is returned as a whole; so is an object without
// words in fields that are known, since the reason, or an id, may stand in another one.
func (a answer) words() string {
	var body any
	said := ""
	err := decodeJSON(a.body, &body)
	switch object, ok := body.(map[string]any); {
	case ok:
		said = cmp.Or(sayings(object), wordsOf(object["title"])) // RFC 9457
		if said == "" && object["request_id"] == nil {
			said = wordsOf(object)
		}
	case err == nil:
		said = wordsOf(body)
	case len(a.body) <= maxErrorLength && !bytes.ContainsAny(a.body, "<{"):
		said = string(a.body)
	}
	return a.shown(said, 500)
}

// shown returns words of the gateway cleaned, without the key and without base64 data.
func (a answer) shown(words string, limit int) string {
	return text.Clean(text.WithoutData(a.key.Clean(words, len(words))), limit)
}

// decodeJSON is json.Unmarshal for a value without a type. It takes numbers that no
// float64 holds, since one such number must not cost a caller the rest of an answer.
func decodeJSON(body []byte, value any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	err := d.Decode(value)
	if _, more := d.Token(); err == nil && more != io.EOF {
		err = errors.New("something follows the JSON")
	}
	return err
}

// sayings returns all that a JSON object says of an error, each thing once, as in
// "body.prompt: too long (code 7, param prompt)". It reads the fields that this
// gateway, HeyGen and common frameworks use; the value of each may be a string, another
// such object, or a list of either.
func sayings(object map[string]any) string {
	said, place, notes := "", "", ""
	for _, name := range []string{"error", "errors", "message", "msg", "detail", "error_description", "reason", "failure_message"} {
		if s := wordsOf(object[name]); !strings.Contains(said, s) {
			said = join(said, "; ", s)
		}
	}
	steps, _ := object["loc"].([]any)
	for _, step := range steps {
		place = join(place, ".", wordsOf(step))
	}
	for _, name := range []string{"code", "failure_code", "param"} {
		if s := wordsOf(object[name]); s != "" {
			notes = join(notes, ", ", strings.TrimPrefix(name, "failure_")+" "+s)
		}
	}
	said = join(place, ": ", said)
	if said != "" && notes != "" {
		notes = " (" + notes + ")"
	}
	return said + notes
}

// join returns a and b with separator between them if neither is empty.
func join(a, separator, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + separator + b
}

// wordsOf returns a JSON value as words: a string or number as it is, an object as its
// sayings or, when it has none, as JSON, and a list as the words of its items.
func wordsOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case []any:
		said := ""
		for _, item := range v {
			said = join(said, "; ", wordsOf(item))
		}
		return said
	case map[string]any:
		said := sayings(v)
		if said == "" && len(v) > 0 {
			whole, _ := text.JSON(v, "") // can't fail: v was read from JSON
			said = string(whole)
		}
		return said
	}
	return ""
}

// parseRetryAfter reads a Retry-After header in both forms (RFC 9110, section 10.2.3),
// seconds or a date. It returns whole seconds, rounded up, at most a day, and 0 for
// anything else.
func parseRetryAfter(s string) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(s, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) { // then n is the largest number
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(s); err == nil {
		d = time.Until(t.Add(time.Second - 1)).Truncate(time.Second)
	}
	return min(max(d, 0), 24*time.Hour)
}

// explain returns a network error in words. It hides key, since err may quote a header
// that the gateway sent.
func explain(key Key, err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "the request was cut off"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection closed before the answer was complete"
	}
	return key.Clean(err.Error(), 200)
}
