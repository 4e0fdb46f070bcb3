// These tests run the built program with its keepers as processes, which /proc
// shows, and end the servers as clients do: at once, and with all of their
// process group. A video that was submitted is made, saved and told all the same.

package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"pixazo-mcp/pixazo/sandbox"
)

// user is somebody with a desktop, a journal and a folder for videos.
type user struct {
	t       testing.TB
	state   string // directory
	videos  string // directory
	env     []string
	gateway string
	notices func() []string // titles; nil without a session bus
}

// newUser returns a user of a gateway, and waits in the end for the keepers.
func newUser(t testing.TB, gateway string) *user {
	t.Helper()
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	u := &user{t: t, state: filepath.Join(t.TempDir(), "state"), videos: t.TempDir(), gateway: gateway}
	address, notices := desktop(t)
	u.notices = notices
	u.env = append(homes(t.TempDir()), "PIXAZO_API_KEY="+secret, "PIXAZO_MAX_VIDEOS_PER_HOUR=0", "PIXAZO_MAX_VIDEOS_PER_DAY=0", "PIXAZO_NOTIFY=true",
		"PIXAZO_STATE_DIR="+u.state, "PIXAZO_OUTPUT_DIR="+u.videos, "PIXAZO_GATEWAY_URL="+gateway, "DBUS_SESSION_BUS_ADDRESS="+address,
		"TEST_OF="+u.videos) // which the keepers inherit, and are known by
	t.Cleanup(func() {
		for _, pid := range u.keepers() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		u.gone()
	})
	return u
}

// desktop is a session bus with a notification service, which returns the titles
// of what it was given. Without a bus daemon there are no notices, unless
// PIXAZO_TEST_DESKTOP requires them.
func desktop(t testing.TB) (address string, notices func() []string) {
	t.Helper()
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		if os.Getenv("PIXAZO_TEST_DESKTOP") != "" {
			t.Fatal(err)
		}
		return "unix:path=/nonexistent", nil
	}
	dir, err := os.MkdirTemp("", "bus-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	address = "unix:path=" + filepath.Join(dir, "bus")
	daemon := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address=1", "--address="+address)
	out, err := daemon.StdoutPipe()
	if err == nil {
		err = daemon.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	d := &notified{}
	const service = "org.freedesktop.Notifications"
	if err := conn.Export(d, "/org/freedesktop/Notifications", service); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(service, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return address, func() []string {
		d.mu.Lock()
		defer d.mu.Unlock()
		return slices.Clone(d.titles)
	}
}

// notified implements the service.
type notified struct {
	mu     sync.Mutex
	titles []string
}

// GetCapabilities is a method of the service.
func (*notified) GetCapabilities() ([]string, *dbus.Error) { return []string{"body"}, nil }

// Notify is a method of the service.
func (n *notified) Notify(_ string, _ uint32, _, title, _ string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.titles = append(n.titles, title)
	return uint32(len(n.titles)), nil
}

// serve starts a server in a process group of its own.
func (u *user) serve(args ...string) (*program, *exec.Cmd) {
	u.t.Helper()
	path, err := binary()
	if err != nil {
		u.t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = u.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return talkTo(u.t, cmd), cmd
}

// killGroup is what a client does half a second after an interrupt.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// keepers are the processes of the user's keepers.
func (u *user) keepers() (pids []int) {
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		u.t.Fatal(err)
	}
	for _, path := range all {
		env, _ := os.ReadFile(path)
		if !bytes.Contains(env, []byte("TEST_OF="+u.videos+"\x00")) {
			continue
		}
		dir := filepath.Dir(path)
		if words, _ := os.ReadFile(filepath.Join(dir, "cmdline")); string(words) == "pixazo-mcp\x00keep\x00" {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			pids = append(pids, pid)
		}
	}
	return pids
}

// gone waits until no keeper runs.
func (u *user) gone() {
	u.t.Helper()
	if !soon(patience, func() bool { return len(u.keepers()) == 0 }) {
		log, _ := os.ReadFile(filepath.Join(u.state, "keeper.log"))
		u.t.Errorf("%d keepers still run after %s:\n%s", len(u.keepers()), patience, log)
	}
}

// leased waits until a keeper has a lease of this kind.
func (u *user) leased(kind string) {
	u.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(u.state, "journal.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		u.t.Fatal(err)
	}
	defer db.Close()
	if !soon(patience, func() bool {
		var n int
		return db.QueryRow("SELECT COUNT(*) FROM leases WHERE name LIKE $1", kind+"%").Scan(&n) == nil && n > 0
	}) {
		u.t.Errorf("no keeper has a lease %q", kind)
	}
}

// saved are the names in the user's folder of videos.
func (u *user) saved() (names []string) {
	entries, err := os.ReadDir(u.videos)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// counting is a sandbox that counts what is accepted, by prompt, and polls, by
// request_id, notes when a callback was taken, and whose answers to submissions
// come late.
type counting struct {
	*httptest.Server
	arrived chan struct{} // hears of each submission, which is under way then

	mu        sync.Mutex
	accepted  map[string][]string
	polls     map[string]int
	delivered map[string]time.Time
}

func newCounting(t testing.TB, duration time.Duration, late func()) *counting {
	t.Helper()
	c := &counting{arrived: make(chan struct{}, 1000), accepted: map[string][]string{}, polls: map[string]int{}, delivered: map[string]time.Time{}}
	emulator := sandbox.New(sandbox.Options{Duration: duration, Key: secret, WebhookClient: &http.Client{Timeout: time.Minute, Transport: c}, Accepted: func(id string, body []byte) {
		var request struct{ Prompt string }
		if err := json.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		c.accepted[request.Prompt] = append(c.accepted[request.Prompt], id)
		c.mu.Unlock()
		c.arrived <- struct{}{}
		late()
	}})
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, ok := strings.CutPrefix(r.URL.Path, "/v2/requests/status/"); ok {
			c.mu.Lock()
			c.polls[id]++
			c.mu.Unlock()
		}
		emulator.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { emulator.Close(); c.CloseClientConnections(); c.Close() })
	return c
}

// newHolding returns a gateway whose jobs take duration, and which answers no POST
// before answer is called.
func newHolding(t *testing.T, duration time.Duration) (gateway *counting, answer func()) {
	over := make(chan struct{})
	answer = sync.OnceFunc(func() { close(over) })
	t.Cleanup(answer)
	return newCounting(t, duration, func() { <-over }), answer
}

// RoundTrip delivers a callback, again and again until it is taken: a storm is not
// to look like a receiver that fails for good.
func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	var status struct {
		RequestID string `json:"request_id"`
	}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &status)
	}
	if err != nil {
		return nil, err
	}
	for {
		try := r.Clone(r.Context())
		try.Body = io.NopCloser(bytes.NewReader(body))
		resp, err := http.DefaultTransport.RoundTrip(try)
		if err == nil && resp.StatusCode/100 == 2 {
			c.mu.Lock()
			c.delivered[status.RequestID] = time.Now()
			c.mu.Unlock()
			return resp, nil
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// has reports whether the prompt was accepted.
func (c *counting) has(prompt string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.accepted[prompt]) > 0
}

// media is what the sandbox sends as a video.
func (c *counting) media(t *testing.T, id string) []byte {
	t.Helper()
	resp, err := http.Get(c.URL + "/media/" + id + "/output.mp4")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	video, err := io.ReadAll(resp.Body)
	if err != nil || len(video) < 10_000 {
		t.Fatalf("%d bytes, %v", len(video), err)
	}
	return video
}

// opencode ends, with its server, whatever pgrep -P finds below that.
func TestAKeeperDescendsFromNoServer(t *testing.T) {
	t.Parallel()
	gateway := newCounting(t, time.Hour, func() {})
	u := newUser(t, gateway.URL)
	p, cmd := u.serve()
	p.call("generate_video", generate("tides"))
	pids := u.keepers()
	if len(pids) != 1 {
		t.Fatalf("%d keepers run", len(pids))
	}
	for pid := pids[0]; pid > 1; {
		if pid == cmd.Process.Pid {
			t.Fatalf("the keeper %d descends from the server %d", pids[0], pid)
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := bytes.Cut(stat, []byte(") "))
		pid, err = strconv.Atoi(string(bytes.Fields(rest)[1]))
		if err != nil {
			t.Fatal(err)
		}
	}
}

// The client sends SIGKILL to all of the server's process group in the middle of
// a POST.
func TestAVideoOutlivesItsServer(t *testing.T) {
	t.Parallel()
	gateway, answer := newHolding(t, time.Millisecond)
	u := newUser(t, gateway.URL)
	p, cmd := u.serve("--log-level=debug")
	p.begin("generate_video", generate("tides"))
	<-gateway.arrived
	killGroup(cmd)
	select {
	case <-p.ended:
	case <-time.After(patience): // the keeper goes on sending
		t.Error("the server's stderr is held open by its keeper")
	}
	pids := u.keepers()
	if len(pids) != 1 {
		t.Fatalf("%d keepers run", len(pids))
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pids[0]))
	if err != nil || bytes.Contains(env, []byte(secret)) || bytes.Contains(bytes.ToUpper(env), []byte("PIXAZO_API")) {
		t.Errorf("the environment of the keeper has the key or settings: %v\n%s", err, env)
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pids[0])); cwd != "/" {
		t.Errorf("the keeper is in %s, %v", cwd, err)
	}
	answer()
	if !soon(patience, func() bool {
		return len(u.saved()) > 0 && len(journalRows(t, u.state)) > 0 && journalRows(t, u.state)[0].state == "accepted"
	}) {
		t.Fatalf("saved %q, the journal has %+v", u.saved(), journalRows(t, u.state))
	}
	u.gone()
	id := gateway.accepted["tides"][0]
	if rows := journalRows(t, u.state); len(rows) != 1 || rows[0] != (row{"accepted", id, "tides"}) {
		t.Errorf("the journal has %+v", rows)
	}
	if names := u.saved(); len(names) != 1 {
		t.Errorf("saved %q", names)
	} else if video, err := os.ReadFile(filepath.Join(u.videos, names[0])); err != nil || !bytes.Equal(video, gateway.media(t, id)) {
		t.Errorf("%d bytes were saved, %v", len(video), err)
	}
	if u.notices != nil && !slices.Equal(u.notices(), []string{"Video saved"}) {
		t.Errorf("notices %q", u.notices())
	}
	log, err := os.Stat(filepath.Join(u.state, "keeper.log"))
	if err != nil || log.Mode().Perm() != 0o600 {
		t.Errorf("keeper.log: %v, %v", log, err)
	}
}

func TestServersKilledAtAnyMomentLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	kills := kills()
	gateway := newCounting(t, time.Millisecond, func() { time.Sleep(time.Duration(rand.Int64N(int64(50 * time.Millisecond)))) })
	u := newUser(t, gateway.URL)
	var sides sync.WaitGroup
	var next atomic.Int32
	for range 2 {
		sides.Go(func() {
			for n := next.Add(1); int(n) <= kills; n = next.Add(1) {
				p, cmd := u.serve()
				p.begin("generate_video", generate(fmt.Sprint("video ", n)))
				p.send(`{"jsonrpc":"2.0","id":"begun","method":"ping"}`)
				_ = p.receive() // of the two answers, whichever is first
				window := 150 * time.Millisecond
				if n%2 == 0 { // on a busy machine, most others come before the submission
					window /= 2
					soon(patience, func() bool { return gateway.has(fmt.Sprint("video ", n)) })
				}
				time.Sleep(time.Duration(rand.Int64N(int64(window))))
				killGroup(cmd)
				<-p.ended
			}
		})
	}
	sides.Wait()
	u.gone()
	rows := map[string][]row{}
	for _, r := range journalRows(t, u.state) {
		rows[r.prompt] = append(rows[r.prompt], r)
		if r.state != "accepted" {
			t.Errorf("the journal has %+v", r)
		}
	}
	for prompt, ids := range gateway.accepted {
		if r := rows[prompt]; len(ids) != 1 || len(r) != 1 || r[0].requestID != ids[0] {
			t.Errorf("%s was accepted as %s and is recorded as %+v", prompt, ids, r)
		}
	}
	if len(u.saved()) != len(gateway.accepted) {
		t.Errorf("%d accepted, saved are %q", len(gateway.accepted), u.saved())
	}
	if u.notices != nil && len(u.notices()) != len(gateway.accepted) {
		t.Errorf("%d accepted, notices are %q", len(gateway.accepted), u.notices())
	}
	t.Logf("%d servers killed, %d videos accepted, all recorded with their request_id, saved and told once", kills, len(gateway.accepted))
	if len(gateway.accepted) < kills/2 {
		t.Error("the kills came before the submissions, so that nothing was tested")
	}
}

func TestManyServersOfAUserMakeOneVideo(t *testing.T) {
	t.Parallel()
	gateway := newCounting(t, 3*time.Second, func() {})
	u := newUser(t, gateway.URL)
	var all []*program
	for range 8 {
		p, _ := u.serve()
		all = append(all, p)
	}
	for _, p := range all {
		p.begin("generate_video", generate("tides"))
	}
	ids := map[any]int{}
	for _, p := range all {
		ids[p.await(1).Result.StructuredContent["request_id"]]++
	}
	id := gateway.accepted["tides"][0]
	if ids[id] != 8 || len(gateway.accepted["tides"]) != 1 {
		t.Errorf("answered %v, accepted %v", ids, gateway.accepted)
	}
	if !soon(patience, func() bool { return len(u.saved()) > 0 }) {
		t.Error("nothing was saved")
	}
	u.gone()
	gateway.mu.Lock()
	polls := gateway.polls[id]
	gateway.mu.Unlock()
	// A duplicate is asked for once more; the rest are 5 s apart.
	if names := u.saved(); len(names) != 1 || polls > 12 {
		t.Errorf("saved %q after %d polls", names, polls)
	}
	if u.notices != nil && len(u.notices()) != 1 {
		t.Errorf("notices %q", u.notices())
	}
}

// The gateway takes the request and says nothing for longer than the call may
// last; with a keeper and without.
func TestASilentGatewayIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--max-wait=2s"}, {"--max-wait=2s", "--keeper=false"}, {"--max-wait=1s"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			gateway, answer := newHolding(t, time.Hour)
			u := newUser(t, gateway.URL)
			p, _ := u.serve(args...)
			begun := time.Now()
			r := p.call("generate_video", generate("tides"))
			if r.Result.IsError || r.Result.StructuredContent["status"] != "SUBMITTING" || !strings.Contains(r.text(), "list_videos") || time.Since(begun) > 40*time.Second { // without --max-wait it would be 50
				t.Errorf("after %s: %s", time.Since(begun), r.text())
			}
			<-gateway.arrived
			answer()
			id := gateway.accepted["tides"][0]
			if !soon(patience, func() bool { return strings.Contains(p.call("list_videos", nil).text(), id) }) {
				t.Errorf("the list has no %s: %s", id, p.call("list_videos", nil).text())
			}
			if err := p.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKeepersAreStoppedAfterTheirSubmissions(t *testing.T) {
	t.Parallel()
	gateway, answer := newHolding(t, time.Hour)
	u := newUser(t, gateway.URL)
	p, _ := u.serve()
	p.begin("generate_video", generate("tides"))
	<-gateway.arrived
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	stop := func() string {
		cmd := exec.Command(path, "keep", "--stop")
		cmd.Env = u.env
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("keep --stop: %v", err)
		}
		return string(out)
	}
	u.leased("watch ")
	said := make(chan string, 1)
	go func() { said <- stop() }()
	select {
	case out := <-said:
		t.Fatalf("it did not wait: %s", out)
	case <-time.After(2 * time.Second):
	}
	answer()
	if r := p.await(1); r.Result.IsError {
		t.Errorf("got %s", r.text())
	}
	if out := <-said; out != "keepers ended: 1\n" {
		t.Errorf("it said %q", out)
	}
	u.gone() // though the video is pending
	if out := stop(); out != "keepers ended: 0\n" {
		t.Errorf("it said %q", out)
	}
}

// submit makes a video that must be accepted.
func (p *program) submit(prompt string) {
	p.t.Helper()
	if r := p.call("generate_video", generate(prompt)); r.Result.IsError {
		p.t.Fatal(r.text())
	}
}

func TestADeletedStateDirectoryEndsItsKeeper(t *testing.T) {
	t.Parallel()
	gateway := newCounting(t, time.Hour, func() {})
	u := newUser(t, gateway.URL)
	p, cmd := u.serve()
	p.submit("tides")
	killGroup(cmd)
	<-p.ended
	u.leased("watch ")
	if len(u.keepers()) != 1 {
		t.Errorf("%d keepers watch", len(u.keepers()))
	}
	if err := os.RemoveAll(u.state); err != nil {
		t.Fatal(err)
	}
	u.gone()
	if _, err := os.Stat(u.state); err == nil {
		t.Error("it was made again")
	}
}

// A keeper is ended by a logout, say, while it sends.
func TestSignalsDoNotCutAKeepersSubmissionOff(t *testing.T) {
	t.Parallel()
	gateway, answer := newHolding(t, time.Hour)
	u := newUser(t, gateway.URL)
	p, _ := u.serve()
	p.begin("generate_video", generate("tides"))
	<-gateway.arrived
	for _, pid := range u.keepers() {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGTERM} {
			_ = syscall.Kill(pid, signal)
			time.Sleep(50 * time.Millisecond)
		}
	}
	if len(u.keepers()) != 1 {
		t.Errorf("%d keepers send", len(u.keepers()))
	}
	answer()
	if r := p.await(1); r.Result.StructuredContent["request_id"] != gateway.accepted["tides"][0] {
		t.Errorf("got %s", r.text())
	}
	u.gone()
}

// In a container, the end of process 1 is the end of all others.
func TestProcess1DoesAKeepersWorkByItself(t *testing.T) {
	t.Parallel()
	if err := exec.Command("unshare", "-pf", "true").Run(); err != nil {
		t.Skip("can't make a process 1: ", err)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	gateway := newCounting(t, time.Millisecond, func() {})
	u := newUser(t, gateway.URL)
	cmd := exec.Command("unshare", "-pf", path)
	cmd.Env = u.env
	p := talkTo(t, cmd)
	p.submit("tides")
	if n := len(u.keepers()); n != 0 {
		t.Errorf("%d keepers run", n)
	}
	if !soon(patience, func() bool { return len(u.saved()) == 1 }) {
		t.Errorf("saved %q", u.saved())
	}
	if err := p.end(); err != nil {
		t.Error(err)
	}
}

// The sandbox of each process has a port of its own: what a keeper saw of a video
// is played from the reader's.
func TestAVideoOfTheSandboxIsPlayedInAnotherProcess(t *testing.T) {
	t.Parallel()
	u := newUser(t, "")
	p, cmd := u.serve("--sandbox", "--sandbox-duration=1ms")
	id := p.call("generate_video", generate("tides")).Result.StructuredContent["request_id"]
	killGroup(cmd)
	if !soon(patience, func() bool { return len(u.saved()) == 1 }) {
		t.Fatalf("saved %q", u.saved())
	}
	u.gone()
	reader, _ := u.serve("--sandbox")
	reader.send(`{"jsonrpc":"2.0","id":99,"method":"resources/read","params":{"uri":"pixazo://videos/` + fmt.Sprint(id) + `"}}`)
	said := reader.receive()
	if video := fetched(said); len(video) < 10_000 {
		t.Errorf("%d bytes by the address in %s", len(video), said)
	}
	if r := reader.call("download_video", map[string]any{"request_id": id, "filename": "copy.mp4"}); r.Result.IsError {
		t.Error(r.text())
	}
}

// fetched is what the first address of media in said leads to.
func fetched(said string) []byte {
	_, rest, _ := strings.Cut(said, "http://127.0.0.1")
	address, _, _ := strings.Cut(rest, `\"`)
	resp, err := http.Get("http://127.0.0.1" + address)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	video, _ := io.ReadAll(resp.Body)
	return video
}

// A server looks at the journal once in its life and again when somebody has
// written to it. With PIXAZO_TEST_IDLE this takes two minutes: one until that look
// is over, and one in which there must be none.
func TestAnIdleServerReadsAndWritesNothing(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		if os.Getenv("PIXAZO_TEST_IDLE") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	settles, lasts := 2*time.Second, 5*time.Second
	if os.Getenv("PIXAZO_TEST_IDLE") != "" {
		settles, lasts = 63*time.Second, 60*time.Second
	}
	for _, args := range [][]string{nil, {"--keeper=false"}} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			gateway := newCounting(t, time.Millisecond, func() {})
			u := newUser(t, gateway.URL)
			before, _ := u.serve()
			if r := before.call("generate_video", generate("tides")); r.Result.IsError {
				t.Fatal(r.text())
			}
			soon(patience, func() bool { return len(u.saved()) == 1 })
			u.gone()
			if err := before.end(); err != nil {
				t.Error(err)
			}
			trace := filepath.Join(t.TempDir(), "trace")
			cmd := exec.Command("strace", append([]string{"-f", "-ttt", "-o", trace, path}, args...)...)
			cmd.Env = append(u.env, "GODEBUG=updatemaxprocs=0") // the runtime reads the limits of the container by itself
			p := talkTo(t, cmd)
			p.call("list_videos", nil) // which opens the journal
			time.Sleep(settles)
			begun := time.Now()
			time.Sleep(lasts)
			ended := time.Now()
			if err := p.end(); err != nil {
				t.Error(err)
			}
			raw, err := os.ReadFile(trace)
			if errors.Is(err, os.ErrNotExist) {
				t.Skip("strace may not trace here")
			}
			wakes, calls := idleCalls(string(raw), begun, ended)
			if most := max(int(lasts/(12*time.Second)), 1); wakes > most {
				t.Errorf("it woke %d times in %s:\n%s", wakes, lasts, strings.Join(calls, "\n"))
			}
			for _, call := range calls {
				if name, _, _ := strings.Cut(call, "("); strings.Contains(name, "read") || strings.Contains(name, "write") || strings.Contains(name, "open") || strings.Contains(name, "sync") {
					t.Errorf("it called %s", call)
				}
			}
		})
	}
}

// idleCalls returns the system calls of a trace between two times, and how often
// the process woke for them.
func idleCalls(trace string, begun, ended time.Time) (wakes int, calls []string) {
	var last time.Time
	for line := range strings.Lines(trace) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(fields) < 3 {
			continue
		}
		seconds, err := strconv.ParseFloat(strings.TrimSpace(fields[1]), 64)
		if err != nil {
			continue
		}
		at := time.UnixMicro(int64(seconds * 1e6))
		if at.Before(begun) || at.After(ended) {
			continue
		}
		if at.Sub(last) > 100*time.Millisecond {
			wakes++
		}
		last = at
		calls = append(calls, strings.TrimSpace(fields[2]))
	}
	return wakes, calls
}

// A local file is held once by the server and once by the keeper, as it is on
// disk, and encoded while it is sent.
func TestAttachmentsCostAboutTheirSizeInMemory(t *testing.T) {
	const mb = 1 << 20
	dir := t.TempDir()
	for name, size := range map[string]int{"0.png": 100, "1.png": 20 * mb, "2.png": 20 * mb, "3.png": 10 * mb} {
		content := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte{7}, size-8)...)
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		args  []string
		files []string
		size  int64
		most  float64 // memory above idle, by size
	}{
		{"in the server", []string{"--keeper=false"}, []string{"1.png"}, 20 * mb, 1.5},
		{"in the server, three files", []string{"--keeper=false"}, []string{"1.png", "2.png", "3.png"}, 50 * mb, 1.5},
		{"with a keeper", nil, []string{"1.png"}, 20 * mb, 2.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			came, answer := make(chan int64), make(chan bool)
			gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				if r.Method == http.MethodPost {
					came <- n
					<-answer
				}
				fmt.Fprintf(w, `{"request_id":"heygen-video-agent_019d2f4e-77aa-7bcd-9e01-%012d","status":"QUEUED"}`, n)
			}))
			defer gateway.Close()
			u := newUser(t, gateway.URL)
			p, cmd := u.serve(append(tt.args, "--files-dir", dir)...)
			// cost is what the server and the keeper that sends have in memory, at most.
			cost := func(prompt string, files []string) (bytes, sent int64) {
				call := p.begin("generate_video", map[string]any{"prompt": prompt, "files": files})
				sent = <-came
				bytes = memory(t, cmd.Process.Pid)
				if pids := u.keepers(); len(pids) > 0 {
					bytes += memory(t, slices.Max(pids))
				}
				answer <- true
				if r := p.await(call); r.Result.IsError {
					t.Fatal(r.text())
				}
				return bytes, sent
			}
			idle, _ := cost("small", []string{"0.png"})
			most, sent := cost("large", tt.files)
			if sent < tt.size/3*4 {
				t.Errorf("a body of %d bytes arrived", sent)
			}
			times := float64(most-idle) / float64(tt.size)
			if times > tt.most {
				t.Errorf("%.2f times their size in memory, want at most %.2f", times, tt.most)
			}
			t.Logf("%.2f times their size", times)
		})
	}
}

// memory is the most that a process ever had in memory, in bytes.
func memory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
