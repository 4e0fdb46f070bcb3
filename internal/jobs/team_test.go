package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/pixazo"
)

// One process at a time saves a job's videos: another waits for it, also when it
// takes long, and no longer than a minute for one that was killed.
func TestASaveIsHeldOverProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		process := func() (*jobs.Tracker, *journal.Journal) {
			j := journal.New(engineOf(t, journal.Options{Dir: dir, Gateway: "test"}))
			tracker := jobs.New(&fakeGateway{}, j, jobs.Options{})
			t.Cleanup(tracker.Close)
			return tracker, j
		}
		one, _ := process()
		other, others := process()
		_, killed := process()
		s, err := one.Submit(t.Context(), prepared(pixazo.VideoRequest{Prompt: "x"}), jobs.SubmitOptions{})
		if err != nil {
			t.Fatal(err)
		}
		id := s.Row.Job.RequestID
		held := func(ctx context.Context) (release func(), waited time.Duration, err error) {
			begun := time.Now()
			release, err = other.HoldSave(ctx, id)
			return release, time.Since(begun), err
		}
		release, err := one.HoldSave(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if _, waited, err := held(short); err == nil || waited != 5*time.Minute {
			t.Errorf("held twice after %v: %v", waited, err)
		}
		time.AfterFunc(10*time.Second, release)
		again, waited, err := held(t.Context())
		if err != nil || waited < 10*time.Second || waited > 12*time.Second {
			t.Errorf("held %v after the other one let go: %v", waited-10*time.Second, err)
		}
		again()
		release, err = killed.HoldSave(t.Context(), s.Row.ID, false)
		if release == nil || err != nil {
			t.Fatal(err)
		}
		defer release()
		killed.Close() // so that it is never renewed
		again, waited, err = held(t.Context())
		if err != nil || waited < 30*time.Second || waited > 32*time.Second { // less than a call may take
			t.Errorf("held %v after a process was killed: %v", waited, err)
		}
		again()
		for _, unknown := range []string{"none", id} { // nothing to hold, and no journal
			release, err := other.HoldSave(t.Context(), unknown)
			if err != nil {
				t.Errorf("%s: %v", unknown, err)
			}
			release()
			others.Close()
		}
	})
}

// What a user of a team server reads names neither its files nor its database,
// however deep in an error they stand.
func TestShownErrorsNameNothingOfTheServer(t *testing.T) {
	secret := "open /srv/pixazo/key: permission denied"
	lost := &pixazo.Error{Code: pixazo.JournalUnavailable, Message: secret}
	for _, err := range []error{
		lost,
		&pixazo.Error{Code: pixazo.MissingAPIKey, Message: secret},
		&pixazo.Error{Code: pixazo.DuplicateUncertain, Message: "it was sent before" + journal.KeptAs + secret},
		&pixazo.Error{Code: pixazo.SubmissionUncertain, Err: lost, Message: "it is not known what became of it: " + secret},
		&pixazo.Error{Code: pixazo.GatewayUnreachable, Message: "can't connect to the gateway: " + secret},
		&pixazo.Error{Code: pixazo.SubmissionUncertain, Err: &pixazo.Error{Code: pixazo.GatewayUnreachable, Message: secret}, Message: "its outcome is unknown: " + secret},
		&pixazo.Error{Code: pixazo.DownloadFailed, Err: &pixazo.Error{Code: pixazo.Cancelled, Err: lost, Message: "not asked: " + secret}, Message: "no link: not asked: " + secret},
	} {
		for _, team := range []bool{false, true} {
			tracker := jobs.New(&fakeGateway{}, journal.New(journal.Options{Dir: t.TempDir()}), jobs.Options{Team: team})
			defer tracker.Close()
			shown := tracker.Shown(err)
			if strings.Contains(shown.Error(), "/srv") == team || errors.Unwrap(shown) != errors.Unwrap(err) || !strings.HasPrefix(shown.Error(), string(err.(*pixazo.Error).Code)+": ") {
				t.Errorf("to a team: %v; %v is shown as %v", team, err, shown)
			}
		}
	}
}
