// This file makes the parts that servers, keepers and the commands wait and list
// share: client, journal, tracker, saver.

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
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

// app holds the parts of a running program, made from its settings.
type app struct {
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
	close      func() // releases everything; the app must not be used afterwards
}

// newApp makes the parts from settings. It opens no file and sends nothing.
func newApp(settings config.Settings, log *slog.Logger) (*app, error) {
	a := &app{settings: settings, log: log, gatewayURL: settings.GatewayURL}
	key, stop := settings.Key, func() {}
	if settings.Sandbox {
		var err error
		if a.gatewayURL, key, stop, err = startSandbox(settings.SandboxDuration, log); err != nil {
			return nil, err
		}
	}
	var err error
	a.client, err = pixazo.NewClient(pixazo.Config{
		GatewayURL:     a.gatewayURL,
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
	a.gateway = a.client.Origin()
	o := journal.Options{
		Dir:      settings.StateDir,
		Limits:   journal.Limits{PerHour: settings.MaxVideosPerHour, PerDay: settings.MaxVideosPerDay},
		KeepDays: settings.KeepDays,
		Logger:   log,
	}
	if settings.Sandbox { // jobs are filed under a fixed name, since the port differs in each process
		a.gateway, o.MediaOrigin = "sandbox", a.gatewayURL
	}
	o.Gateway = a.gateway
	if settings.Command == config.HTTP || settings.Shell.All { // list --all reads the team's journal
		o.File, o.Database = "team.db", settings.HTTP.DatabaseURL.Reveal()
	}
	jo := jobs.Options{Account: a.client.Account, Logger: log}
	if settings.Command == config.Wait {
		jo.MaxWaits = math.MaxInt // it waits for all that it was given
	}
	var gateway jobs.Gateway = a.client
	if settings.Command == config.HTTP {
		a.metrics = metrics.NewSet()
		gateway = countingGateway{a.client, a.metrics}
		if err = a.forTeam(&o, &jo); err != nil {
			stop()
			return nil, err
		}
	}
	a.journal = journal.New(o)
	a.tracker = jobs.New(gateway, a.journal, jo)
	a.saver = a.newSaver()
	a.close = func() {
		a.tracker.Close()
		stop()
	}
	return a, nil
}

func (a *app) newSaver() *download.Saver {
	return download.New(savedJobs{a.tracker}, download.Options{
		Dir:        a.settings.OutputDir,
		Team:       a.settings.Command == config.HTTP,
		MaxBytes:   a.settings.MaxDownload,
		GatewayURL: a.gatewayURL,
		UserAgent:  "pixazo-mcp/" + version,
		Proxy:      http.ProxyFromEnvironment,
		Logger:     a.log,
	})
}

// submit submits a request from this process, and waits at most for listen for the
// outcome. nonce identifies the submission in the journal.
func (a *app) submit(ctx context.Context, req keeper.Request, nonce string, listen time.Duration) (jobs.Submission, error) {
	p, err := a.client.Prepare(req.Video)
	if err != nil {
		return jobs.Submission{}, err
	}
	o := jobs.SubmitOptions{AllowDuplicate: req.AllowDuplicate, Nonce: nonce, Listen: listen, SaveTo: a.savesTo(ctx), Notify: a.notifies()}
	return a.tracker.Submit(ctx, p, o)
}

// savesTo returns the folder where the videos of ctx's owner are saved
// automatically, "" when they are not.
func (a *app) savesTo(ctx context.Context) string {
	switch {
	case !a.settings.AutoSave:
		return ""
	case a.team != nil && a.team.Folder != nil:
		return a.team.Folder(journal.Owner(ctx))
	}
	return a.settings.OutputDir
}

// notifies reports whether desktop notices are shown.
func (a *app) notifies() bool {
	if a.team != nil {
		return false
	}
	return a.settings.Notify == "true" || a.settings.Notify == "auto" && keeper.HasDesktop(os.Getenv)
}

// keeper returns a keeper, which watches jobs, saves videos and gives notice.
func (a *app) keeper() *keeper.Keeper {
	o := keeper.Options{
		Tracker: a.tracker,
		Journal: a.journal,
		Save: func(ctx context.Context, row journal.Row, named func(string) error) error {
			return a.saver.AutoSave(ctx, row.Save.Folder, row.Job.RequestID, row.Save.Name, named)
		},
		Gateway: a.gateway,
		Account: a.client.Account,
		Version: fullVersion(),
		Logger:  a.log,
	}
	if a.notifies() {
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

// tidy deletes, at once and then once an hour, the jobs that ended more than
// --keep-days ago. It returns when ctx is done.
func (a *app) tidy(ctx context.Context) {
	if a.settings.KeepDays == 0 {
		return
	}
	for tick := time.Tick(time.Hour); ; {
		if n, err := a.journal.Tidy(ctx); n > 0 || err != nil {
			a.log.Info("deleted ended jobs from the journal", "number", n, "error", err)
		}
		select {
		case <-tick:
		case <-ctx.Done():
			return
		}
	}
}
