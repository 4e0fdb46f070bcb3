// These benchmarks measure the whole program beside the least that could do
// the same, both in one run and in turn, and report the ratio: machines are
// noisy. docs/performance.md quotes them. None of them fails on a figure.

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pixazo-mcp/pixazo/sandbox"
)

const initializeLine = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}` + "\n"

// servers builds pixazo-mcp and the bare mcp-go server.
func servers(b *testing.B) (ours, bare string) {
	b.Helper()
	ours, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	bare, err = build("./testdata/bare", "bare")
	if err != nil {
		b.Fatal(err)
	}
	return ours, bare
}

// initialized starts a server and waits for its answer to initialize.
func initialized(b *testing.B, path string) (*exec.Cmd, io.Closer, time.Duration) {
	b.Helper()
	cmd := exec.Command(path)
	cmd.Env = homes(buildDir)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(in, initializeLine); err != nil {
		b.Fatal(err)
	}
	if _, err := bufio.NewReaderSize(out, 64<<10).ReadSlice('\n'); err != nil {
		b.Fatal(err)
	}
	return cmd, in, time.Since(begin)
}

// BenchmarkColdStart takes the time from starting a process to its initialize
// answer.
func BenchmarkColdStart(b *testing.B) {
	ours, bare := servers(b)
	took := map[string][]time.Duration{}
	for b.Loop() {
		for _, path := range []string{ours, bare} {
			cmd, in, d := initialized(b, path)
			took[path] = append(took[path], d)
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	a, z := median(took[ours]), median(took[bare])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(a), "ms-pixazo-mcp")
	b.ReportMetric(milliseconds(z), "ms-bare")
	b.ReportMetric(float64(a)/float64(z), "ratio")
}

// BenchmarkIdleMemory takes the resident memory of a server that has answered
// initialize and waits.
func BenchmarkIdleMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	ours, bare := servers(b)
	resident := map[string][]int{}
	for b.Loop() {
		for _, path := range []string{ours, bare} {
			cmd, in, _ := initialized(b, path)
			resident[path] = append(resident[path], residentKiB(b, cmd.Process.Pid))
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	a, z := median(resident[ours]), median(resident[bare])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(a)/1024, "MiB-pixazo-mcp")
	b.ReportMetric(float64(z)/1024, "MiB-bare")
	b.ReportMetric(float64(a)/float64(z), "ratio")
}

func residentKiB(b *testing.B, pid int) int {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

// BenchmarkGetStatus takes what get_status through a server process adds to a
// bare GET of the same status, with 0, 5 and 50 waits in flight.
func BenchmarkGetStatus(b *testing.B) {
	for _, waits := range []int{0, 5, 50} {
		b.Run(fmt.Sprintf("waits=%d", waits), func(b *testing.B) {
			emulator := sandbox.New(sandbox.Options{Duration: time.Hour, Key: secret})
			defer emulator.Close()
			gateway := httptest.NewServer(emulator)
			defer gateway.Close()
			p, _ := startProcess(b, []string{"PIXAZO_API_KEY=" + secret}, "--gateway-url", gateway.URL, "--log-level=error")
			id := p.call("generate_video", map[string]any{"prompt": "tides"}).Result.StructuredContent["request_id"].(string)
			for range waits {
				p.begin("wait_for_video", map[string]any{"request_id": id})
			}
			var whole, bare []time.Duration
			for b.Loop() {
				begin := time.Now()
				if r := p.call("get_status", map[string]any{"request_id": id}); r.Result.IsError {
					b.Fatal(r.text())
				}
				whole = append(whole, time.Since(begin))
				begin = time.Now()
				bareStatus(b, gateway.URL, id)
				bare = append(bare, time.Since(begin))
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(median(whole)), "ms-get_status")
			b.ReportMetric(milliseconds(median(bare)), "ms-bare-GET")
			b.ReportMetric(milliseconds(median(whole)-median(bare)), "ms-added")
		})
	}
}

func bareStatus(b *testing.B, gateway, id string) {
	b.Helper()
	req, err := http.NewRequest(http.MethodGet, gateway+"/v2/requests/status/"+id, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Ocp-Apim-Subscription-Key", secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var status map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		b.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
}

func median[T time.Duration | int](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
