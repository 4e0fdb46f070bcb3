// This file wires the server together: settings, client, tracker, tools and
// resources, transport.

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/server"

	"pixazo-mcp/internal/attach"
	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/keeper"
	"pixazo-mcp/internal/stdio"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/internal/wire"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/resources"
	"pixazo-mcp/tools"
)

// serve speaks MCP over stdin and stdout until the client leaves or ctx ends.
// keepCommand returns the command that starts a keeper; nil means no keepers.
func serve(ctx context.Context, settings config.Settings, keepCommand func() *exec.Cmd, stdin io.Reader, stdout, stderr io.Writer) error {
	log, endLog := newLogger(settings, stderr)
	defer endLog()
	a, err := newApp(settings, log)
	if err != nil {
		return err
	}
	defer a.close()

	starter := a.starter(keepCommand)
	srv, videos := a.register(starter)
	logStart(log, "version", version, "gateway", a.gatewayURL, "sandbox", settings.Sandbox)
	stopWatching := a.watch(starter)
	return stdio.Serve(ctx, srv, stdin, stdout, stdio.Options{
		Options: wire.Options{Subscribe: videos.Subscribe, Hide: a.hideKey, Logger: log},
		Drain:   a.tracker.Drain,
		Finish: func(ctx context.Context) {
			starter.Finish()
			a.tracker.Finish(ctx)
			a.saver.Finish()
			stopWatching()
		},
	})
}

// hideKey returns the words of an error without the key, which a model may have put
// anywhere in a message.
func (a *app) hideKey(words string) string {
	key, _ := a.settings.Key()
	if hidden := key.Clean(words, len(words)); strings.Contains(hidden, text.Redacted) {
		return hidden
	}
	return words // with all spaces of what it quotes
}

// register returns an MCP server with the tools, resources and prompts. Its tools
// submit videos through starter.
func (a *app) register(starter *keeper.Starter) (*server.MCPServer, *resources.Videos) {
	instructions := tools.Instructions(a.team)
	if a.settings.ReadOnly {
		instructions = tools.ReadOnlyInstructions
	}
	srv := server.NewMCPServer("pixazo-mcp", version,
		server.WithTitle("Pixazo video"),
		server.WithIcons(tools.Icon("pixazo-mcp")),
		server.WithInstructions(instructions),
		server.WithToolCapabilities(false),
		server.WithResourceCapabilities(true, a.team == nil),
		server.WithPromptCapabilities(false),
		server.WithCompletions(),
		server.WithRecovery(),
		server.WithResourceRecovery(),
	)
	submit := func(ctx context.Context, video pixazo.VideoRequest, allowDuplicate bool, nonce string, listen time.Duration) (jobs.Submission, error) {
		s, err := starter.Submit(ctx, keeper.Request{Video: video, AllowDuplicate: allowDuplicate}, nonce, listen)
		if err == nil && !s.Duplicate {
			a.tracker.Added(s.Row)
		}
		return s, err
	}
	offered := tools.Config{
		Tracker:      a.tracker,
		Saver:        a.saver,
		ReadOnly:     a.settings.ReadOnly,
		ConfirmSpend: a.settings.ConfirmSpend,
		Submit:       submit,
		WaitCommand: func(clientName string) string {
			program, _ := os.Executable()
			return waitCommand(program, a.settings, clientName)
		},
		MaxWait: a.settings.MaxWait,
		KeyFile: a.settings.APIKeyFile,
		Hide:    a.hideKey,
		Files:   attach.Resolver{Dirs: a.settings.FilesDirs, FromRoots: a.settings.FilesFromRoots, Home: a.settings.Home},
		Refuse:  func(what string) error { return refuse(a.settings, what) },
		Team:    a.team,
	}
	tools.Register(srv, offered)
	mediaOrigins := []string{a.gatewayURL} // the sandbox serves media itself, and a gateway may
	if !a.settings.Sandbox {
		mediaOrigins = []string{pixazo.MediaOrigin, a.gatewayURL}
	}
	if a.links != nil {
		mediaOrigins = append(mediaOrigins, a.links.Origin)
	}
	videos := resources.Register(srv, a.tracker, resources.Options{MediaOrigins: append(mediaOrigins, a.settings.MediaOrigins...), Team: a.team != nil, Missing: offered.Missing()})
	return srv, videos
}

// savedJobs implements download.Jobs with a tracker, whose methods HoldSave and AddSaved
// are those of the interface.
type savedJobs struct{ *jobs.Tracker }

// Status implements download.Jobs.
func (s savedJobs) Status(ctx context.Context, requestID string) (pixazo.Job, error) {
	seen, err := s.Tracker.Status(ctx, requestID)
	return seen.Row.Job, err
}

// Find implements download.Jobs.
func (s savedJobs) Find(ctx context.Context, requestID string) download.Known {
	r, err := s.Tracker.Find(ctx, requestID)
	if err != nil || r == nil {
		return download.Known{}
	}
	done := *r
	done.Job.Status = pixazo.Completed
	return download.Known{Job: r.Job, Prompt: r.Prompt, SubmittedAt: r.SubmittedAt, Saved: r.Saved,
		ToSave: done.ToSave() && s.Recent(done)}
}

// refuse returns an error when what, a tool or tools.LocalFiles, needs a setting that has a
// problem, else nil. Problems of settings that lead to the key are left to Settings.Key.
func refuse(settings config.Settings, what string) error {
	needed := append([]string{"", "sandbox"}, map[string][]string{
		"generate_video": {"state-dir", "max-videos-per-hour", "max-videos-per-day", "files-format", "auto-save", "keeper", "notify", "webhook-url", "webhook-mode", "read-only", "confirm-spend"},
		"wait_for_video": {"max-wait"},
		"list_videos":    {"state-dir"},
		"download_video": {"read-only", "output-dir", "max-download", "max-wait"},
		tools.LocalFiles: {"files-dir", "files-from-roots"},
	}[what]...)
	switch {
	case !settings.Sandbox:
		needed = append(needed, "gateway-url")
	case what == "generate_video":
		needed = append(needed, "sandbox-duration")
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
