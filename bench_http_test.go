// This benchmark measures the team server beside mcp-go's own HTTP server.

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
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

	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/journal/pgtest"
)

const (
	benchWaits = 5000
	benchJobs  = 100 // that are waited for
	benchWait  = 30 * time.Second
	benchPhase = 4 * time.Second
	benchCalls = 8 // at once
)

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
	if err != nil || answer.StatusCode != http.StatusOK {
		s.b.Errorf("%s: %s %s %v", s.name, answer.Status, raw, err)
	}
	return string(raw), answer.Header
}

func tool(name, id string, seconds int) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":{"request_id":%q,"timeout_seconds":%d},"_meta":{"progressToken":1}}}`, name, id, seconds)
}

// serveBench starts a server, says hello and, if it is ours, makes the jobs.
func serveBench(b *testing.B, database, name string, command ...string) *served {
	b.Helper()
	s := &served{b: b, name: name, address: freeAddress(b), header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}}
	s.cmd = exec.Command(command[0], command[1:]...)
	ours := name == "pixazo-mcp"
	if ours {
		token, line, err := identity.NewToken("bench")
		tokens := filepath.Join(b.TempDir(), "tokens")
		if err == nil {
			err = os.WriteFile(tokens, []byte(line+"\n"), 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
		s.header.Set("Authorization", "Bearer "+token)
		s.cmd.Args = append(s.cmd.Args, "http", "--sandbox", "--sandbox-duration=1h", "--address="+s.address, "--metrics-address=none", "--tokens-file="+tokens, "--log-level=warn",
			fmt.Sprintf("--max-waits=%d", benchWaits), "--max-calls-per-minute=0", "--max-videos-per-hour=0", "--max-videos-per-day=0", "--max-videos-per-user=0")
		if database != "" {
			s.cmd.Env = []string{"PIXAZO_DATABASE_URL=" + database}
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
	id := regexp.MustCompile(`"request_id":"([^"]+)"`)
	for i := range benchJobs + 1 {
		prompt := fmt.Sprintf("video %d", i)
		if i == benchJobs {
			prompt = "sandbox:finished"
		}
		answer, _ := s.post(http.DefaultClient, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"generate_video","arguments":{"prompt":%q}}}`, prompt))
		m := id.FindStringSubmatch(answer)
		if m == nil {
			b.Fatalf("no job: %s", answer)
		}
		s.ids = append(s.ids, m[1])
	}
	s.ids, s.done = s.ids[:benchJobs], s.ids[benchJobs]
	return s
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
		q := s.request(tool("wait_for_video", s.ids[i%len(s.ids)], int(benchWait/time.Second)))
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
				if err != nil {
					return
				}
				if bytes.Contains(line, []byte(`"id":1,`)) {
					answered.Add(1)
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

// BenchmarkTeam has each server hold 5,000 waits and takes what else it does
// meanwhile.
func BenchmarkTeam(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	b.Run("File", func(b *testing.B) { benchTeam(b, "") })
	b.Run("PostgreSQL", func(b *testing.B) { benchTeam(b, pgtest.URL(b)) })
}

func benchTeam(b *testing.B, database string) {
	const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(0, "ns/op")
	for b.Loop() {
		for _, p := range peers(b)[:2] {
			s := serveBench(b, database, p.name, p.command...)
			alone, _ := s.load(ping)
			var waits sync.WaitGroup
			begun := time.Now()
			answered := s.wait(&waits)
			opened := time.Since(begun)
			pings, p99 := s.load(ping)
			statuses, statusP99 := s.load(tool("get_status", s.done, 0))
			held := s.memory()
			if time.Since(begun) > benchWait {
				b.Errorf("%s: too slow: the first waits had ended before the measuring", s.name)
			}
			waits.Wait()
			b.ReportMetric(alone, "pings/s-alone-"+p.name)
			b.ReportMetric(pings, "pings/s-"+p.name)
			b.ReportMetric(ms(p99), "ms-ping-p99-"+p.name)
			b.ReportMetric(statuses, "statuses/s-"+p.name)
			b.ReportMetric(ms(statusP99), "ms-status-p99-"+p.name)
			b.ReportMetric(held, "MB-"+p.name)
			b.ReportMetric(ms(opened), "ms-to-open-"+p.name)
			b.ReportMetric(float64(benchWaits-answered.Load()), "waits-lost-"+p.name)
			_ = s.cmd.Process.Kill()
		}
	}
}
