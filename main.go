// pixazo-mcp is an MCP server over stdio that lets an assistant make HeyGen
// Video Agent 3.0 videos through the Pixazo gateway. This file wires the
// program together: settings, logger, gateway or sandbox, tools, resources.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/demo"
	"pixazo-mcp/internal/identity"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/keeper"
	"pixazo-mcp/internal/setup"
)

// The version, and the commit where the build does not know it: both can be set
// with -ldflags "-X main.version=… -X main.commit=…".
var version, commit = "0.1.0", ""

func main() {
	// The garbage that large attachments leave is collected before it adds up.
	// Memory in use may still exceed this.
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(180 << 20)
	}
	// A write to a stdout that the client closed returns an error then, instead
	// of ending the program in the middle of a submission.
	signal.Ignore(syscall.SIGPIPE)
	// The first signal ends the context, later ones change nothing: clients
	// send SIGINT and SIGTERM within milliseconds of each other, while a
	// submission is on its way. SIGHUP is what a closed terminal sends.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	stderr := newLogQueue()
	stderr.terminal = isTerminal(os.Stderr)
	go stderr.copyTo(os.Stderr)
	log.SetOutput(io.Discard) // net/http's transports log by themselves, and show what the gateway sent
	err := run(ctx, os.Args[1:], config.WithHome(os.Environ()), keepCommand(), os.Stdin, os.Stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "pixazo-mcp:", err)
	}
	stderr.close()
	if err != nil {
		os.Exit(exitStatus(err))
	}
}

// run is the whole program. args come without the program's name; env is as
// os.Environ gives it; keepCommand makes the process of a keeper, nil for none.
func run(ctx context.Context, args, env []string, keepCommand func() *exec.Cmd, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == config.Keep {
		return keep(ctx, stdin, stdout) // its settings come over the pipe
	}
	settings, err := config.Parse(args, env, fullVersion, stdout)
	if errors.Is(err, config.ErrDone) {
		return nil
	}
	// A server that a client started always starts: what is wrong is told in
	// the log and in the answers to calls.
	if settings.Command == config.Serve && !isTerminal(stdin) {
		return serve(ctx, settings, keepCommand, stdin, stdout, stderr)
	}
	if err != nil && (settings.Command != config.Doctor || !settings.JSON) { // which reports it
		return status{wrongUse, err}
	}
	if settings.LogFile != "" && settings.Command != config.Doctor { // which reports it
		if err := config.TryLogFile(settings.LogFile); err != nil {
			return status{wrongUse, fmt.Errorf("--log-file (PIXAZO_LOG_FILE): must be a file that can be written; got %q: %w", settings.LogFile, err)}
		}
	}
	switch settings.Command {
	case config.Demo:
		return runDemo(ctx, settings, stdout)
	case config.HTTP:
		if settings.HTTP.Probe {
			return probe(ctx, settings.HTTP.Address)
		}
		return serveHTTP(ctx, settings, stderr)
	case config.Token:
		return printToken(settings.Token, stdout, stderr)
	case config.Keep:
		return stopKeepers(ctx, settings, stdout)
	case config.Wait:
		return waitForVideos(ctx, settings, stdout, stderr)
	case config.List:
		return listVideos(ctx, settings, stdout, stderr)
	case config.Doctor, config.Install, config.Uninstall:
		return runSetup(ctx, settings, env, stdin, stdout, stderr)
	}
	fmt.Fprintln(stderr, "pixazo-mcp waits for an MCP client on stdin. To see it work, run: pixazo-mcp demo")
	return serve(ctx, settings, keepCommand, stdin, stdout, stderr)
}

// exitStatus returns the exit status of a program that ends with err.
func exitStatus(err error) int {
	if s, ok := errors.AsType[status](err); ok {
		return s.code
	}
	return 1
}

// fullVersion is the version with the commit it was built from, as in
// "0.1.0 (20261121101530-76629bdc1f22)".
func fullVersion() string {
	built := commit
	if info, ok := debug.ReadBuildInfo(); ok && built == "" {
		built = strings.TrimPrefix(info.Main.Version, "v0.0.0-")
	}
	if built == "" || built == "(devel)" {
		return version
	}
	return version + " (" + built + ")"
}

// printToken makes a token of the team server. The line for the tokens file goes
// to stdout, so that >> can put it there, and the token to stderr.
func printToken(name string, stdout, stderr io.Writer) error {
	token, line, err := identity.NewToken(name)
	if err != nil {
		return status{wrongUse, fmt.Errorf("token: %w", err)}
	}
	fmt.Fprintf(stderr, "The token of %s, shown only this once (the other line is for the tokens file):\n\n  %s\n\n", name, token)
	_, err = fmt.Fprintln(stdout, line)
	return err
}

// runDemo makes one video with a server in this process, on the sandbox unless
// --live is given.
func runDemo(ctx context.Context, settings config.Settings, stdout io.Writer) error {
	settings.Sandbox = !settings.Demo.Live
	if settings.Sandbox {
		settings.MaxVideosPerHour = 0 // they cost nothing
	}
	return demo.Run(ctx, demo.Options{
		Serve: func(ctx context.Context, in io.Reader, out io.Writer) error {
			return serve(ctx, settings, nil, in, out, io.Discard)
		},
		Prompt:    settings.Demo.Prompt,
		Live:      settings.Demo.Live,
		OutputDir: settings.OutputDir,
		Stdout:    stdout,
	})
}

// runSetup is doctor, install and uninstall.
func runSetup(ctx context.Context, settings config.Settings, env []string, stdin io.Reader, stdout, stderr io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%s: %w", settings.Command, err)
	}
	return setup.Run(ctx, setup.Options{
		Settings:   settings,
		Env:        env,
		GOOS:       runtime.GOOS,
		Executable: program,
		Version:    fullVersion(),
		Stdin:      stdin,
		Stdout:     stdout,
		Stderr:     stderr,
		CheckJournal: func(_ context.Context, stateDir string) (setup.Journal, error) {
			report, err := journal.Check(stateDir)
			return setup.Journal{Path: report.Path, Exists: report.Exists, Jobs: report.Jobs, Notice: report.Notice, Keepers: keeper.Running(report.Leases)}, err
		},
	})
}
