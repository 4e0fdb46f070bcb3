// pixazo-mcp is an MCP server that lets an assistant make HeyGen Video Agent 3.0
// videos through the Pixazo gateway, over stdio or, for a team, over HTTP. This file
// reads the command line and runs the command.
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
	"pixazo-mcp/internal/stack"
)

// version and commit can be set with -ldflags "-X main.version=… -X main.commit=…".
// Without a commit there, fullVersion takes the one that Go puts into the build.
var version, commit = "0.1.0", ""

func main() {
	// Collects the garbage of large attachments early. The limit is a soft one:
	// more memory can be in use.
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(180 << 20)
	}
	// Without this, a write to a stdout that the client has closed would end the
	// program, perhaps in the middle of a submission.
	signal.Ignore(syscall.SIGPIPE)
	// The first signal ends the context, later ones change nothing: clients
	// send SIGINT and SIGTERM within milliseconds of each other, while a
	// submission is on its way. SIGHUP is what a closed terminal sends.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	stderr := newLogQueue()
	stderr.terminal = isTerminal(os.Stderr)
	stack.Go(func() { stderr.copyTo(os.Stderr) })
	log.SetOutput(io.Discard) // net/http logs there by itself, and quotes the gateway
	err := run(ctx, os.Args[1:], config.WithHome(os.Environ()), keepCommand(), os.Stdin, os.Stdout, stderr)
	if err != nil && !errors.Is(err, syscall.EPIPE) { // which head and others leave behind on purpose
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
	switch {
	case errors.Is(err, config.ErrDone):
		return nil
	case err != nil && settings.Invalid() == nil: // help or version could not be printed
		return err
	}
	// A server that a client started always starts: wrong settings are reported in
	// the log and in the answers to the calls that need them.
	if settings.Command == config.Serve && !isTerminal(stdin) {
		return serve(ctx, settings, keepCommand, stdin, stdout, stderr)
	}
	if err != nil && (settings.Command != config.Doctor || !settings.JSON) { // doctor --json reports err itself
		return status{wrongUse, err}
	}
	if settings.LogFile != "" && settings.Command != config.Doctor { // doctor reports that, too
		if err := config.TryLogFile(settings.LogFile); err != nil {
			return status{wrongUse, fmt.Errorf("--log-file (PIXAZO_LOG_FILE): must be a file that can be written; got %q: %w", settings.LogFile, err)}
		}
	}
	if settings.Command != config.Serve && settings.Command != config.HTTP { // a server's own log says it
		logUnset(logTo(stderr, settings.LogLevel), settings)
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

// exitStatus returns the status with which the program exits after err.
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

// printToken makes a token for a user of the team server. It prints the line for the
// tokens file to stdout, so that >> can append it, and the token to stderr.
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
	if settings.Sandbox { // its videos cost nothing
		settings.MaxVideosPerHour, settings.MaxVideosPerDay = 0, 0
		settings.ReadOnly, settings.ConfirmSpend = false, false
	}
	if settings.ReadOnly {
		return status{wrongUse, errors.New("demo: --read-only (PIXAZO_READ_ONLY) is set, with which no video is made")}
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

// runSetup runs the command doctor, install or uninstall.
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
		CheckJournal: func(stateDir string) (setup.Journal, error) {
			report, err := journal.Check(stateDir)
			return setup.Journal{Path: report.Path, Exists: report.Exists, Jobs: report.Jobs, Notice: report.Notice, Keepers: keeper.Running(report.Leases)}, err
		},
	})
}
