// These tests hold what users notice of two replicas as processes behind a proxy:
// nothing.

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pixazo-mcp/e2e/pgtest"
)

func TestAJobBehindAProxy(t *testing.T) {
	t.Parallel()
	d := deploy(t, pgtest.URL(t), 2, 2*time.Second, func() {})
	for _, modern := range []bool{false, true} {
		t.Run(fmt.Sprint("modern ", modern), func(t *testing.T) {
			d := *d
			d.t = t
			c := d.connect(d.proxy, 0, modern)
			made, _ := d.must(c, "generate_video", generate(t.Name()))
			id := map[string]any{"request_id": made["request_id"]}
			if done, before := d.must(c, "wait_for_video", id); done["status"] != "COMPLETED" || before == 0 {
				t.Errorf("waited for %v, after %d messages", done, before)
			}
			saved, _ := d.must(c, "download_video", id)
			link, _ := saved["saved_url"].(string)
			for range 2 { // at one replica, and at the other
				resp, err := http.Get(link)
				if err != nil {
					t.Fatalf("%v: %v", saved, err)
				}
				video, err := io.ReadAll(resp.Body)
				if _ = resp.Body.Close(); err != nil || !bytes.Equal(video, d.gateway.media(t, fmt.Sprint(made["request_id"]))) {
					t.Errorf("%s: %s, %d bytes, %v", link, resp.Status, len(video), err)
				}
			}
			if listed, _ := d.must(c, "list_videos", nil); !strings.Contains(fmt.Sprint(listed["videos"]), fmt.Sprint(made["request_id"])) {
				t.Errorf("the list has %v", listed)
			}
			if listed, _ := d.must(d.connect(d.proxy, 1, modern), "list_videos", nil); fmt.Sprint(listed["videos"]) != "[]" {
				t.Errorf("another user's list has %v", listed)
			}
		})
	}
	log, err := os.ReadFile(d.log)
	for _, p := range d.replicas {
		if n := bytes.Count(log, []byte(p.address)); n < 5 {
			t.Errorf("the replica %s had %d requests, %v:\n%s", p.address, n, err, log)
		}
	}
}

func TestReplicasAsProcesses(t *testing.T) {
	t.Parallel()
	d := deploy(t, pgtest.URL(t), 1, 3*time.Second, func() {})
	a, b := d.replicas[0].address, d.replicas[1].address
	t.Run("a session of one is the other's", func(t *testing.T) {
		c := d.connect(a, 0, false)
		made, _ := d.must(c.at(b), "generate_video", generate("tides"))
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		waiting, err := c.send(ctx, "tools/call", map[string]any{"name": "wait_for_video", "arguments": map[string]any{"request_id": made["request_id"]}})
		if err != nil {
			t.Fatal(err)
		}
		defer waiting.Body.Close()
		cancelled, err := c.at(b).send(ctx, "notifications/cancelled", map[string]any{"requestId": 1})
		if err != nil || cancelled.StatusCode != 202 || cancelled.Body.Close() != nil {
			t.Fatal(cancelled, err)
		}
		if rest, err := io.ReadAll(waiting.Body); err != nil || bytes.Contains(rest, []byte(`"id":1,`)) {
			t.Errorf("cancelled by way of the other replica, it says %s, %v", rest, err)
		}
		r, err := c.at(b).request(ctx, http.MethodDelete, nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(r); err != nil || resp.StatusCode != 204 || resp.Body.Close() != nil {
			t.Fatal(resp, err)
		}
		if !soon(patience, func() bool {
			_, _, err := c.call(ctx, "list_videos", nil)
			return err != nil && strings.HasPrefix(err.Error(), "404")
		}) {
			t.Error("a session that was ended at one replica goes on at the other")
		}
	})
	for _, modern := range []bool{false, true} {
		t.Run(fmt.Sprint("a subscription at one hears of the other, modern ", modern), func(t *testing.T) {
			c := d.connect(a, 0, modern)
			made, _ := d.must(c.at(b), "generate_video", generate(t.Name()))
			uri := fmt.Sprint("pixazo://videos/", made["request_id"])
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			stream, err := d.news(ctx, c, b, uri)
			if err != nil {
				t.Fatal(err)
			}
			for told := []byte{}; !bytes.Contains(told, []byte("notifications/resources/updated")) || !bytes.Contains(told, []byte(uri)); {
				if told, err = event(stream); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Replicas that end one after the other, as in an upgrade, refuse no call. One that
// comes on an idle connection just as it is closed may be cut off, and the proxy must
// not send it again.
func TestARollingRestart(t *testing.T) {
	t.Parallel()
	d := deploy(t, pgtest.URL(t), 6, time.Hour, func() {})
	ctx, over := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	var answered, failed atomic.Int32
	for user := range 6 {
		calls.Go(func() {
			c := d.connect(d.proxy, user, user%2 == 1)
			made, _, err := c.call(ctx, "generate_video", generate("tides"))
			if err != nil {
				t.Error(err)
			}
			for n := 0; ctx.Err() == nil; n++ {
				time.Sleep(20 * time.Millisecond) // the processors are the replicas' as well
				tool, args := "list_videos", map[string]any{}
				if n%10 == 0 {
					tool, args = "wait_for_video", map[string]any{"request_id": made.Result.StructuredContent["request_id"], "timeout_seconds": 1}
				}
				answered.Add(1)
				r, _, err := c.call(t.Context(), tool, args)
				if err != nil && strings.HasPrefix(err.Error(), "502") {
					failed.Add(1)
				} else if err != nil || r.Result.IsError {
					t.Errorf("%s: %s, %v", tool, r.text(), err)
				}
			}
		})
	}
	soon(patience, func() bool { return answered.Load() > 12 })
	for _, p := range d.replicas {
		p.end()
		p.start()
		p.ready()
		time.Sleep(500 * time.Millisecond) // a call that it has refused is elsewhere by now
	}
	over()
	calls.Wait()
	if t.Logf("of %d calls during %d restarts %d were cut off", answered.Load(), len(d.replicas), failed.Load()); int(failed.Load()) > len(d.replicas) {
		t.Error("that is more than one a restart")
	}
}
