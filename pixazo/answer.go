// This file reads the gateway's answers: which job one names, and what its
// refusals mean.

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
	"slices"
	"strconv"
	"strings"
	"time"

	"pixazo-mcp/internal/text"
)

// answer is what came back: status 0 when nothing did.
type answer struct {
	status int
	header http.Header
	body   []byte
	key    Key // to be kept out of whatever is shown of the answer
}

// namedID returns the valid request_id that the answer names in its own field
// of that name, or in that of its data, error or detail object, the envelopes in
// which HeyGen's own API and common frameworks answer; "" if there is none. One of our model goes first:
// proxies put a request_id of their own into their error pages. The body may
// break off behind it. An id deeper down, or in a text, may be another job's.
func (a answer) namedID() string {
	ids := idsIn(bytes.TrimLeft(a.body, "[ \t\r\n"), true)
	ids = slices.DeleteFunc(ids, func(id string) bool { return CheckRequestID(id) != nil || a.key.Clean(id, maxIDLength) != id })
	if i := slices.IndexFunc(ids, namesOurModel); i > 0 {
		return ids[i]
	}
	return cmp.Or(ids...)
}

// namesOurModel reports whether requestID is that of a job of this model.
func namesOurModel(requestID string) bool { return strings.HasPrefix(requestID, IDPrefix) }

func idsIn(object []byte, envelopes bool) (ids []string) {
	d := json.NewDecoder(bytes.NewReader(object))
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
		err = d.Decode(&value) // fails where the body breaks off
		switch name {
		case "request_id":
			if id, ok := value.(string); ok {
				ids = append(ids, id)
			}
		case "data", "error", "detail":
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

// refusal is the error that an answer's HTTP status stands for.
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
	case a.status/100 == 4 && said != "":
		e.Code, e.Message = InvalidArgument, "the gateway refused the request"
	case a.status/100 == 3:
		e.Message = "the gateway answered with a redirect, which is not followed"
	}
	e.Message += a.details()
	return e
}

// details is what an error's message says of the answer behind its first words.
func (a answer) details() string {
	details := fmt.Sprintf(" (HTTP %d", a.status)
	if wait := parseRetryAfter(a.header.Get("Retry-After")); wait > 0 {
		details += fmt.Sprintf(", asking to wait %s", wait)
	}
	details += ")"
	if said := a.words(); said != "" {
		details += "; it said: " + text.Said(said)
	}
	return details
}

// aboutMoney matches the words of a 403 that means an empty account.
var aboutMoney = text.Pattern(`(?i)credit|funds|balance([^rd]|$)`)

// words is what the body of a refusal says, cleaned; "" when it says nothing. A
// text that is neither JSON nor a page of a proxy is the words themselves.
func (a answer) words() string {
	var body any
	said := ""
	err := json.Unmarshal(a.body, &body)
	switch object, ok := body.(map[string]any); {
	case ok:
		said = cmp.Or(sayings(object), wordsOf(object["title"])) // RFC 9457
	case err == nil:
		said = wordsOf(body)
	case len(a.body) <= maxErrorLength && !bytes.ContainsAny(a.body, "<{"):
		said = string(a.body)
	}
	return a.shown(said, 500)
}

// shown makes the gateway's words fit to be shown.
func (a answer) shown(words string, limit int) string {
	return text.Clean(text.WithoutData(a.key.Clean(words, len(words))), limit)
}

// sayings puts all that an object says is wrong into one text, each thing once,
// such as "body.prompt: too long (code 7, param prompt)". This gateway, HeyGen
// and common frameworks use these fields, each for a string, an object of the
// same kind, or a list of either.
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

func join(a, separator, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + separator + b
}

// wordsOf is what a JSON value says: a string or a number itself, an object its
// sayings or, where it has none, its JSON, and a list what its items say.
func wordsOf(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		said := ""
		for _, item := range v {
			said = join(said, "; ", wordsOf(item))
		}
		return said
	case map[string]any:
		said := sayings(v)
		if said == "" && len(v) > 0 {
			whole, _ := text.JSON(v, "") // which came as JSON
			said = string(whole)
		}
		return said
	}
	return ""
}

// parseRetryAfter reads both forms of the header (RFC 9110, section 10.2.3):
// seconds, or a date, up to the next whole second. It gives 0 for anything
// else, and at most a day.
func parseRetryAfter(s string) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(s, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) { // n is the most there is
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(s); err == nil {
		d = time.Until(t.Add(time.Second - 1)).Truncate(time.Second)
	}
	return min(max(d, 0), 24*time.Hour)
}

// explain words a network error, which may repeat a header of the gateway's.
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
