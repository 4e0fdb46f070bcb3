// These tests drive several processes of the whole program over one journal:
// killed at random moments, all at once, left by their clients. What they
// guard: nothing paid for is lost, and nothing is paid for twice.

package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite" // to look into the journal past the program

	"pixazo-mcp/pixazo/sandbox"
)

// billing is a sandbox that knows what a gateway would bill: the request_ids
// that it accepted, by prompt.
type billing struct {
	url string

	mu       sync.Mutex
	accepted map[string][]string
}

func startBilling(t *testing.T) *billing {
	t.Helper()
	b := &billing{accepted: map[string][]string{}}
	emulator := sandbox.New(sandbox.Options{Duration: time.Millisecond, Key: secret, Accepted: func(id string, body []byte) {
		var request struct{ Prompt string }
		if err := json.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.accepted[request.Prompt] = append(b.accepted[request.Prompt], id)
	}})
	gateway := httptest.NewServer(emulator)
	t.Cleanup(func() {
		emulator.Close()
		gateway.Close()
	})
	b.url = gateway.URL
	return b
}

// serve is a process of the program on this gateway and a shared journal.
func (b *billing) serve(t *testing.T, stateDir string) (*program, *exec.Cmd) {
	t.Helper()
	return startProcess(t, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", b.url, "--state-dir", stateDir, "--max-videos-per-hour=0")
}

// row is a submission in the journal.
type row struct{ state, requestID, prompt string }

func journalRows(t *testing.T, stateDir string) (rows []row) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(stateDir, "journal.db"))+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := db.Query("SELECT state, COALESCE(request_id, ''), prompt FROM jobs ORDER BY row")
	if err != nil {
		t.Fatal(err)
	}
	defer found.Close()
	for found.Next() {
		var r row
		if err := found.Scan(&r.state, &r.requestID, &r.prompt); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, r)
	}
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return rows
}

// changeJournal runs a statement on a journal past the program.
func changeJournal(t *testing.T, stateDir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(stateDir, "journal.db"))+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func TestEndedVideosAreKeptForKeepDays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sandboxed := func(more ...string) *program {
		return start(t, []string{"HOME=" + t.TempDir()}, append([]string{"--sandbox", "--sandbox-duration=1ms", "--state-dir=" + dir, "--auto-save=false"}, more...)...)
	}
	p := sandboxed("--keep-days=1")
	for _, prompt := range []string{"long ago", "today"} {
		id := p.call("generate_video", generate(prompt)).Result.StructuredContent["request_id"]
		if r := p.call("wait_for_video", map[string]any{"request_id": id}); r.Result.StructuredContent["done"] != true {
			t.Fatal(r.text())
		}
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	changeJournal(t, dir, "UPDATE jobs SET changed_at = changed_at - 25 * 3600000 WHERE prompt = 'long ago'")
	for _, tt := range []struct {
		setting string
		want    int
	}{{"--keep-days=0", 2}, {"--keep-days=1", 1}} {
		p := sandboxed(tt.setting)
		p.call("list_videos", nil)
		if !soon(time.Minute, func() bool { return len(journalRows(t, dir)) == tt.want }) {
			t.Errorf("%s: %v", tt.setting, journalRows(t, dir))
		}
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
}

func generate(prompt string) map[string]any { return map[string]any{"prompt": prompt} }

// kills is how many servers are killed: PIXAZO_TEST_KILLS, or a few.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("PIXAZO_TEST_KILLS")); err == nil {
		return n
	}
	return 30
}

func TestKilledProcessesLoseAndDoubleNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGKILL")
	}
	t.Parallel()
	const calls, side = 8, 2 // about half of the calls get as far as the gateway
	children := min(kills(), 100)
	gateway := startBilling(t)
	dir := t.TempDir()
	if _, err := binary(); err != nil {
		t.Fatal(err)
	}
	var killed sync.WaitGroup
	for s := range side {
		killed.Go(func() {
			for child := range children / side {
				p, cmd := gateway.serve(t, dir)
				for call := range calls {
					p.begin("generate_video", generate(fmt.Sprintf("video %d of child %d.%d", call, s, child)))
				}
				// The first call opens the journal, so that the program's start
				// does not take up the whole delay.
				if child%2 == 0 {
					_ = p.receive()
				}
				time.Sleep(time.Duration(rand.Int64N(int64(30 * time.Millisecond))))
				_ = cmd.Process.Kill()
				<-p.ended
			}
		})
	}
	killed.Wait()

	recorded := map[string]row{}
	counts := map[string]int{}
	for _, r := range journalRows(t, dir) {
		if r.state == "submitting" {
			r.state = "uncertain" // which it is once its lease has ended
		}
		if earlier, twice := recorded[r.prompt]; twice {
			t.Errorf("%q is recorded twice: %+v, %+v", r.prompt, earlier, r)
		}
		recorded[r.prompt] = r
		counts[r.state]++
	}
	lost, doubled, uncertain := 0, 0, 0
	for prompt, ids := range gateway.accepted {
		if len(ids) > 1 {
			doubled++
			t.Errorf("%q was accepted %d times", prompt, len(ids))
		}
		switch r := recorded[prompt]; {
		case r.state == "accepted" && r.requestID == ids[0]:
		case r.state == "uncertain" || r.state == "submitting": // whose lease ends, since its process is gone
			uncertain++
		default:
			lost++
			t.Errorf("%q was accepted as %s and is recorded as %+v", prompt, ids, r)
		}
	}
	if counts["refused"] > 0 {
		t.Errorf("after all processes ended there are %v", counts)
	}
	t.Logf("%d processes killed, %d submissions called for, %d accepted by the gateway; recorded: %d with their request_id, %d uncertain (of which %d were accepted); %d lost, %d doubled",
		children, children*calls, len(gateway.accepted), counts["accepted"], counts["uncertain"], uncertain, lost, doubled)
	if len(gateway.accepted) < children/2 || counts["uncertain"] == 0 {
		t.Error("the kills missed the submissions, so that nothing was tested")
	}
}

// serveMany are eight processes over one journal, all of them ready.
func (b *billing) serveMany(t *testing.T, dir string) (all []*program) {
	t.Helper()
	for range 8 {
		p, _ := b.serve(t, dir)
		all = append(all, p)
	}
	for _, p := range all {
		p.send(`{"jsonrpc":"2.0","id":"ready","method":"ping"}`)
	}
	for _, p := range all {
		p.receive()
	}
	return all
}

func TestProcessesSubmitTheSameRequestOnce(t *testing.T) {
	t.Parallel()
	gateway := startBilling(t)
	dir := t.TempDir()
	all := gateway.serveMany(t, dir)
	for _, p := range all {
		p.begin("generate_video", generate("tides"))
	}
	ids := map[any]int{}
	duplicates := 0
	for _, p := range all {
		r := p.await(1)
		if r.Result.IsError {
			t.Errorf("got %s", r.text())
		}
		ids[r.Result.StructuredContent["request_id"]]++
		if r.Result.StructuredContent["duplicate"] == true {
			duplicates++
		}
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
	accepted := gateway.accepted["tides"]
	if len(accepted) != 1 || ids[accepted[0]] != 8 || duplicates != 7 {
		t.Errorf("accepted %q, answered %v, %d of them duplicates; want one, eight times, seven", accepted, ids, duplicates)
	}
	if rows := journalRows(t, dir); len(rows) != 1 || rows[0] != (row{"accepted", accepted[0], "tides"}) {
		t.Errorf("recorded %+v, want one row", rows)
	}
}

func TestProcessesSubmitDifferentRequestsAtOnce(t *testing.T) {
	t.Parallel()
	const each = 10
	gateway := startBilling(t)
	dir := t.TempDir()
	all := gateway.serveMany(t, dir)
	for i, p := range all {
		for n := range each {
			p.begin("generate_video", generate(fmt.Sprintf("video %d of process %d", n, i)))
		}
	}
	var answers sync.WaitGroup
	for _, p := range all {
		answers.Go(func() {
			for range each {
				line := p.receive()
				if !anyRequestID.MatchString(line) || strings.Contains(line, "journal_unavailable") {
					t.Errorf("got %s", line)
				}
			}
			if err := p.end(); err != nil {
				t.Error(err)
			}
			if strings.Contains(p.stderr.String(), "could not be recorded") {
				t.Errorf("log: %s", p.stderr)
			}
		})
	}
	answers.Wait()
	rows := journalRows(t, dir)
	for _, r := range rows {
		if ids := gateway.accepted[r.prompt]; len(ids) != 1 || r != (row{"accepted", ids[0], r.prompt}) {
			t.Errorf("recorded %+v, accepted %q", r, ids)
		}
	}
	if len(rows) != len(all)*each || len(gateway.accepted) != len(all)*each {
		t.Errorf("%d rows and %d accepted, want %d of both", len(rows), len(gateway.accepted), len(all)*each)
	}
}

func TestProcessesFindADamagedJournalAtOnce(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not let go of a file in use")
	}
	gateway := startBilling(t)
	dir := t.TempDir()
	p, _ := gateway.serve(t, dir)
	for n := range 20 {
		p.call("generate_video", generate(fmt.Sprintf("before %d %s", n, strings.Repeat("x", 3000))))
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "journal.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[2*4096:], strings.Repeat("garbage", 4096))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}

	const each = 5
	all := gateway.serveMany(t, dir)
	for i, p := range all {
		for n := range each {
			// They may have been in the damaged one: the user says that they were not.
			p.begin("generate_video", map[string]any{"prompt": fmt.Sprintf("video %d of process %d", n, i), "allow_duplicate": true})
		}
	}
	for _, p := range all {
		for range each {
			if line := p.receive(); !anyRequestID.MatchString(line) || strings.Contains(line, `"isError":true`) {
				t.Errorf("got %s", line)
			}
		}
	}
	for _, p := range all {
		if r := p.call("list_videos", nil); !strings.Contains(r.text(), "journal-damaged-") {
			t.Errorf("a process does not tell of the damage: %s", r.text())
		}
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
	rows := journalRows(t, dir)
	rows = slices.DeleteFunc(rows, func(r row) bool { return strings.HasPrefix(r.prompt, "before ") }) // what could still be read
	for _, r := range rows {
		if ids := gateway.accepted[r.prompt]; len(ids) != 1 || r != (row{"accepted", ids[0], r.prompt}) {
			t.Errorf("recorded %+v, accepted %q", r, ids)
		}
	}
	if aside, _ := filepath.Glob(filepath.Join(dir, "journal-damaged-*.db")); len(rows) != len(all)*each || len(aside) != 1 {
		t.Errorf("%d rows, set aside %q; want %d rows, one file", len(rows), aside, len(all)*each)
	}
}

func TestProcessesShareTheHourlyLimit(t *testing.T) {
	t.Parallel()
	gateway := startBilling(t)
	dir := t.TempDir()
	passed := 0
	for i := range 3 {
		p, _ := startProcess(t, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", gateway.url, "--state-dir", dir, "--max-videos-per-hour=4")
		for n := range 2 {
			r := p.call("generate_video", generate(fmt.Sprintf("video %d of process %d", n, i)))
			if !r.Result.IsError {
				passed++
			} else if !strings.HasPrefix(r.text(), "limit_reached: ") || !strings.Contains(r.text(), "--max-videos-per-hour") {
				t.Errorf("got %s", r.text())
			}
		}
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
	if passed != 4 || len(gateway.accepted) != 4 {
		t.Errorf("%d passed and %d were accepted, want 4", passed, len(gateway.accepted))
	}
}

func TestProcessesListAndWaitForEachOthersVideos(t *testing.T) {
	t.Parallel()
	gateway := startBilling(t)
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	first, _ := gateway.serve(t, dir)
	id := first.call("generate_video", generate("tides")).Result.StructuredContent["request_id"]
	if err := first.end(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a restart changes nothing
		p, _ := gateway.serve(t, dir)
		listed := func() map[string]any {
			t.Helper()
			r := p.call("list_videos", nil)
			videos, _ := r.Result.StructuredContent["videos"].([]any)
			if len(videos) != 1 {
				t.Fatalf("got %s", r.text())
			}
			return videos[0].(map[string]any)
		}
		if v := listed(); v["request_id"] != id || v["prompt"] != "tides" {
			t.Errorf("listed %v, want %s with its prompt", v, id)
		}
		if r := p.call("wait_for_video", map[string]any{"request_id": id}); r.Result.StructuredContent["status"] != "COMPLETED" {
			t.Errorf("got %s", r.text())
		}
		if v := listed(); v["status"] != "COMPLETED" || v["last_checked_at"] == nil {
			t.Errorf("after the wait, listed %v", v)
		}
		if r := p.call("generate_video", generate("tides")); r.Result.StructuredContent["request_id"] != id || r.Result.StructuredContent["duplicate"] != true {
			t.Errorf("the same request again got %s", r.text())
		}
		if err := p.end(); err != nil {
			t.Error(err)
		}
	}
}
