// This file wires the server together: settings, client, tracker, tools and
// resources, transport.

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/attach"
	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/stdio"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/sandbox"
	"pixazo-mcp/resources"
	"pixazo-mcp/tools"
)

// serve speaks MCP until the client leaves or ctx ends.
func serve(ctx context.Context, settings config.Settings, stdin io.Reader, stdout, stderr io.Writer) error {
	log, endLog := newLogger(settings, stderr)
	defer endLog()
	if warning := settings.KeyWarning(); warning != "" {
		log.Warn(warning)
	}
	for _, problem := range settings.Problems {
		log.Error("a setting can't be taken, so calls that need it are refused", "error", problem.Err)
	}
	if len(settings.Unset) > 0 {
		log.Warn("settings that begin with ${ count as unset: the client did not fill them in", "settings", strings.Join(settings.Unset, ", "))
	}

	gateway := pixazo.Config{
		GatewayURL:  settings.GatewayURL,
		Key:         settings.Key,
		WebhookURL:  settings.WebhookURL,
		WebhookMode: settings.WebhookMode,
		UserAgent:   "pixazo-mcp/" + version,
		Logger:      log,
	}
	mediaOrigins := []string{pixazo.MediaOrigin, settings.GatewayURL}
	if settings.Sandbox {
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
	journalName := client.Origin()
	if settings.Sandbox {
		journalName = "sandbox" // its port is another one each time
	}
	tracker := jobs.New(client, journal.New(journal.Options{
		Dir:     settings.StateDir,
		Gateway: journalName,
		Limits:  journal.Limits{PerHour: settings.MaxVideosPerHour},
		Logger:  log,
	}), jobs.Options{Logger: log})
	defer tracker.Close()
	saver := download.New(savedJobs{tracker}, download.Options{
		Dir:        settings.OutputDir,
		MaxBytes:   settings.MaxDownload,
		GatewayURL: gateway.GatewayURL,
		UserAgent:  gateway.UserAgent,
		Proxy:      http.ProxyFromEnvironment,
		Logger:     log,
	})

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
		Saver:   saver,
		Prepare: client.Prepare,
		MaxWait: settings.MaxWait,
		KeyFile: settings.APIKeyFile,
		Files:   attach.Resolver{Dirs: settings.FilesDirs, FromRoots: settings.FilesFromRoots, Home: settings.Home},
		Refuse:  func(tool string, arguments map[string]any) error { return refuse(settings, tool, arguments) },
	})
	videos := resources.Register(srv, tracker, resources.Options{MediaOrigins: append(mediaOrigins, settings.MediaOrigins...)})

	log.Info("serving", "version", version, "gateway", gateway.GatewayURL, "sandbox", settings.Sandbox)
	return stdio.Serve(ctx, srv, stdin, stdout, stdio.Options{
		Drain:     func() { tracker.Drain(); saver.Drain() },
		Finish:    func(ctx context.Context) { tracker.Finish(ctx); saver.Finish() },
		Subscribe: videos.Subscribe,
		Logger:    log,
	})
}

// savedJobs is the tracker as a saver of videos sees it.
type savedJobs struct{ *jobs.Tracker }

// Status implements download.Jobs.
func (s savedJobs) Status(ctx context.Context, requestID string) (pixazo.Job, error) {
	seen, err := s.Tracker.Status(ctx, requestID)
	return seen.Row.Job, err
}

// Find implements download.Jobs.
func (s savedJobs) Find(ctx context.Context, requestID string) (known download.Known) {
	r, err := s.Tracker.Find(ctx, requestID)
	if err != nil || r == nil {
		return download.Known{}
	}
	known = download.Known{Job: r.Job, Prompt: r.Prompt, SubmittedAt: r.SubmittedAt}
	for _, file := range r.Saved {
		known.Saved = append(known.Saved, download.File(file))
	}
	return known
}

// AddSaved implements download.Jobs.
func (s savedJobs) AddSaved(ctx context.Context, requestID string, files []download.File) error {
	saved := make([]jobs.SavedFile, len(files))
	for i, file := range files {
		saved[i] = jobs.SavedFile(file)
	}
	return s.Tracker.AddSaved(ctx, requestID, saved)
}

// refuse returns the error of a call that needs a setting which can't be taken.
// Settings.Key refuses what the key file and resources need.
func refuse(settings config.Settings, tool string, arguments map[string]any) error {
	needed := append([]string{"", "sandbox"}, map[string][]string{
		"generate_video": {"state-dir", "max-videos-per-hour", "webhook-url", "webhook-mode"},
		"wait_for_video": {"max-wait"},
		"list_videos":    {"state-dir"},
		"download_video": {"output-dir", "max-download", "max-wait"},
	}[tool]...)
	switch {
	case !settings.Sandbox:
		needed = append(needed, "gateway-url")
	case tool == "generate_video":
		needed = append(needed, "sandbox-duration")
	}
	if hasLocalFile(arguments["files"]) {
		needed = append(needed, "files-dir", "files-from-roots")
	}
	if save := arguments["save"]; save != nil && save != false {
		needed = append(needed, "output-dir", "max-download")
	}
	for _, problem := range settings.Problems {
		if !slices.Contains(needed, problem.Name) {
			continue
		}
		e := &pixazo.Error{Code: pixazo.InvalidArgument, Message: problem.Err.Error() +
			"; that is a setting of this server: ask the user to correct it where the server is set up, and to start the server again"}
		switch problem.Name {
		case "state-dir":
			e.Code = pixazo.JournalUnavailable
		case "output-dir", "files-dir", "files-from-roots":
			e.Code = pixazo.FileRefused
		}
		return e
	}
	return nil
}

// hasLocalFile reports whether the argument files may name a local file: it is
// told from a URL and from an asset id by a dot or a separator in it.
func hasLocalFile(files any) bool {
	items, ok := files.([]any)
	if !ok {
		items = []any{files}
	}
	return slices.ContainsFunc(items, func(item any) bool {
		s, _ := item.(string)
		return strings.ContainsAny(s, `./\`) && !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "data:")
	})
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
