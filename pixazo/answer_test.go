// These tests hold how long the gateway's wish to wait is, and that codes and
// waits are found in wrapped errors.

package pixazo

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestRetryAfterIsReadInBothForms(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		header string
		want   time.Duration
	}{
		{"", 0}, {"0", 0}, {"1", s}, {"007", 7 * s}, {"120", 120 * s}, {"86400", 24 * time.Hour},
		{"86401", 24 * time.Hour}, {"4294967295", 24 * time.Hour}, {"4294967296", 24 * time.Hour}, {"99999999999999999999999", 24 * time.Hour},
		{"-1", 0}, {"+1", 0}, {"1.5", 0}, {"1s", 0}, {"soon", 0}, {"0x10", 0}, {"1_000", 0}, {"١", 0}, {"1, 2", 0},
		{"Sat, 01 Jan 2000 00:00:10 GMT", 10 * s},
		{"Saturday, 01-Jan-00 00:00:10 GMT", 10 * s},
		{"Sat Jan  1 00:00:10 2000", 10 * s},
		{"Sat, 01 Jan 2000 00:00:00 GMT", 0},
		{"Fri, 31 Dec 1999 23:59:59 GMT", 0},
		{"Mon, 01 Jan 0001 00:00:00 GMT", 0},
		{"Mon, 03 Jan 2000 00:00:00 GMT", 24 * time.Hour},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour},
		{"2000-01-01T00:00:10Z", 0},
	} {
		synctest.Test(t, func(t *testing.T) { // whose clock starts at 2000-01-01 00:00:00 UTC
			if got := parseRetryAfter(tt.header); got != tt.want {
				t.Errorf("%q: %s, want %s", tt.header, got, tt.want)
			}
		})
	}
}

// A date is a promise that nothing is accepted before it: half a second early
// would be one more refusal.
func TestRetryAfterDateIsNotRoundedDown(t *testing.T) {
	for _, passed := range []time.Duration{1, 400 * time.Millisecond, 600 * time.Millisecond, time.Second - 1} {
		synctest.Test(t, func(t *testing.T) {
			<-time.After(passed)
			if got := parseRetryAfter("Sat, 01 Jan 2000 00:00:10 GMT"); got != 10*time.Second {
				t.Errorf("%s past the second: %s, want 10s", passed, got)
			}
		})
	}
}

func TestAnyErrorHasACode(t *testing.T) {
	if e := AsError(nil, GatewayError); e != nil {
		t.Errorf("of nil: %v", e)
	}
	limited := &Error{Code: RateLimited, Message: "m"}
	if e := AsError(fmt.Errorf("submit video: %w", limited), GatewayError); e != limited {
		t.Errorf("of one that is wrapped: %v", e)
	}
	cause := errors.New("no\nroute " + strings.Repeat("x", 1000))
	if e := AsError(cause, GatewayError); e.Code != GatewayError || e.Err != cause || !strings.HasPrefix(e.Message, "no route xxx") || len(e.Message) > 310 {
		t.Errorf("of another one: %+v", e)
	}
}

func TestRetryAfterAndCodeAreFoundInWrappedErrors(t *testing.T) {
	limited := &Error{Code: RateLimited, Message: "m", RetryAfter: 7 * time.Second}
	wrapped := fmt.Errorf("submit video: %w", limited)
	uncertain := &Error{Code: SubmissionUncertain, Message: "m", Err: limited}
	for _, tt := range []struct {
		err     error
		after   time.Duration
		limited bool
	}{
		{nil, 0, false},
		{errors.New("other"), 0, false},
		{limited, 7 * time.Second, true},
		{wrapped, 7 * time.Second, true},
		// What stands outermost counts: an uncertain submission must not be
		// taken for the refusal inside it, and sent again.
		{uncertain, 0, false},
	} {
		if got := RetryAfter(tt.err); got != tt.after {
			t.Errorf("%v: RetryAfter %s, want %s", tt.err, got, tt.after)
		}
		if got := IsCode(tt.err, Cancelled, RateLimited); got != tt.limited {
			t.Errorf("%v: IsCode %t, want %t", tt.err, got, tt.limited)
		}
	}
	if !errors.Is(uncertain, limited) || IsCode(limited) {
		t.Error("a cause is not found, or no code at all matches")
	}
}
