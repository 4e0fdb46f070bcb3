// This file makes the parts that servers, keepers and the commands wait and list
// share: client, journal, tracker, saver.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/keeper"
	"pixazo-mcp/pixazo"
	"pixazo-mcp/pixazo/sandbox"
	"pixazo-mcp/tools"
)

// house holds the parts of a running program, made from its settings.
type house struct {
	settings config.Settings
	log      *slog.Logger
	client   *pixazo.Client
	journal  *journal.Journal
	tracker  *jobs.Tracker
	saver    *download.Saver

	// For the command http only; nil otherwise.
	metrics *metrics.Set
	team    *tools.Team
	links   *download.Links // nil when no video is saved

	gatewayURL string // the origin of the gateway, or of this process's sandbox
	gateway    string // the gateway's name in the journal
	close      func() // releases everything; the house must not be used afterwards
}

// newHouse makes the parts from settings. It opens no file and sends nothing.
func newHouse(settings config.Settings, log *slog.Logger) (*house, error) {
	h := &house{settings: settings, log: log, gatewayURL: settings.GatewayURL}
	key, stop := settings.Key, func() {}
	if settings.Sandbox {
		var err error
		if h.gatewayURL, key, stop, err = startSandbox(settings.SandboxDuration, log); err != nil {
			return nil, err
		}
	}
	var err error
	h.client, err = pixazo.NewClient(pixazo.Config{
		GatewayURL:     h.gatewayURL,
		Key:            key,
		WebhookURL:     settings.WebhookURL,
		WebhookMode:    settings.WebhookMode,
		FilesAsObjects: settings.FilesAsObjects,
		UserAgent:      "pixazo-mcp/" + version,
		Logger:         log,
	})
	if err != nil {
		stop()
		return nil, err
	}
	h.gateway = h.client.Origin()
	o := journal.Options{
		Dir:      settings.StateDir,
		Limits:   journal.Limits{PerHour: settings.MaxVideosPerHour, PerDay: settings.MaxVideosPerDay},
		KeepDays: settings.KeepDays,
		Logger:   log,
	}
	if settings.Sandbox { // jobs are filed under a fixed name, since the port differs in each process
		h.gateway, o.MediaOrigin = "sandbox", h.gatewayURL
	}
	o.Gateway = h.gateway
	if settings.Command == config.HTTP || settings.Shell.All { // list --all reads the team's journal
		o.File, o.Database = "team.db", settings.HTTP.DatabaseURL.Reveal()
	}
	jo := jobs.Options{Account: h.client.Account, Logger: log}
	var gateway jobs.Gateway = h.client
	if settings.Command == config.HTTP {
		h.metrics = metrics.NewSet()
		gateway = counted{h.client, h.metrics}
		if err = h.forTeam(&o, &jo); err != nil {
			stop()
			return nil, err
		}
	}
	h.journal = journal.New(o)
	h.tracker = jobs.New(gateway, h.journal, jo)
	h.saver = h.newSaver()
	h.close = func() {
		h.tracker.Close()
		stop()
	}
	return h, nil
}

func (h *house) newSaver() *download.Saver {
	return download.New(savedJobs{h.tracker}, download.Options{
		Dir:        h.settings.OutputDir,
		Team:       h.settings.Command == config.HTTP,
		MaxBytes:   h.settings.MaxDownload,
		GatewayURL: h.gatewayURL,
		UserAgent:  "pixazo-mcp/" + version,
		Proxy:      http.ProxyFromEnvironment,
		Logger:     h.log,
	})
}

// submit submits a request from this process, and waits at most for listen for the
// outcome. nonce identifies the submission in the journal.
func (h *house) submit(ctx context.Context, req keeper.Request, nonce string, listen time.Duration) (jobs.Submission, error) {
	p, err := h.client.Prepare(req.Video)
	if err != nil {
		return jobs.Submission{}, err
	}
	o := jobs.SubmitOptions{AllowDuplicate: req.AllowDuplicate, Nonce: nonce, Listen: listen, SaveTo: h.savesTo(ctx), Notify: h.notifies()}
	s, err := h.tracker.Submit(ctx, p, o)
	s.Warnings = p.Warnings
	return s, err
}

// savesTo returns the folder where the videos of ctx's owner are saved
// automatically, "" when they are not.
func (h *house) savesTo(ctx context.Context) string {
	switch {
	case !h.settings.AutoSave:
		return ""
	case h.team != nil && h.team.Folder != nil:
		return h.team.Folder(journal.Owner(ctx))
	}
	return h.settings.OutputDir
}

// notifies reports whether desktop notices are shown.
func (h *house) notifies() bool {
	if h.team != nil {
		return false
	}
	return h.settings.Notify == "true" || h.settings.Notify == "auto" && keeper.HasDesktop(os.Getenv)
}

// keeper returns a keeper, which watches jobs, saves videos and gives notice.
func (h *house) keeper() *keeper.Keeper {
	o := keeper.Options{
		Tracker: h.tracker,
		Journal: h.journal,
		Save: func(ctx context.Context, row journal.Row, named func(string) error) error {
			return h.saver.SaveByItself(ctx, row.Save.Folder, row.Job.RequestID, row.Save.Name, named)
		},
		Gateway: h.gateway,
		Account: h.client.Account,
		Version: fullVersion(),
		Logger:  h.log,
	}
	if h.notifies() {
		o.Notify = keeper.Show
	}
	return keeper.New(o)
}

// startSandbox serves the emulator on a free loopback port. It returns the URL, the
// key that the emulator takes, so that the user's key is never sent to it, and a
// function that ends it.
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
