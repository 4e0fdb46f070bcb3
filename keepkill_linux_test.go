// These tests kill keepers while they have a request: it is sent at most once, and
// the answer says what became of it.

package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reader waits for a keeper, other than those known, that has read its request to
// the end, and returns its process.
func (u *user) reader(known ...int) (pid int) {
	u.t.Helper()
	if !soon(patience, func() bool {
		for _, pid = range u.keepers() {
			if slices.Contains(known, pid) {
				continue
			}
			in, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/0", pid), os.O_RDONLY|unix.O_NONBLOCK, 0)
			if err != nil {
				continue
			}
			fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}
			_, err = unix.Poll(fds, 0)
			_ = in.Close()
			if err == nil && fds[0].Revents == unix.POLLHUP { // nothing is left, and nothing will come
				return true
			}
		}
		return false
	}) {
		u.t.Fatal("no keeper has read a request")
	}
	return pid
}

// posts is how many submissions of the prompt were accepted.
func (c *counting) posts(prompt string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.accepted[prompt])
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// The intent stands in the journal, and becomes uncertain when its lease ends.
func TestAKeeperThatIsKilledWhileItSendsLeavesAnUncertainVideo(t *testing.T) {
	t.Parallel()
	if os.Getenv("PIXAZO_TEST_KILLS") == "" {
		t.Skip("takes the 30 s of a lease; PIXAZO_TEST_KILLS is not set")
	}
	gateway, answer := newHolding(t, time.Hour)
	u := newUser(t, gateway.URL)
	p, _ := u.serve()
	call := p.begin("generate_video", generate("tides"))
	<-gateway.arrived
	kill(t, u.reader())
	r := p.await(call)
	if !r.Result.IsError || !strings.HasPrefix(r.text(), "submission_uncertain: it is not known whether the gateway took the request") {
		t.Errorf("got %s", r.text())
	}
	if r := p.call("generate_video", generate("tides")); !strings.HasPrefix(r.text(), "duplicate_uncertain: ") {
		t.Errorf("the same request again: %s", r.text())
	}
	if n := gateway.posts("tides"); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
	answer()
	id := gateway.accepted["tides"][0] // the user finds it on the dashboard
	if r := p.call("get_status", map[string]any{"request_id": id}); r.Result.IsError || r.Result.StructuredContent["prompt"] != "tides" {
		t.Errorf("its id settles it: %s", r.text())
	}
}

// Nothing was written before, so that nothing was sent.
func TestAKeeperThatIsKilledBeforeItsIntentHasSentNothing(t *testing.T) {
	t.Parallel()
	gateway := newCounting(t, time.Hour, func() {})
	u := newUser(t, gateway.URL)
	p, _ := u.serve()
	p.submit("waves")
	first := u.keepers()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(u.state, "journal.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	locked, err := db.Begin() // nobody else writes now
	if err != nil {
		t.Fatal(err)
	}
	call := p.begin("generate_video", generate("tides"))
	kill(t, u.reader(first...))
	if err := locked.Rollback(); err != nil {
		t.Error(err)
	}
	r := p.await(call)
	if !r.Result.IsError || !strings.Contains(r.text(), "ended before it submitted anything. Nothing was submitted or charged.") {
		t.Errorf("got %s", r.text())
	}
	if n := gateway.posts("tides"); n != 0 {
		t.Errorf("it was sent %d times", n)
	}
	if r := p.call("generate_video", generate("tides")); r.Result.IsError || gateway.posts("tides") != 1 {
		t.Errorf("again, it was sent %d times: %s", gateway.posts("tides"), r.text())
	}
}

// Another server has the same request under way, which the second keeper joined.
func TestAKeeperThatIsKilledWhileItJoinsHasSentNothing(t *testing.T) {
	t.Parallel()
	gateway, answer := newHolding(t, time.Hour)
	u := newUser(t, gateway.URL)
	one, _ := u.serve()
	other, _ := u.serve()
	call := one.begin("generate_video", generate("tides"))
	<-gateway.arrived
	first := u.reader()
	joined := other.begin("generate_video", generate("tides"))
	kill(t, u.reader(first))
	if r := other.await(joined); !r.Result.IsError || !strings.Contains(r.text(), "ended before it submitted anything") {
		t.Errorf("got %s", r.text())
	}
	joined = other.begin("generate_video", generate("tides"))
	u.reader(first)
	answer()
	id := one.await(call).Result.StructuredContent["request_id"]
	if r := other.await(joined); id == nil || r.Result.StructuredContent["request_id"] != id || r.Result.StructuredContent["duplicate"] != true || gateway.posts("tides") != 1 {
		t.Errorf("sent %d times, answered %v and then %s", gateway.posts("tides"), id, r.text())
	}
}

// An agent that can run a command makes two calls, however long the video takes:
// the second one is what its next_step says.
func TestAnAgentWithAShellMakesTwoCalls(t *testing.T) {
	t.Parallel()
	gateway := newCounting(t, 3*time.Second, func() {})
	u := newUser(t, gateway.URL)
	u.env = append(u.env, "TMPDIR=/nonexistent") // no command is named in a temporary folder, where the program is now
	p, _ := u.serve()
	p.send(`{"jsonrpc":"2.0","id":"begin","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"claude-code","version":"2"}}}`)
	_ = p.receive()
	p.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	r := p.call("generate_video", generate("tides"))
	id := fmt.Sprint(r.Result.StructuredContent["request_id"])
	_, rest, _ := strings.Cut(fmt.Sprint(r.Result.StructuredContent["next_step"]), "which ends when the video is done: ")
	command, _, found := strings.Cut(rest, " . ")
	if !found {
		t.Fatalf("no command in %s", r.text())
	}
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()} // which has no settings of the server
	out, err := cmd.Output()
	if last := lastLine(string(out)); err != nil || !strings.HasPrefix(last, id+"  COMPLETED  "+u.videos) || len(u.saved()) != 1 {
		t.Errorf("%s: %v, %q", command, err, out)
	}
	u.gone()
}

// PIXAZO_TEST_SILENT=66s is how long the gateway is silent after it took the
// request: longer than --max-wait.
func TestALongSilentGatewayIsAnsweredWithinTheDefaultMaxWait(t *testing.T) {
	silence, err := time.ParseDuration(os.Getenv("PIXAZO_TEST_SILENT"))
	if err != nil {
		t.Skip("PIXAZO_TEST_SILENT is not set")
	}
	t.Parallel()
	gateway := newCounting(t, time.Hour, func() { time.Sleep(silence) })
	u := newUser(t, gateway.URL)
	p, _ := u.serve()
	begun := time.Now()
	p.send(`{"jsonrpc":"2.0","id":1000,"method":"tools/call","params":{"name":"generate_video","arguments":{"prompt":"tides"},"_meta":{"progressToken":"t"}}}`)
	var r toolResult
	heard, longest, told := begun, time.Duration(0), 0
	for r.ID == 0 {
		line := p.receive()
		longest, heard = max(longest, time.Since(heard)), time.Now()
		if strings.Contains(line, "notifications/progress") {
			told++
			continue
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(begun)
	if r.Result.IsError || r.Result.StructuredContent["status"] != "SUBMITTING" || took > silence || longest > 10*time.Second {
		t.Errorf("after %s, with at most %s without a word: %s", took, longest, r.text())
	}
	t.Logf("answered after %s, %d words of progress, at most %s apart", took.Round(time.Millisecond), told, longest.Round(time.Millisecond))
	id := ""
	if !soon(patience, func() bool {
		videos, _ := p.call("list_videos", nil).Result.StructuredContent["videos"].([]any)
		id = fmt.Sprint(videos[0].(map[string]any)["request_id"])
		return strings.HasPrefix(id, "heygen")
	}) || id != gateway.accepted["tides"][0] || gateway.posts("tides") != 1 {
		t.Errorf("the list has %s, accepted %q", id, gateway.accepted["tides"])
	}
}

// keeper.log is begun anew when it is full: nobody tidies up after a keeper.
func TestAKeepersLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	b := &boundedFile{filepath.Join(dir, "keeper.log"), 1000}
	for i := range 1000 {
		if _, err := fmt.Fprintf(b, "line %03d\n", i); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, "keeper.log")); err != nil || info.Size() > 1009 || info.Mode().Perm() != 0o600 {
			t.Fatalf("after %d lines: %+v, %v", i, info, err)
		}
	}
	f, err := os.Open(filepath.Join(dir, "keeper.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	last := ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		last = lines.Text()
	}
	if last != "line 999" {
		t.Errorf("it ends with %q", last)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the directory: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the directory was made again")
	}
}

// A program that was updated runs beside one that was not: the keeper of the older
// version ends once what it sends is answered, and the newer one watches its video.
func TestAKeeperOfAnOlderVersionEndsAfterItsSubmission(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	t.Parallel()
	newer, err := updated()
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	answer := sync.OnceFunc(func() { close(over) })
	t.Cleanup(answer)
	var sent atomic.Int32
	gateway := newCounting(t, time.Hour, func() {
		if sent.Add(1) == 1 {
			<-over
		}
	})
	u := newUser(t, gateway.URL)
	one, _ := u.serve()
	call := one.begin("generate_video", generate("tides"))
	<-gateway.arrived
	old := u.reader()
	u.leased("watch ")
	cmd := exec.Command(newer)
	cmd.Env = u.env
	two := talkTo(t, cmd)
	if r := two.call("generate_video", generate("waves")); r.Result.IsError {
		t.Fatal(r.text())
	}
	if !soon(patience, func() bool {
		log, _ := os.ReadFile(filepath.Join(u.state, "keeper.log"))
		return strings.Contains(string(log), "a newer keeper has taken over")
	}) {
		t.Error("the old keeper does not see the newer one")
	}
	if !slices.Contains(u.keepers(), old) {
		t.Error("the old keeper ended while it was sending")
	}
	answer()
	if r := one.await(call); r.Result.StructuredContent["request_id"] != gateway.accepted["tides"][0] {
		t.Errorf("got %s", r.text())
	}
	if !soon(patience, func() bool { return !slices.Contains(u.keepers(), old) }) {
		t.Error("the old keeper stays")
	}
	list := exec.Command(newer, "list")
	list.Env = u.env
	out, err := list.CombinedOutput()
	if err != nil || len(u.keepers()) != 1 || !strings.Contains(string(out), "a keeper watches what is pending: version 99.0.0") || strings.Count(string(out), "heygen-video-agent_") != 2 {
		t.Errorf("%d keepers run, %v: %s", len(u.keepers()), err, out)
	}
}
