// This file runs the built program as two replicas of a team server, as processes
// behind nginx, which gives them calls in turn, with one PostgreSQL and one gateway
// that calls back through the proxy.

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pixazo-mcp/internal/download"
)

// deployment is a team server with all that belongs to it.
type deployment struct {
	t        *testing.T
	database string // its URL
	gateway  *counting
	proxy    string // its address, host and port
	log      string // of the proxy
	replicas []*process
	videos   string // directory
}

// process is a replica.
type process struct {
	d       *deployment
	address string
	args    []string
	log     syncBuffer
	cmd     *exec.Cmd
	ended   chan error
}

// deploy starts two replicas over a database, and the proxy, whose settings are
// those of packaging/team. The users are user-0, user-1 and so on.
func deploy(t *testing.T, database string, users int, duration time.Duration, late func(), args ...string) *deployment {
	t.Helper()
	if _, err := exec.LookPath("/usr/sbin/nginx"); err != nil {
		if os.Getenv("PIXAZO_TEST_TEAM") != "" {
			t.Fatal(err)
		}
		t.Skip("no nginx (install nginx-light): ", err)
	}
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	d := &deployment{t: t, database: database, gateway: newCounting(t, duration, late), videos: t.TempDir()}
	at := freeAddresses(t, 3)
	d.proxy = at[0]
	dir := t.TempDir()
	args = append([]string{"--public-url=http://" + d.proxy + "/mcp", "--gateway-url=" + d.gateway.URL, "--output-dir=" + d.videos,
		"--webhook-secret-file=" + secretIn(t, dir, "webhook", strings.Repeat("s", 32)), "--tokens-file=" + secretIn(t, dir, "tokens", tokensOf(users)),
		"--metrics-address=none", "--max-calls-per-minute=0", "--max-videos-per-hour=0", "--max-videos-per-day=0", "--drain-time=20s"}, args...)
	for _, address := range at[1:] {
		p := &process{d: d, address: address, args: append([]string{"http", "--address=" + address}, args...)}
		p.start()
		d.replicas = append(d.replicas, p)
		t.Cleanup(func() {
			p.kill()
			log := p.log.String()
			for _, word := range []string{"panic", "DATA RACE", secret, "the token of", "top-secret", "/webhook/", " of user-"} {
				if strings.Contains(log, word) {
					t.Errorf("the log of %s has %q", address, word)
				}
			}
			if t.Failed() {
				t.Logf("the log of %s ends with\n%s", address, log[max(0, len(log)-20_000):])
			}
		})
	}
	d.startProxy(at)
	for _, p := range d.replicas {
		p.ready()
	}
	return d
}

func secretIn(t *testing.T, dir, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func userName(n int) string { return fmt.Sprint("user-", n) }

func tokensOf(users int) (lines string) {
	for n := range users {
		lines += fmt.Sprintf("%s sha256:%x\n", userName(n), sha256.Sum256([]byte("the token of "+userName(n))))
	}
	return lines
}

// startProxy starts nginx.
func (d *deployment) startProxy(at []string) {
	d.t.Helper()
	conf, err := os.ReadFile("packaging/team/nginx.conf")
	if err != nil {
		d.t.Fatal(err)
	}
	text := strings.NewReplacer("127.0.0.1:8080", at[0], "127.0.0.1:8081", at[1], "127.0.0.1:8082", at[2], "least_conn;", "").Replace(string(conf))
	dir := d.t.TempDir()
	d.log = filepath.Join(dir, "access.log")
	directives := "daemon off;"
	if os.Getuid() == 0 { // else the workers would be somebody who can't read dir
		directives += " user root;"
	}
	cmd := exec.Command("/usr/sbin/nginx", "-e", "error.log", "-p", dir, "-c", secretIn(d.t, dir, "nginx.conf", text), "-g", directives)
	var out syncBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // which ends its workers as well
		_ = cmd.Wait()
		errs, _ := os.ReadFile(filepath.Join(dir, "error.log"))
		if bytes.Contains(errs, []byte("/webhook/")) || bytes.Contains(errs, []byte("sig=")) {
			d.t.Error("the proxy's log has addresses that are secrets")
		}
		if d.t.Failed() {
			d.t.Logf("nginx: %s\n%s", &out, errs[max(0, len(errs)-50000):])
		}
	})
	if !soon(patience, func() bool { c, err := net.Dial("tcp", d.proxy); return err == nil && c.Close() == nil }) {
		d.t.Fatalf("nginx does not listen: %s", &out)
	}
}

// start starts the replica.
func (p *process) start() {
	path, _ := binary()
	p.cmd = exec.Command(path, p.args...)
	p.cmd.Env = append(homes(p.d.videos), "PIXAZO_API_KEY="+secret, "PIXAZO_DATABASE_URL="+p.d.database)
	p.cmd.Stderr = &p.log
	p.ended = make(chan error, 1)
	if err := p.cmd.Start(); err != nil {
		p.d.t.Error(err)
		p.ended <- err
		return
	}
	cmd, ended := p.cmd, p.ended
	go func() { ended <- cmd.Wait() }()
}

// kill ends the replica at once.
func (p *process) kill() {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
	}
	<-p.ended
	p.ended <- nil
}

// end ends the replica as an upgrade does.
func (p *process) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.ended:
		p.ended <- err
		if err != nil {
			p.d.t.Errorf("the replica %s ended with %v", p.address, err)
		}
	case <-time.After(time.Minute):
		p.d.t.Errorf("the replica %s does not end", p.address)
		p.kill()
	}
}

// ready waits until the replica takes calls.
func (p *process) ready() {
	if !soon(patience, func() bool {
		resp, err := http.Get("http://" + p.address + "/readyz")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == 200
	}) {
		p.d.t.Errorf("the replica %s is not ready:\n%s", p.address, &p.log)
	}
}

// caller is the client of a user, of one of the two eras.
type caller struct {
	address, user string
	modern        bool
	session       string
}

// connect returns a client that has said hello in the way of its era.
func (d *deployment) connect(address string, user int, modern bool) caller {
	d.t.Helper()
	c := caller{address: address, user: userName(user), modern: modern}
	if !modern {
		resp, err := c.send(d.t.Context(), "initialize", map[string]any{"protocolVersion": "2025-11-25", "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "test", "version": "1"}})
		if err != nil {
			d.t.Fatal(err)
		}
		defer resp.Body.Close()
		if c.session = resp.Header.Get("Mcp-Session-Id"); c.session == "" {
			d.t.Fatalf("initialize: %s", resp.Status)
		}
	}
	return c
}

// at returns the client with another address.
func (c caller) at(address string) caller {
	c.address = address
	return c
}

func (c caller) request(ctx context.Context, verb string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, verb, "http://"+c.address+"/mcp", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer the token of "+c.user)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if c.session != "" {
		r.Header.Set("Mcp-Session-Id", c.session)
	}
	return r, nil
}

// send sends a request of MCP, or a notification.
func (c caller) send(ctx context.Context, method string, params map[string]any) (*http.Response, error) {
	m := map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
	meta := map[string]any{"progressToken": 7}
	if strings.HasPrefix(method, "notifications/") {
		delete(m, "id")
	} else if c.modern {
		meta["io.modelcontextprotocol/protocolVersion"], meta["io.modelcontextprotocol/clientCapabilities"] = "2026-07-28", map[string]any{}
	}
	params["_meta"] = meta
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	r, err := c.request(ctx, http.MethodPost, body)
	if err != nil {
		return nil, err
	}
	if c.modern {
		r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		r.Header.Set("Mcp-Method", method)
		for _, key := range []string{"name", "uri"} {
			if name, ok := params[key].(string); ok {
				r.Header.Set("Mcp-Name", name)
			}
		}
	}
	return http.DefaultClient.Do(r)
}

// call calls a tool and returns the answer, and how many messages came before it.
// The error says that there was none.
func (c caller) call(ctx context.Context, tool string, args map[string]any) (r toolResult, before int, err error) {
	resp, err := c.send(ctx, "tools/call", map[string]any{"name": tool, "arguments": args})
	if err != nil {
		return r, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return r, 0, fmt.Errorf("%s: %s", resp.Status, body)
	}
	messages := bufio.NewReader(resp.Body)
	if resp.Header.Get("Content-Type") == "application/json" {
		return r, 0, json.NewDecoder(messages).Decode(&r)
	}
	for {
		line, err := event(messages)
		if err != nil {
			return r, before, err
		}
		if err = json.Unmarshal(line, &r); err != nil || r.ID == 1 {
			return r, before, err
		}
		before++
	}
}

// event returns the next message of a stream.
func event(stream *bufio.Reader) ([]byte, error) {
	for {
		line, err := stream.ReadBytes('\n')
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok || err != nil {
			return data, err
		}
	}
}

// must calls a tool, which is to succeed.
func (d *deployment) must(c caller, tool string, args map[string]any) (structured map[string]any, before int) {
	d.t.Helper()
	r, before, err := c.call(d.t.Context(), tool, args)
	if err != nil || r.Result.IsError || r.Error != nil {
		d.t.Fatalf("%s: %s, %v", tool, r.text(), err)
	}
	return r.Result.StructuredContent, before
}

// news subscribes to a resource: since 2026-07-28 on a stream of its own, before
// that at one replica, with the stream at another.
func (d *deployment) news(ctx context.Context, c caller, other, uri string) (*bufio.Reader, error) {
	if c.modern {
		resp, err := c.send(ctx, "subscriptions/listen", map[string]any{"notifications": map[string]any{"resourceSubscriptions": []string{uri}}})
		if err != nil {
			return nil, err
		}
		d.t.Cleanup(func() { _ = resp.Body.Close() })
		return bufio.NewReader(resp.Body), nil
	}
	r, err := c.request(ctx, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	d.t.Cleanup(func() { _ = resp.Body.Close() })
	subscribed, err := c.at(other).send(ctx, "resources/subscribe", map[string]any{"uri": uri})
	if err == nil {
		err = subscribed.Body.Close()
	}
	return bufio.NewReader(resp.Body), err
}

// savedOf are the names of the videos in a user's folder. What a replica had in
// hand when it was killed is hidden, and goes some time.
func (d *deployment) savedOf(user string) (names []string) {
	entries, _ := os.ReadDir(download.Folder(d.videos, "token:"+user))
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return names
}
