// measure starts servers in turn, N times each, and prints the medians of two
// figures: the time from starting the process to its answer to initialize, and
// its resident memory a second after that (Linux only). Run it by run.sh, or
//
//	go run . N NAME=COMMAND...
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}` + "\n"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: measure N NAME=COMMAND")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return fmt.Errorf("how often? got %q", args[0])
	}
	home, err := os.MkdirTemp("", "peers-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(home) }()
	took, resident := map[string][]float64{}, map[string][]float64{}
	for range n {
		for _, server := range args[1:] {
			name, command, _ := strings.Cut(server, "=")
			ms, mib, err := once(strings.Fields(command), home)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			took[name], resident[name] = append(took[name], ms), append(resident[name], mib)
		}
	}
	for _, server := range args[1:] {
		name, _, _ := strings.Cut(server, "=")
		fmt.Printf("%-12s %7.1f ms  %6.1f MiB\n", name, median(took[name]), median(resident[name]))
	}
	return nil
}

func once(command []string, home string) (ms, mib float64, err error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	defer func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if _, err := io.WriteString(in, initialize); err != nil {
		return 0, 0, err
	}
	if _, err := bufio.NewReader(out).ReadBytes('\n'); err != nil {
		return 0, 0, err
	}
	ms = float64(time.Since(begin)) / float64(time.Millisecond)
	time.Sleep(time.Second) // what was begun at the start is over
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return ms, kib / 1024, err
		}
	}
	return 0, 0, fmt.Errorf("no VmRSS")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
