// This file runs the commands wait and list, for shells and for agents that can run
// a command in the background: wait ends when the videos are done.

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/keeper"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	noTimeout  = 1000 * time.Hour
	serverTurn = 3 * time.Second // in which a server saves a video that is done, having a key and a network
	listPage   = 100             // rows that list reads at a time
)

// status is an error together with the exit status that it leads to.
type status struct {
	code int
	error
}

// The exit statuses of wait, beside 0 for "all videos are completed".
const (
	oneFailed = 1 // a video failed, is uncertain, or is not known
	wrongUse  = 2 // of every command
	timedOut  = 3
)

// waitForVideos runs the command wait.
func waitForVideos(ctx context.Context, settings config.Settings, stdout, stderr io.Writer) error {
	all := journal.New(journal.Options{Dir: settings.StateDir})
	defer all.Close()
	w := &waiter{printer: printer{out: stdout, asJSON: settings.JSON}, settings: settings, lastStatus: map[string]string{}, begun: time.Now(), terminal: isTerminal(stdout) && !settings.JSON}
	log := logTo(stderr, settings.LogLevel)
	deadline := w.begun.Add(cmp.Or(settings.Shell.Timeout, noTimeout))
	var sent []int64
	var err error
	if len(settings.Shell.RequestIDs) == 0 {
		if sent, err = w.awaitIDs(ctx, all, deadline); err != nil {
			return err
		}
	}
	wanted, err := all.JobsByGateway(context.WithoutCancel(ctx), settings.Shell.RequestIDs, sent...)
	if err != nil {
		return err
	}
	if len(wanted) == 0 && w.failed+w.late == 0 {
		fmt.Fprintln(stderr, "nothing is pending")
		return nil
	}
	for _, ids := range wanted {
		w.left += len(ids)
	}
	var waits sync.WaitGroup
	for gateway, ids := range wanted {
		a, err := appOf(settings, gateway, log)
		if err != nil {
			return err
		}
		defer a.close()
		k := a.keeper()
		for _, id := range ids {
			waits.Go(func() { w.wait(ctx, a, k, id, deadline) })
		}
	}
	waits.Wait()
	switch {
	case w.failed > 0:
		return status{oneFailed, fmt.Errorf("failed, uncertain or not known: %d of the videos", w.failed)}
	case w.late > 0:
		return status{timedOut, fmt.Errorf("not done yet: %d of the videos", w.late)}
	}
	return w.err
}

// appOf makes the parts for waiting for the jobs that the journal has of gateway.
// The key is sent to the gateway of the settings only. For any other gateway the parts
// have no key, so that its jobs are followed in the journal alone.
func appOf(settings config.Settings, gateway string, log *slog.Logger) (*app, error) {
	settings.Sandbox = gateway == "sandbox" || gateway == "" && settings.Sandbox
	a, err := newApp(settings, log)
	if err == nil && gateway != "" && gateway != a.gateway {
		a.close()
		why := fmt.Errorf("the API key is sent to %s alone, the gateway of this command's settings, and this video is at %s: it is followed in the journal", a.gateway, gateway)
		settings.GatewayURL = gateway
		return newApp(settings.WithoutKey(why), log)
	}
	return a, err
}

// printer prints a line for each of a command's findings: JSON, or columns.
type printer struct {
	out    io.Writer
	asJSON bool
	err    error // of the first line that could not be written; nothing is printed after it
}

func (p *printer) print(finding any, columns ...string) {
	line := strings.Join(columns, "  ")
	if p.asJSON {
		raw, _ := text.JSON(finding, "")
		line = escapeInvisible(string(raw))
	}
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.out, line)
	}
}

// escapeInvisible returns s, JSON, with escapes for the characters that would steer a
// terminal, such as U+009B and U+202E in a prompt.
func escapeInvisible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsGraphic(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// waiter runs the waits of one command and prints what becomes of them.
type waiter struct {
	settings config.Settings
	begun    time.Time
	terminal bool // out is a terminal, whose last line shows the progress

	mu sync.Mutex // guards what follows
	printer
	lastStatus   map[string]string // by request_id: the status, or failed status check, of the newest progress
	left         int               // videos that are still waited for
	failed, late int
	shown        int // length of the progress line
}

// show replaces the progress line. The cursor stays at its beginning, so that a line of
// the log takes its place. The caller holds w.mu.
func (w *waiter) show(progress string) {
	if w.shown > 0 {
		fmt.Fprintf(w.out, "%*s\r", w.shown, "") // older Windows consoles know no escapes
	}
	if w.shown = len(progress); w.shown > 0 {
		fmt.Fprint(w.out, progress+"\r")
	}
}

// awaitIDs waits until each submission that is on its way has its request_id, or is
// uncertain, and returns their rows. It prints and counts those that have none then, since
// no other wait sees them.
func (w *waiter) awaitIDs(ctx context.Context, all *journal.Journal, deadline time.Time) (sent []int64, err error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for {
		rows, err := all.WithoutID(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		sending := 0
		for _, row := range rows {
			if row.State == journal.Submitting {
				sending, sent = sending+1, append(sent, row.ID)
			}
		}
		sent = slices.Compact(slices.Sorted(slices.Values(sent)))
		if w.terminal && sending > 0 {
			w.show(fmt.Sprintf("%d being sent, waited %s", sending, time.Since(w.begun).Round(time.Second)))
		}
		if sending > 0 && journal.Sleep(ctx, time.Second) {
			continue
		}
		for _, row := range rows {
			if row.State == journal.Submitting {
				w.late++
			} else {
				w.failed++
			}
			view := jobs.ViewOf(row, time.Now(), 0)
			w.show("")
			w.print(view, "none", view.Status, text.Clean(view.Prompt, 60))
		}
		return sent, nil
	}
}

// wait waits for one job, counts how it ended, and prints that.
func (w *waiter) wait(ctx context.Context, a *app, k *keeper.Keeper, id string, deadline time.Time) {
	outcome, err := a.tracker.Wait(ctx, id, time.Until(deadline), func(p jobs.Progress) { w.progress(id, p) })
	row := *outcome.Row
	if err == nil && row.Job.Status == pixazo.Completed {
		saving, cancel := context.WithDeadline(ctx, deadline)
		row = w.saved(saving, a, k, row)
		cancel()
	}
	view := a.tracker.View(ctx, row)
	view.RequestID = id
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left--
	ended := row.Job.Done()
	if row.Job.Status == pixazo.Completed && w.settings.Shell.Save && view.SavedPath == "" {
		if ended = row.Save.Error != ""; ended {
			err = errors.New(row.Save.Error)
		}
	}
	if errors.Is(err, context.Canceled) { // by a signal: where the video stands is known all the same
		err = nil
	}
	switch {
	case err == nil && !ended:
		w.late++
	case err != nil || row.Job.Status.Failed():
		w.failed++
	}
	object := struct {
		jobs.View
		Failure string `json:"failure,omitempty"`
	}{View: view}
	if err == nil && !ended && outcome.LastErr != nil {
		err = checkFailed(outcome.LastErr)
	}
	if err != nil {
		object.Failure = err.Error()
	}
	w.show("")
	w.print(object, append([]string{id}, columnsOf(view, err)...)...)
}

// checkFailed wraps err, which a status check failed with, in words for the user.
func checkFailed(err error) error { return fmt.Errorf("the newest check failed (%w)", err) }

// columnsOf returns the status of a video and, as further columns, err, or else where the
// video is, or why there is none.
func columnsOf(v jobs.View, err error) []string {
	all := []string{v.Status}
	switch {
	case err != nil:
		all = append(all, err.Error())
	case v.SavedPath != "":
		all = append(all, v.SavedPath)
	case len(v.VideoURLs) > 0:
		all = append(all, v.VideoURLs...)
		if v.SaveError != "" {
			all = append(all, "not saved: "+v.SaveError)
		}
	case v.Error != "":
		all = append(all, v.Error)
	}
	return all
}

// saved waits until the video of a finished job is saved, that has failed, or ctx ends,
// and returns the job's row. It leaves the video to the keeper that watches it, or, for
// serverTurn, to a server that saves by itself. If there is none, as after a restart of
// the computer, it saves the video as a keeper does. With --save it orders that, at once.
func (w *waiter) saved(ctx context.Context, a *app, k *keeper.Keeper, row journal.Row) journal.Row {
	var err error
	lasting := context.WithoutCancel(ctx)
	if w.settings.Shell.Save && a.tracker.View(ctx, row).SavedPath == "" {
		err = a.journal.OrderSave(lasting, row, a.settings.OutputDir)
	}
	for begun := time.Now(); ; journal.Sleep(ctx, 200*time.Millisecond) {
		held, _ := a.journal.Leases(lasting, keeper.WatchLease(a.gateway, row.Account))
		kept := len(held) > 0 && row.Save.Folder != "" && a.tracker.Recent(row)
		if err != nil && !kept {
			row.Save.Error = err.Error()
			return row
		}
		var now *journal.Row
		now, err = a.journal.Find(lasting, row.Job.RequestID)
		known := now != nil && now.Job.Done()
		if known {
			row = *now
		}
		switch {
		case ctx.Err() != nil || known && !(row.ToSave() && row.Save.Due(time.Now())):
			return row
		case err != nil || kept:
		case !w.settings.Shell.Save && time.Since(begun) < serverTurn:
		case known:
			_, err = k.TrySave(ctx, row)
		default: // the journal was lost, or could not be written when the job ended
			_, err = a.tracker.Observe(ctx, row.Job)
		}
	}
}

// progress prints a job's status if that has changed and, on a terminal, how long the
// waits have taken.
func (w *waiter) progress(id string, p jobs.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, status := fmt.Sprintf("%s  %s", id, p.Row.Job.Status), string(p.Row.Job.Status)
	if p.Err != nil {
		line = fmt.Sprintf("%s  %s", line, checkFailed(p.Err))
		status, _, _ = strings.Cut(line, ": ") // without the error's words, which change from time to time
	}
	if status != w.lastStatus[id] && !w.asJSON && !p.Row.Job.Done() { // wait prints the end
		w.show("")
		w.print(nil, line)
	}
	w.lastStatus[id] = status
	if w.terminal {
		w.show(fmt.Sprintf("%d being made, waited %s", w.left, time.Since(w.begun).Round(time.Second)))
	}
}

// listVideos runs the command list.
func listVideos(ctx context.Context, settings config.Settings, stdout, stderr io.Writer) error {
	a, err := newApp(settings, logTo(stderr, settings.LogLevel))
	if err != nil {
		return err
	}
	defer a.close()
	p := printer{out: stdout, asJSON: settings.JSON}
	if settings.Shell.All {
		return listUsage(ctx, a, p)
	}
	n, cursor := 0, ""
	for more := true; more && p.err == nil; more = cursor != "" {
		page, err := a.tracker.List(ctx, journal.All, listPage, cursor)
		if err != nil {
			return err
		}
		for _, row := range page.Rows {
			view := a.tracker.View(ctx, row)
			at := cmp.Or(row.SubmittedAt, row.Job.CreatedAt, pixazo.IDTime(row.Job.RequestID), row.LastCheckedAt).Local().Format("2006-01-02 15:04")
			columns := []string{at, fmt.Sprintf("%-10s", view.Status), cmp.Or(view.RequestID, "none"), text.Clean(view.Prompt, 60)}
			p.print(view, append(columns, columnsOf(view, nil)[1:]...)...)
		}
		n, cursor = n+len(page.Rows), page.Next
	}
	if settings.JSON || p.err != nil {
		return p.err
	}
	if n == 0 {
		fmt.Fprintln(stderr, "no videos; those of the sandbox are listed with --sandbox")
	}
	if held, err := a.journal.Leases(ctx, ""); err == nil && keeper.Running(held) != "" {
		fmt.Fprintln(stderr, "a keeper watches what is pending:", keeper.Running(held))
	}
	return nil
}

// listUsage prints how many videos each user of a team made on each of the last days.
func listUsage(ctx context.Context, a *app, p printer) error {
	used, err := a.used(ctx)
	for _, u := range used {
		p.print(u, u.Day, fmt.Sprintf("%d videos, %d uncertain", u.Videos, u.Uncertain), cmp.Or(u.Owner, "without authentication"))
	}
	return cmp.Or(err, p.err)
}

// shells are the clients whose agents can run a command in a shell: clientInfo.name, in
// lower case, contains one of these words.
var shells = []string{"claude-code", "codex", "gemini-cli", "cursor", "visual studio code", "vscode", "opencode", "qwen"}

// waitCommand returns the command that an agent of the client runs to wait for a video,
// but for the request_id: program, the path of this one, and the flags with which it
// finds the journal. It returns "" if the client has no shell, or the program lies in a
// temporary folder and may soon be gone.
func waitCommand(program string, settings config.Settings, clientName string) string {
	name := strings.ToLower(clientName)
	temporary := strings.HasPrefix(program, os.TempDir()) || strings.Contains(program, "go-build")
	if program == "" || temporary || !slices.ContainsFunc(shells, func(s string) bool { return strings.Contains(name, s) }) {
		return ""
	}
	words := []string{program, config.Wait, "--state-dir=" + settings.StateDir}
	if settings.Sandbox {
		words = append(words, "--sandbox")
	}
	for i, word := range words {
		if strings.Contains(name, "claude-code") { // runs it in bash, also on Windows
			word = strings.ReplaceAll(word, `\`, "/")
		}
		words[i] = text.ShellWord(word)
	}
	return strings.Join(words, " ")
}
