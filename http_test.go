// These tests drive the command http.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/internal/config"
	"pixazo-mcp/pixazo/sandbox"
)

// site is a run of the command http.
type site struct {
	t      *testing.T
	url    string
	stop   context.CancelFunc
	ended  chan error
	stderr *syncBuffer
	header http.Header // of requests
}

// given are the ports of freeAddresses. None is given twice: who asked for one may not
// listen yet, or just be restarting.
var given sync.Map

// freeAddresses returns addresses of this computer that are free now, of ports that
// the system gives to nobody by itself.
func freeAddresses(t *testing.T, n int) (at []string) {
	t.Helper()
	for len(at) < n {
		port := 10_000 + rand.IntN(20_000)
		if _, known := given.LoadOrStore(port, true); known {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			continue
		}
		defer l.Close()
		at = append(at, l.Addr().String())
	}
	return at
}

// startHTTP runs the command on a free port, with the sandbox.
func startHTTP(t *testing.T, args ...string) *site {
	return startReplica(t, nil, append([]string{"--sandbox", "--sandbox-duration=1s", "--state-dir=" + t.TempDir()}, args...)...)
}

// startReplica runs the command on a free port.
func startReplica(t *testing.T, env []string, args ...string) *site {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &site{t: t, stop: stop, ended: make(chan error, 1), stderr: &syncBuffer{}, header: http.Header{}}
	args = append([]string{"http", "--address=127.0.0.1:0", "--metrics-address=none"}, args...)
	go func() { s.ended <- run(ctx, args, env, nil, strings.NewReader(""), io.Discard, s.stderr) }()
	t.Cleanup(func() {
		stop()
		<-s.ended
	})
	address := regexp.MustCompile(`at=(\S+)`)
	if !soon(patience, func() bool {
		m := address.FindStringSubmatch(s.stderr.String())
		if m != nil {
			s.url = m[1]
		}
		return m != nil
	}) {
		t.Fatalf("it does not serve: %s", s.stderr)
	}
	return s
}

func (s *site) post(method, params string) *http.Response {
	s.t.Helper()
	return s.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":%s}`, method, params))
}

func (s *site) send(message string) *http.Response {
	s.t.Helper()
	q, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url, strings.NewReader(message))
	if err != nil {
		s.t.Fatal(err)
	}
	q.Header = s.header.Clone()
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = answer.Body.Close() })
	return answer
}

// call calls a tool and returns what it answers, and what came before.
func (s *site) call(tool, arguments string) (result map[string]any, before string) {
	s.t.Helper()
	answer := s.post("tools/call", fmt.Sprintf(`{"name":%q,"arguments":%s,"_meta":{"progressToken":7}}`, tool, arguments))
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		s.t.Fatalf("%s: %s %s %v", tool, answer.Status, body, err)
	}
	before, last, _ := strings.Cut("\n"+string(body), `{"jsonrpc":"2.0","id":1,`)
	var m struct {
		Result struct {
			StructuredContent map[string]any
			IsError           bool
		}
	}
	if err := json.NewDecoder(strings.NewReader("{" + last)).Decode(&m); err != nil || m.Result.IsError {
		s.t.Fatalf("%s: %s %v", tool, body, err)
	}
	return m.Result.StructuredContent, before
}

func TestHTTPThroughAWholeJob(t *testing.T) {
	t.Parallel()
	s := startHTTP(t, "--output-dir="+t.TempDir())
	initialized := s.post("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`)
	s.header.Set("Mcp-Session-Id", initialized.Header.Get("Mcp-Session-Id"))
	made, _ := s.call("generate_video", `{"prompt":"a cat on a mat"}`)
	id := fmt.Sprintf(`{"request_id":%q}`, made["request_id"])
	done, before := s.call("wait_for_video", id)
	if done["status"] != "COMPLETED" || !strings.Contains(before, "notifications/progress") {
		t.Errorf("waited for %v, and heard %s", done, before)
	}
	saved, _ := s.call("download_video", id)
	link, _ := saved["saved_url"].(string)
	video, err := http.Get(link)
	if err != nil {
		t.Fatalf("%v: %v", saved, err)
	}
	defer video.Body.Close()
	if n, err := io.Copy(io.Discard, video.Body); err != nil || n == 0 || video.Header.Get("Content-Type") != "video/mp4" {
		t.Errorf("%s: %s, %d bytes, %v", link, video.Status, n, err)
	}
}

func TestHTTPEndsAWaitBeforeItEnds(t *testing.T) {
	t.Parallel()
	s := startHTTP(t, "--sandbox-duration=1h")
	made, _ := s.call("generate_video", `{"prompt":"a cat on a mat"}`)
	answer := s.post("tools/call", fmt.Sprintf(`{"name":"wait_for_video","arguments":{"request_id":%q,"timeout_seconds":30},"_meta":{"progressToken":7}}`, made["request_id"]))
	// Its first progress is sent, since the headers came.
	s.stop()
	begun := time.Now()
	if rest, err := io.ReadAll(answer.Body); err != nil || !strings.Contains(string(rest), `"wait_expired":true`) || time.Since(begun) > 25*time.Second {
		t.Errorf("after %s: %s, %v", time.Since(begun), rest, err)
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
	s.ended <- nil
	if _, err := http.Get(s.url); err == nil {
		t.Error("it still listens")
	}
}

func TestHTTPUsageOfNothingIsAnEmptyList(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("t", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, env := range [][]string{nil, {"PIXAZO_DATABASE_URL=" + pgtest.URL(t)}} {
		args := []string{"--sandbox", "--usage-token-file=" + token}
		if env == nil {
			args = append(args, "--state-dir="+t.TempDir())
		}
		s := startReplica(t, env, args...)
		q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSuffix(s.url, "/mcp")+"/usage", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Authorization", "Bearer "+strings.Repeat("t", 40))
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if body, err := io.ReadAll(answer.Body); string(body) != `{"used":[]}`+"\n" {
			t.Errorf("%s %s %v", answer.Status, body, err)
		}
	}
}

func TestHTTPIsNotForOthersWithoutAuthentication(t *testing.T) {
	for _, args := range [][]string{
		{"--address=:0"}, {"--address=0.0.0.0:0"}, {"--public-url=https://mcp.example.com/mcp"}, {"--files-dir=/tmp"}, {"--files-from-roots"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := run(ctx, append([]string{"http", "--sandbox", "--state-dir=" + t.TempDir()}, args...), nil, nil, strings.NewReader(""), io.Discard, io.Discard)
		cancel()
		name, _, _ := strings.Cut(args[0], "=")
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

func TestTheSandboxCallsBackWhereTheGatewayWould(t *testing.T) {
	for _, c := range []struct {
		settings config.HTTPSettings
		calls    bool
	}{
		{config.HTTPSettings{Address: "127.0.0.1:8080"}, true},
		{config.HTTPSettings{Address: "[::]:8080"}, false}, // else every submission would be refused
		{config.HTTPSettings{Address: "[::]:8080", PublicURL: "https://mcp.example.com/mcp"}, true},
	} {
		if s := withCallbacks(c.settings); (s.WebhookSecret.Reveal() != "") != c.calls {
			t.Errorf("%s %s: callbacks are not %t", s.Address, s.PublicURL, c.calls)
		}
	}
}

// startReplicas runs two replicas on the database at url.
func startReplicas(t *testing.T, url string) (a, b *site) {
	gateway := sandbox.New(sandbox.Options{Duration: time.Hour, Key: "sandbox"})
	t.Cleanup(gateway.Close)
	at := httptest.NewServer(gateway)
	t.Cleanup(at.Close)
	env := []string{"PIXAZO_DATABASE_URL=" + url, "PIXAZO_API_KEY=sandbox"}
	return startReplica(t, env, "--gateway-url="+at.URL), startReplica(t, env, "--gateway-url="+at.URL)
}

// cancelElsewhere begins a session and a wait at a, and cancels the wait at b.
func cancelElsewhere(t *testing.T, a, b *site, prompt string) {
	t.Helper()
	a.header.Del("Mcp-Session-Id")
	session := a.post("initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}`).Header.Get("Mcp-Session-Id")
	a.header.Set("Mcp-Session-Id", session)
	b.header.Set("Mcp-Session-Id", session)
	made, _ := b.call("generate_video", fmt.Sprintf(`{"prompt":%q}`, prompt))
	waiting := a.post("tools/call", fmt.Sprintf(`{"name":"wait_for_video","arguments":{"request_id":%q,"timeout_seconds":50},"_meta":{"progressToken":7}}`, made["request_id"]))
	begun := time.Now()
	b.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
	rest, err := io.ReadAll(waiting.Body)
	if err != nil || strings.Contains(string(rest), `"id":1,`) || time.Since(begun) > 40*time.Second {
		t.Errorf("after %s: %s, %v", time.Since(begun), rest, err)
	}
}

// A client's calls go to whichever replica the proxy picks.
func TestHTTPWithTwoReplicas(t *testing.T) {
	t.Parallel()
	a, b := startReplicas(t, pgtest.URL(t))
	cancelElsewhere(t, a, b, "a cat on a mat")
	q, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, b.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header = b.header
	if answer, err := http.DefaultClient.Do(q); err != nil || answer.StatusCode != 204 {
		t.Fatal(answer, err)
	}
	if !soon(patience, func() bool { return a.post("ping", "{}").StatusCode == 404 }) {
		t.Error("the other replica takes a session that has ended")
	}
}

// A replica hears of rows and signals on one connection, and again after the
// database was away.
func TestHTTPHearsOnOneConnection(t *testing.T) {
	t.Parallel()
	database := pgtest.NewCluster(t, "")
	a, b := startReplicas(t, database.URL)
	// What listens has asked for the time last.
	const listening = `(SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pixazo-mcp' AND query LIKE 'SELECT (extract(epoch FROM clock_timestamp())%')`
	for _, prompt := range []string{"before", "after"} {
		pgtest.Exec(t, database.URL, `DO $$ BEGIN
			FOR tries IN 1..1200 LOOP EXIT WHEN `+listening+` >= 2; PERFORM pg_sleep(0.05), pg_stat_clear_snapshot(); END LOOP;
			ASSERT `+listening+` = 2, 'two replicas do not listen on two connections';
		END $$`)
		cancelElsewhere(t, a, b, prompt)
		if prompt == "before" {
			if err := errors.Join(database.Stop(), database.Start()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The answer to a submission is lost; the callback tells what became of it.
func TestHTTPLearnsOfALostAnswerByCallback(t *testing.T) {
	t.Parallel()
	address := freeAddresses(t, 1)[0]
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(strings.Repeat("s", 40)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startHTTP(t, "--address="+address, "--public-url=http://"+address+"/mcp", "--webhook-secret-file="+secret)
	lost := s.post("tools/call", `{"name":"generate_video","arguments":{"prompt":"sandbox:drop-after a lighthouse"}}`)
	if body, err := io.ReadAll(lost.Body); err != nil || !strings.Contains(string(body), "submission_uncertain") {
		t.Fatalf("%s %v", body, err)
	}
	videos := ""
	if !soon(patience, func() bool {
		listed, _ := s.call("list_videos", `{}`)
		videos = fmt.Sprint(listed["videos"])
		return strings.Contains(videos, "status:COMPLETED") && strings.Contains(videos, "request_id:heygen-video-agent_")
	}) {
		t.Errorf("%s\n%s", videos, s.stderr)
	}
}
