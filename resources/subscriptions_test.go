// These tests subscribe to videos in both protocol eras, and count the polls: a
// video is polled while somebody is subscribed to it, and no longer.

package resources

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/wire"
	"pixazo-mcp/pixazo"
)

// client is the other end of a session. What it is sent is kept until it is
// looked at.
type client struct {
	t       *testing.T
	session *wire.Session
	lines   chan string
	gateway *fakeGateway
	tracker *jobs.Tracker

	stateDir string
}

func connect(t *testing.T) *client {
	t.Helper()
	g := &fakeGateway{}
	dir := t.TempDir()
	s, videos, tracker := newServerOf(t, g, dir)
	c := &client{t: t, lines: make(chan string, 1000), gateway: g, tracker: tracker, stateDir: dir}
	session, err := wire.Open(t.Context(), s, "test", func(message []byte) error {
		c.lines <- string(message)
		return nil
	}, wire.Options{Subscribe: videos.Subscribe})
	if err != nil {
		t.Fatal(err)
	}
	c.session = session
	return c
}

func (c *client) send(message string) {
	c.t.Helper()
	c.session.Take([]byte(message))
	synctest.Wait()
}

// expect compares all that was sent since with want.
func (c *client) expect(want ...string) {
	c.t.Helper()
	synctest.Wait()
	var got []string
	for len(c.lines) > 0 {
		got = append(got, <-c.lines)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		c.t.Fatalf("\n got %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// close ends the session as a transport does, and everything of the test.
func (c *client) close() {
	c.t.Helper()
	c.session.Stop()
	c.tracker.Drain()
	if err := c.session.Wait(c.t.Context()); err != nil {
		c.t.Error(err)
	}
	c.noMorePolls()
	c.session.Close()
	c.tracker.Close()
}

func (c *client) noMorePolls() {
	c.t.Helper()
	synctest.Wait()
	before := c.gateway.counts()
	time.Sleep(5 * time.Minute)
	if after := c.gateway.counts(); !maps.Equal(before, after) {
		c.t.Errorf("polls went on: %v, then %v", before, after)
	}
}

const (
	initialize  = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`
	listChanged = `{"jsonrpc":"2.0","method":"notifications/resources/list_changed"}`
)

func legacy(id int, method, uri string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"resources/%s","params":{"uri":%q}}`, id, method, uri)
}

func listen(id int, filter string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"subscriptions/listen","params":{"notifications":%s,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`, id, filter)
}

func acknowledged(id int, filter string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%d},"notifications":%s}}`, id, filter)
}

func empty(id int) string { return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":{}}`, id) }

// updated and listed are what the stream id hears; 0 is the legacy era.
func updated(id int, uri string) string {
	meta := ""
	if id != 0 {
		meta = fmt.Sprintf(`"_meta":{"io.modelcontextprotocol/subscriptionId":%d},`, id)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{%s"uri":%q}}`, meta, uri)
}

func listed(id int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/resources/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%d}}}`, id)
}

func TestLegacySubscriberHearsOfEachStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t)
		defer c.close()
		c.send(initialize)
		<-c.lines
		uri := jobs.VideosURI + "/" + submit(t, c.tracker, "tides")
		c.expect(listChanged)
		time.Sleep(time.Minute)
		if n := len(c.gateway.counts()); n != 0 {
			t.Errorf("polled without a subscription: %v", c.gateway.counts())
		}
		c.send(legacy(1, "subscribe", uri))
		// The first poll may be as quick as the answer.
		synctest.Wait()
		first := map[string]bool{<-c.lines: true, <-c.lines: true}
		if !first[empty(1)] || !first[updated(0, uri)] {
			t.Fatalf("got %v", first)
		}
		time.Sleep(5 * time.Minute)
		c.expect() // PROCESSING all the time
		c.gateway.set(says("RENDERING"))
		time.Sleep(time.Minute)
		c.expect(updated(0, uri))
		c.gateway.set(says(pixazo.Completed))
		time.Sleep(time.Minute)
		c.expect(updated(0, uri))
		c.noMorePolls() // the video has ended
		c.send(legacy(2, "unsubscribe", uri))
		c.expect(empty(2))

		// One that has ended is not polled at all.
		before := c.gateway.counts()
		c.send(legacy(3, "subscribe", uri))
		c.expect(empty(3))
		time.Sleep(5 * time.Minute)
		if !maps.Equal(before, c.gateway.counts()) {
			t.Errorf("a finished video was polled: %v", c.gateway.counts())
		}
	})
}

func TestUnsubscribeEndsThePolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t)
		defer c.close()
		one, two := jobs.VideosURI+"/"+submit(t, c.tracker, "one"), jobs.VideosURI+"/"+submit(t, c.tracker, "two")
		c.send(legacy(1, "subscribe", one))
		c.send(legacy(2, "subscribe", two))
		time.Sleep(time.Minute)
		c.send(legacy(3, "unsubscribe", one))
		before := c.gateway.counts()
		time.Sleep(time.Minute)
		after := c.gateway.counts()
		if before["job-1"] != after["job-1"] || before["job-2"] == after["job-2"] {
			t.Errorf("%v, a minute later %v", before, after)
		}
		c.send(legacy(4, "unsubscribe", two))
		c.noMorePolls()
		for len(c.lines) > 0 {
			<-c.lines
		}
		c.gateway.set(says(pixazo.Completed))
		if _, err := c.tracker.Status(t.Context(), "job-1"); err != nil {
			t.Fatal(err)
		}
		c.expect()
	})
}

func TestEachStreamHearsWhatItAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t)
		defer c.close()
		one, two := jobs.VideosURI+"/"+submit(t, c.tracker, "one"), jobs.VideosURI+"/"+submit(t, c.tracker, "two")
		c.expect()
		filter := func(uris ...string) string { return `{"resourceSubscriptions":["` + strings.Join(uris, `","`) + `"]}` }
		c.send(listen(11, filter(one)))
		c.expect(acknowledged(11, filter(one)), updated(11, one)) // QUEUED, then PROCESSING
		c.send(listen(12, filter(jobs.VideosURI)))
		c.expect(acknowledged(12, filter(jobs.VideosURI)))
		c.send(listen(13, `{"resourcesListChanged":true}`))
		c.expect(acknowledged(13, `{"resourcesListChanged":true}`))
		time.Sleep(time.Minute)
		c.expect()
		if counts := c.gateway.counts(); counts["job-1"] == 0 || counts["job-2"] != 0 {
			t.Errorf("the list of videos is not polled, one of them is: %v", counts)
		}

		// Another caller's get_status is news to the list.
		if _, err := c.tracker.Status(t.Context(), "job-2"); err != nil {
			t.Fatal(err)
		}
		c.expect(updated(12, jobs.VideosURI))
		submit(t, c.tracker, "three")
		synctest.Wait()
		got := map[string]bool{<-c.lines: true, <-c.lines: true}
		if !got[updated(12, jobs.VideosURI)] || !got[listed(13)] {
			t.Fatalf("got %v", got)
		}
		c.expect()

		c.send(listen(14, filter(one, two)))
		synctest.Wait()
		time.Sleep(time.Minute)
		c.expect(acknowledged(14, filter(one, two)))
		for _, id := range []int{12, 13, 11} {
			c.send(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, id))
		}
		before := c.gateway.counts()
		c.gateway.set(says(pixazo.Completed))
		time.Sleep(time.Minute)
		synctest.Wait()
		got = map[string]bool{<-c.lines: true, <-c.lines: true}
		if !got[updated(14, one)] || !got[updated(14, two)] {
			t.Fatalf("got %v", got)
		}
		c.expect()
		if counts := c.gateway.counts(); counts["job-1"] == before["job-1"] {
			t.Error("the polls ended with the first of two streams")
		}
		submit(t, c.tracker, "four")
		c.expect()
	})
}

func TestSubscribersHearOfOtherProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t)
		defer c.close()
		uri := jobs.VideosURI + "/" + submit(t, c.tracker, "one")
		c.gateway.set(says(pixazo.Completed))
		if _, err := c.tracker.Status(t.Context(), "job-1"); err != nil {
			t.Fatal(err)
		}
		c.send(legacy(1, "subscribe", jobs.VideosURI))
		c.send(legacy(2, "subscribe", uri)) // has ended, and may be saved yet
		c.expect(empty(1), empty(2))
		_, _, other := newServerOf(t, &fakeGateway{submitted: 1}, c.stateDir)
		defer other.Close()
		submit(t, other, "two")
		time.Sleep(3 * time.Second)
		c.expect(updated(0, jobs.VideosURI))
		if err := other.AddSaved(t.Context(), "job-1", []jobs.SavedFile{{Path: "/x.mp4"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		got := map[string]bool{<-c.lines: true, <-c.lines: true} // in no order
		if !got[updated(0, jobs.VideosURI)] || !got[updated(0, uri)] {
			t.Fatalf("got %v", got)
		}
		c.expect()
	})
}

func TestCancelledStreamEndsThePolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t)
		defer c.close()
		uri := jobs.VideosURI + "/" + submit(t, c.tracker, "one")
		c.send(listen(1, `{"resourceSubscriptions":["`+uri+`"]}`))
		time.Sleep(time.Minute)
		if c.gateway.counts()["job-1"] < 2 {
			t.Errorf("polls: %v", c.gateway.counts())
		}
		c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		c.noMorePolls()
	})
}

func TestEndOfTheSessionEndsThePolls(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]func(string) string{
		"legacy": func(uri string) string { return legacy(1, "subscribe", uri) },
		"modern": func(uri string) string { return listen(1, `{"resourceSubscriptions":["`+uri+`"]}`) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := connect(t)
				c.send(line(jobs.VideosURI + "/" + submit(t, c.tracker, "one")))
				time.Sleep(time.Minute)
				if c.gateway.counts()["job-1"] < 2 {
					t.Errorf("polls: %v", c.gateway.counts())
				}
				c.close()
			})
		})
	}
}

// A key that is put in place, credits that are bought, or a gateway that comes
// back count without a new subscription.
func TestSubscriptionGoesOnWhateverTheGatewayAnswers(t *testing.T) {
	t.Parallel()
	for _, code := range []pixazo.Code{
		pixazo.MissingAPIKey, pixazo.Unauthorized, pixazo.OutOfCredits, pixazo.NotFound, pixazo.InvalidArgument, pixazo.GatewayUnreachable,
	} {
		t.Run(string(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := connect(t)
				defer c.close()
				c.gateway.set(fails(code))
				uri := jobs.VideosURI + "/" + submit(t, c.tracker, "tides")
				time.Sleep(time.Minute) // past the time in which a 404 means nothing
				c.send(legacy(1, "subscribe", uri))
				c.expect(empty(1))
				time.Sleep(8 * time.Minute) // the polls of a followed job are one a minute from then on
				before := c.gateway.counts()["job-1"]
				time.Sleep(5 * time.Minute)
				if n := c.gateway.counts()["job-1"] - before; n < 4 || n > 6 {
					t.Errorf("%d polls in 5 minutes, want about one a minute", n)
				}
				c.expect()
				c.gateway.set(says(pixazo.Completed))
				time.Sleep(2 * time.Minute)
				c.expect(updated(0, uri))
			})
		})
	}
}

func TestSubscriptionToWhatIsNotThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := connect(t)
		defer c.close()
		uri := jobs.VideosURI + "/" + submit(t, c.tracker, "one")
		nobody, odd := jobs.VideosURI+"/job-2", jobs.VideosURI+"/.."
		const (
			notFound  = `resource not found: \"pixazo://videos/job-2\" is neither a guide nor a video of the journal`
			malformed = `request_id must be 1 to 200 letters, digits, dots, hyphens or underscores`
		)
		c.send(legacy(1, "subscribe", nobody))
		c.expect(`{"jsonrpc":"2.0","id":1,"error":{"code":-32002,"message":"` + notFound + `"}}`)
		c.send(listen(2, `{"resourceSubscriptions":["`+uri+`","`+nobody+`"]}`))
		c.expect(`{"jsonrpc":"2.0","id":2,"error":{"code":-32602,"message":"subscribing to \"pixazo://videos/job-2\": ` + notFound + `"}}`)
		c.send(legacy(3, "subscribe", odd))
		if line := <-c.lines; !strings.Contains(line, malformed) || !strings.Contains(line, `"id":3,"error"`) {
			t.Errorf("got %s", line)
		}
		c.send(listen(4, `{"resourceSubscriptions":["`+odd+`"]}`))
		if line := <-c.lines; !strings.Contains(line, malformed) || !strings.Contains(line, `"id":4,"error":{"code":-32602`) {
			t.Errorf("got %s", line)
		}
		// A read says the same, each era with its own code.
		c.send(legacy(5, "read", nobody))
		c.expect(`{"jsonrpc":"2.0","id":5,"error":{"code":-32002,"message":"` + notFound + `"}}`)
		time.Sleep(5 * time.Minute)
		if counts := c.gateway.counts(); counts["job-2"] != 0 || counts[".."] != 0 || counts["job-1"] > 1 {
			t.Errorf("polls: %v", counts)
		}
	})
}
