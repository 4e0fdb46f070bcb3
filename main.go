// pixazo-mcp is an MCP server over stdio that lets an assistant make HeyGen
// Video Agent 3.0 videos through the Pixazo gateway. This file wires the
// program together: settings, logger, gateway or sandbox, tools, resources.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
	"github.com/mark3labs/mcp-go/server"
	"golang.org/x/term"

	"pixazo-mcp/internal/attach"
	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/demo"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/setup"
	"pixazo-mcp/internal/stdio"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/sandbox"
	"pixazo-mcp/resources"
	"pixazo-mcp/tools"
)

// The version, and the commit where the build does not know it: both can be set
// with -ldflags "-X main.version=… -X main.commit=…".
var version, commit = "0.1.0", ""

func main() {
	// Attachments of tens of megabytes leave as much garbage, several times: it
	// is collected before it adds up. What is in use may take more.
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(180 << 20)
	}
	// A client that closes our stdout must not kill us while a submission is
	// on its way: the write's error is enough.
	signal.Ignore(syscall.SIGPIPE)
	// SIGHUP is what a closed terminal sends.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "pixazo-mcp:", err)
		os.Exit(1)
	}
}

// run is the whole program. args come without the program's name; env is as
// os.Environ gives it.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) error {
	settings, err := config.Parse(args, env, fullVersion, stdout)
	if errors.Is(err, config.ErrDone) {
		return nil
	}
	if err != nil {
		return err
	}
	switch settings.Command {
	case config.Demo:
		return runDemo(ctx, settings, env, stdout, stderr)
	case config.Doctor, config.Install, config.Uninstall:
		return runSetup(ctx, settings, env, stdin, stdout)
	}
	return serve(ctx, settings, stdin, stdout, stderr)
}

// fullVersion is the version with the commit it was built from, as in
// "0.1.0 (76629bd, 2026-11-21)".
func fullVersion() string {
	revision, about := commit, []string(nil)
	if info, ok := debug.ReadBuildInfo(); ok && revision == "" {
		date, modified := "", false
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = s.Value
			case "vcs.time":
				date, _, _ = strings.Cut(s.Value, "T")
			case "vcs.modified":
				modified = s.Value == "true"
			}
		}
		if date != "" {
			about = append(about, date)
		}
		if modified {
			about = append(about, "modified")
		}
	}
	if revision == "" {
		return version
	}
	return version + " (" + strings.Join(append([]string{revision[:min(7, len(revision))]}, about...), ", ") + ")"
}

// serve speaks MCP until the client leaves or ctx ends.
func serve(ctx context.Context, settings config.Settings, stdin io.Reader, stdout, stderr io.Writer) error {
	if isTerminal(stdin) {
		fmt.Fprintln(stderr, "pixazo-mcp waits for an MCP client on stdin. To see it work, run: pixazo-mcp demo")
	}
	log, closeLog, err := newLogger(settings, stderr)
	if err != nil {
		return err
	}
	defer closeLog()
	if warning := settings.KeyWarning(); warning != "" {
		log.Warn(warning)
	}

	gateway := pixazo.Config{
		GatewayURL:  settings.GatewayURL,
		Key:         settings.Key,
		WebhookURL:  settings.WebhookURL,
		WebhookMode: settings.WebhookMode,
		UserAgent:   "pixazo-mcp/" + version,
		Logger:      log,
	}
	journalName := settings.GatewayURL
	mediaOrigins := []string{"https://*.r2.dev", settings.GatewayURL} // where the gateway's videos are
	if settings.Sandbox {
		journalName = "sandbox" // its port is another one each time
		url, key, stop, err := startSandbox(settings.SandboxDuration, log)
		if err != nil {
			return err
		}
		defer stop()
		gateway.GatewayURL, gateway.Key = url, key
		mediaOrigins = []string{url}
	}
	client, err := pixazo.NewClient(gateway)
	if err != nil {
		return err
	}
	tracker := jobs.New(client, jobs.Options{
		StateDir:    settings.StateDir,
		Gateway:     journalName,
		MaxPerHour:  settings.MaxVideosPerHour,
		Check:       client.Check,
		OutputDir:   settings.OutputDir,
		MaxDownload: settings.MaxDownload,
		GatewayURL:  gateway.GatewayURL,
		UserAgent:   gateway.UserAgent,
		Logger:      log,
	})
	defer tracker.Close()

	srv := server.NewMCPServer("pixazo-mcp", version,
		server.WithTitle("Pixazo video"),
		server.WithIcons(tools.Icon("pixazo-mcp")),
		server.WithInstructions(tools.Instructions),
		server.WithToolCapabilities(false),
		server.WithResourceCapabilities(true, true),
		server.WithPromptCapabilities(false),
		server.WithCompletions(),
		server.WithRecovery(),
		server.WithResourceRecovery(),
	)
	tools.Register(srv, tools.Config{
		Tracker: tracker,
		MaxWait: settings.MaxWait,
		KeyFile: settings.APIKeyFile,
		Files:   attach.Resolver{Dirs: settings.FilesDirs, FromRoots: settings.FilesFromRoots, Home: settings.Home},
	})
	videos := resources.Register(srv, tracker, resources.Options{MediaOrigins: append(mediaOrigins, settings.MediaOrigins...)})

	log.Info("serving", "version", version, "gateway", gateway.GatewayURL, "sandbox", settings.Sandbox)
	return stdio.Serve(ctx, srv, stdin, stdout, stdio.Options{Drain: tracker.Drain, Finish: tracker.Finish, Subscribe: videos.Subscribe, Logger: log})
}

// startSandbox serves the emulator on a loopback port of its own. It has its
// own key, so that the user's never gets there.
func startSandbox(duration time.Duration, log *slog.Logger) (url string, key func() (pixazo.Key, error), stop func(), err error) {
	const word = "sandbox"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, nil, fmt.Errorf("start sandbox: %w", err)
	}
	emulator := sandbox.New(sandbox.Options{Duration: duration, Key: word, Logger: log})
	srv := &http.Server{Handler: emulator, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go func() {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("sandbox stopped", "error", err)
		}
	}()
	return "http://" + listener.Addr().String(),
		func() (pixazo.Key, error) { return pixazo.NewKey(word) },
		func() { _ = srv.Close(); emulator.Close() },
		nil
}

// newLogger logs to the file of the settings or to stderr, in colour only on
// a terminal.
func newLogger(settings config.Settings, stderr io.Writer) (*slog.Logger, func(), error) {
	out, done := stderr, func() {}
	if settings.LogFile != "" {
		f, err := os.OpenFile(settings.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("open log file: %w", err)
		}
		out, done = f, func() { _ = f.Close() }
	}
	return slog.New(tint.NewTextHandler(out, &tint.Options{
		Level:      settings.LogLevel,
		TimeFormat: time.DateTime,
		NoColor:    !isTerminal(out),
	})), done, nil
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// runDemo makes one video with this very program as the server, on the
// sandbox unless --live is given.
func runDemo(ctx context.Context, settings config.Settings, env []string, stdout, stderr io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	args := append(settings.ServeArgs(), fmt.Sprintf("--sandbox=%t", !settings.Demo.Live), "--output-dir="+settings.OutputDir)
	if !settings.Demo.Live {
		args = append(args, "--max-videos-per-hour=0") // they cost nothing
	}
	return demo.Run(ctx, demo.Options{
		Command:   append([]string{program}, args...),
		Env:       env,
		Prompt:    settings.Demo.Prompt,
		Live:      settings.Demo.Live,
		OutputDir: settings.OutputDir,
		Stdout:    stdout,
		Stderr:    stderr,
		Terminal:  isTerminal(stdout),
	})
}

// runSetup is doctor, install and uninstall.
func runSetup(ctx context.Context, settings config.Settings, env []string, stdin io.Reader, stdout io.Writer) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("%s: %w", settings.Command, err)
	}
	o := setup.Options{
		Settings:   settings,
		Env:        env,
		GOOS:       runtime.GOOS,
		Executable: program,
		Version:    fullVersion(),
		Stdin:      stdin,
		Stdout:     stdout,
	}
	switch settings.Command {
	case config.Doctor:
		return setup.Doctor(ctx, o)
	case config.Install:
		return setup.Install(ctx, o)
	}
	return setup.Uninstall(o)
}
