// This benchmark measures the team server beside mcp-go's own HTTP server.

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pixazo-mcp/e2e/pgtest"
	"pixazo-mcp/internal/identity"
	"pixazo-mcp/pixazo/sandbox"
)

const (
	benchWaits = 5000
	benchWait  = 40 * time.Second
	benchPhase = 4 * time.Second
	benchCalls = 8 // at once
)

// benchGateway is an emulator that counts what it is asked.
type benchGateway struct {
	*httptest.Server
	polls atomic.Int64

	mu    sync.Mutex
	asked map[string]time.Time // when a job was asked for last, by path
	soon  map[string]int       // by path, the polls less than 10 s after another: there is more than one stream of polls then
}

func newBenchGateway(b *testing.B) *benchGateway {
	g := &benchGateway{asked: map[string]time.Time{}, soon: map[string]int{}}
	emulator := sandbox.New(sandbox.Options{Duration: time.Hour, Key: secret})
	b.Cleanup(emulator.Close)
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			g.polls.Add(1)
			g.mu.Lock()
			if last, ok := g.asked[r.URL.Path]; ok && time.Since(last) < 10*time.Second {
				g.soon[r.URL.Path]++
			}
			g.asked[r.URL.Path] = time.Now()
			g.mu.Unlock()
		}
		emulator.ServeHTTP(w, r)
	}))
	b.Cleanup(g.Close)
	return g
}

// served is a server process over HTTP.
type served struct {
	b       *testing.B
	name    string
	address string
	cmd     *exec.Cmd
	header  http.Header
	ids     []string // of jobs that are not finished
	done    string   // of one that is
}

func (s *served) request(body string) *http.Request {
	q, err := http.NewRequest(http.MethodPost, "http://"+s.address+"/mcp", strings.NewReader(body))
	if err != nil {
		s.b.Fatal(err)
	}
	q.Header = s.header
	return q
}

func (s *served) post(client *http.Client, body string) (string, http.Header) {
	answer, err := client.Do(s.request(body))
	if err != nil {
		s.b.Error(err)
		return "", nil
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || bytes.Contains(raw, []byte(`"isError":true`)) {
		s.b.Errorf("%s: %s %s %v", s.name, answer.Status, raw, err)
	}
	return string(raw), answer.Header
}

// tool returns a tool call. more are further arguments, each with a comma before it.
func tool(name, id, more string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{"request_id":%q%s},"_meta":{"progressToken":1}}}`, name, id, more)
}

// serveBench starts a server, says hello and, if it is ours, makes the jobs.
func serveBench(b *testing.B, gateway *benchGateway, database string, jobs int, name string, command ...string) *served {
	b.Helper()
	s := &served{b: b, name: name, address: freeAddress(b), header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}}
	s.cmd = exec.Command(command[0], command[1:]...)
	ours := name == "pixazo-mcp"
	if ours {
		token, line, err := identity.NewToken("bench")
		tokens, webhooks := filepath.Join(b.TempDir(), "tokens"), filepath.Join(b.TempDir(), "webhooks")
		if err = errors.Join(err, os.WriteFile(tokens, []byte(line+"\n"), 0o600), os.WriteFile(webhooks, []byte(strings.Repeat(secret, 3)), 0o600)); err != nil {
			b.Fatal(err)
		}
		s.header.Set("Authorization", "Bearer "+token)
		s.cmd.Env = []string{"PIXAZO_API_KEY=" + secret, "PIXAZO_GATEWAY_URL=" + gateway.URL}
		s.cmd.Args = append(s.cmd.Args, "http", "--address="+s.address, "--public-url=http://"+s.address+"/mcp", "--webhook-secret-file="+webhooks, "--metrics-address=none", "--tokens-file="+tokens, "--log-level=warn",
			fmt.Sprintf("--max-waits=%d", benchWaits), "--max-calls-per-minute=0", "--max-videos-per-hour=0", "--max-videos-per-day=0", "--max-videos-per-user=0")
		if database != "" {
			s.cmd.Env = append(s.cmd.Env, "PIXAZO_DATABASE_URL="+database)
		} else {
			s.cmd.Args = append(s.cmd.Args, "--state-dir="+b.TempDir())
		}
	} else {
		s.cmd.Args = append(s.cmd.Args, s.address)
	}
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() })
	for begun := time.Now(); time.Since(begun) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", s.address); err == nil {
			_ = c.Close()
			break
		}
	}
	_, hello := s.post(http.DefaultClient, strings.TrimSpace(initializeLine))
	s.header.Set("Mcp-Session-Id", hello.Get("Mcp-Session-Id"))
	if !ours {
		s.ids, s.done = []string{"x"}, "x"
		return s
	}
	s.make(jobs)
	return s
}

var requestID = regexp.MustCompile(`"request_id":"([^"]+)"`)

// make makes jobs that are not finished, and one that is.
func (s *served) make(jobs int) {
	s.ids = make([]string, jobs+1)
	var next atomic.Int64
	var calls sync.WaitGroup
	for range benchCalls {
		calls.Go(func() {
			for i := int(next.Add(1)) - 1; i <= jobs; i = int(next.Add(1)) - 1 {
				prompt := fmt.Sprintf("video %d", i)
				if i == jobs {
					prompt = "sandbox:finished"
				}
				answer, _ := s.post(http.DefaultClient, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"generate_video","arguments":{"prompt":%q}}}`, prompt))
				if m := requestID.FindStringSubmatch(answer); m != nil {
					s.ids[i] = m[1]
				} else {
					s.b.Errorf("no job: %s", answer)
				}
			}
		})
	}
	calls.Wait()
	s.ids, s.done = s.ids[:jobs], s.ids[jobs]
}

func freeAddress(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// wait opens all waits, and returns once something came of each, at most 6 s
// later. How many are answered is known once the group is done.
func (s *served) wait(waits *sync.WaitGroup) *atomic.Int64 {
	var heard, answered atomic.Int64
	for i := range benchWaits {
		c, err := net.Dial("tcp", s.address)
		if err != nil {
			s.b.Fatal(err)
		}
		q := s.request(tool("wait_for_video", s.ids[i%len(s.ids)], fmt.Sprintf(`,"timeout_seconds":%.0f`, benchWait.Seconds())))
		q.Close = true
		if err := q.Write(c); err != nil {
			s.b.Fatal(err)
		}
		waits.Go(func() {
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(3 * benchWait))
			r := bufio.NewReaderSize(c, 1024)
			_, _ = r.Peek(1)
			for heard.Add(1); ; {
				line, err := r.ReadSlice('\n')
				if err == bufio.ErrBufferFull {
					err = nil
				}
				if bytes.Contains(line, []byte(`"id":1,`)) && !bytes.Contains(line, []byte("journal_unavailable")) {
					answered.Add(1)
					return
				}
				if err != nil {
					return
				}
			}
		})
	}
	for begun := time.Now(); heard.Load() < benchWaits && time.Since(begun) < 6*time.Second; time.Sleep(100 * time.Millisecond) {
	}
	return &answered
}

// load makes calls, some at once, and returns how many a second, and the 99th
// percentile of how long one took.
func (s *served) load(body string) (perSecond float64, p99 time.Duration) {
	var mu sync.Mutex
	var took []time.Duration
	var calls sync.WaitGroup
	end := time.Now().Add(benchPhase)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchCalls}}
	defer client.CloseIdleConnections()
	for range benchCalls {
		calls.Go(func() {
			var own []time.Duration
			for time.Now().Before(end) {
				begun := time.Now()
				s.post(client, body)
				own = append(own, time.Since(begun))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	calls.Wait()
	slices.Sort(took)
	return float64(len(took)) / benchPhase.Seconds(), took[len(took)*99/100]
}

// memory returns the resident memory of the process in MB.
func (s *served) memory() float64 {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	var kB float64
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			_, _ = fmt.Sscan(rest, &kB)
		}
	}
	return kB / 1000
}

// BenchmarkTeam has each server hold 5,000 waits, on 100 jobs and on as many jobs,
// and takes what else it does meanwhile.
func BenchmarkTeam(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	for _, jobs := range []int{100, benchWaits} {
		b.Run(fmt.Sprintf("File/jobs=%d", jobs), func(b *testing.B) { benchTeam(b, "", jobs) })
		b.Run(fmt.Sprintf("PostgreSQL/jobs=%d", jobs), func(b *testing.B) { benchTeam(b, pgtest.URL(b), jobs) })
	}
}

func benchTeam(b *testing.B, database string, jobs int) {
	b.ReportMetric(0, "ns/op")
	for b.Loop() {
		for _, p := range peers(b)[:2] {
			gateway := newBenchGateway(b)
			s := serveBench(b, gateway, database, jobs, p.name, p.command...)
			s.measure(gateway)
			_ = s.cmd.Process.Kill()
		}
	}
}

// measure reports what the server does without waits, and beside them.
func (s *served) measure(gateway *benchGateway) {
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	report := func(n float64, unit string) { s.b.ReportMetric(n, unit+"-"+s.name) }
	alone, _ := s.load(ping)
	var waits sync.WaitGroup
	begun, polls := time.Now(), gateway.polls.Load()
	answered := s.wait(&waits)
	report(milliseconds(time.Since(begun)), "ms-to-open")
	pings, p99 := s.load(ping)
	statuses, statusP99 := s.load(tool("get_status", s.done, ""))
	report(s.memory(), "MB")
	report(float64(gateway.polls.Load()-polls)/time.Since(begun).Seconds(), "polls/s")
	if time.Since(begun) > benchWait {
		s.b.Errorf("%s: too slow: the first waits had ended before the measuring", s.name)
	}
	waits.Wait()
	report(alone, "pings/s-alone")
	report(pings, "pings/s")
	report(milliseconds(p99), "ms-ping-p99")
	report(statuses, "statuses/s")
	report(milliseconds(statusP99), "ms-status-p99")
	report(float64(benchWaits-answered.Load()), "waits-lost")
	soon := 0
	for path, polls := range gateway.soon {
		if !strings.HasSuffix(path, "/"+s.done) { // for which get_status asks
			soon += polls
		}
	}
	report(float64(soon), "polls-too-soon")
}
