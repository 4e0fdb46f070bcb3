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

// peer is a server to measure: a command, and what it is called in the figures.
type peer struct {
	name    string
	command []string
}

// peers builds pixazo-mcp and the bare mcp-go server. More come from the
// variable PEERS, a line of NAME=COMMAND each, as e2e/peers/run.sh sets it.
func peers(b *testing.B) []peer {
	b.Helper()
	ours, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	bare, err := build("./e2e/bare", "bare", "")
	if err != nil {
		b.Fatal(err)
	}
	all := []peer{{"pixazo-mcp", []string{ours}}, {"bare", []string{bare}}}
	for line := range strings.Lines(os.Getenv("PEERS")) {
		name, command, _ := strings.Cut(line, "=")
		all = append(all, peer{name, strings.Fields(command)})
	}
	return all
}

// report reports the median of each peer's figures, and the ratio of the first
// two.
func report[T time.Duration | int](b *testing.B, all []peer, figures map[string][]T, unit string, scale float64) {
	b.Helper()
	b.ReportMetric(0, "ns/op")
	for _, p := range all {
		b.ReportMetric(float64(median(figures[p.name]))/scale, unit+"-"+p.name)
	}
	b.ReportMetric(float64(median(figures[all[0].name]))/float64(median(figures[all[1].name])), "ratio")
}

// initialized starts a server and waits for its answer to initialize.
func initialized(b *testing.B, p peer) (*exec.Cmd, io.Closer, time.Duration) {
	b.Helper()
	cmd := exec.Command(p.command[0], p.command[1:]...)
	cmd.Env = append(homes(buildDir), "PATH="+os.Getenv("PATH"))
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
	all, took := peers(b), map[string][]time.Duration{}
	for b.Loop() {
		for _, p := range all {
			cmd, in, d := initialized(b, p)
			took[p.name] = append(took[p.name], d)
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	report(b, all, took, "ms", float64(time.Millisecond))
}

// BenchmarkIdleMemory takes the resident memory of a server that has answered
// initialize and waits.
func BenchmarkIdleMemory(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("reads /proc")
	}
	all, resident := peers(b), map[string][]int{}
	for b.Loop() {
		for _, p := range all {
			cmd, in, _ := initialized(b, p)
			resident[p.name] = append(resident[p.name], residentKiB(b, cmd.Process.Pid))
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	report(b, all, resident, "MiB", 1024)
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

// BenchmarkKeeper takes what a keeper adds to generate_video.
func BenchmarkKeeper(b *testing.B) {
	emulator := sandbox.New(sandbox.Options{Duration: time.Millisecond, Key: secret})
	defer emulator.Close()
	gateway := httptest.NewServer(emulator)
	defer gateway.Close()
	path, err := binary()
	if err != nil {
		b.Fatal(err)
	}
	kinds := []string{"true", "false"}
	servers, took := map[string]*program{}, map[string][]time.Duration{}
	env := func(kind string) []string {
		return append(homes(b.TempDir()), "PIXAZO_API_KEY="+secret, "PIXAZO_GATEWAY_URL="+gateway.URL, "PIXAZO_AUTO_SAVE=false", "PIXAZO_KEEPER="+kind,
			"PIXAZO_STATE_DIR="+b.TempDir(), "PIXAZO_MAX_VIDEOS_PER_HOUR=0", "PIXAZO_LOG_LEVEL=error")
	}
	var kept []string
	for _, kind := range kinds {
		vars := env(kind)
		if kind == "true" {
			kept = vars
		}
		servers[kind], _ = startProcess(b, vars)
		servers[kind].call("list_videos", nil)
	}
	for n := 0; b.Loop(); n++ {
		for _, kind := range kinds {
			begin := time.Now()
			if r := servers[kind].call("generate_video", generate(fmt.Sprint("video ", n))); r.Result.IsError {
				b.Fatal(r.text())
			}
			took[kind] = append(took[kind], time.Since(begin))
		}
		stop := exec.Command(path, "keep", "--stop") // so that none disturbs the next turn
		stop.Env = slices.Concat(os.Environ(), kept)
		if err := stop.Run(); err != nil {
			b.Fatal(err)
		}
	}
	with, without := median(took["true"]), median(took["false"])
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(with), "ms-with-keeper")
	b.ReportMetric(milliseconds(without), "ms-without")
	b.ReportMetric(milliseconds(with-without), "ms-added")
	b.ReportMetric(float64(with)/float64(without), "ratio")
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
