// This file is the commands wait and list, which a shell or an IDE agent runs:
// wait ends when the videos are done, and so wakes whoever started it.

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"pixazo-mcp/internal/config"
	"pixazo-mcp/internal/download"
	"pixazo-mcp/internal/jobs"
	"pixazo-mcp/internal/journal"
	"pixazo-mcp/internal/keeper"
	"pixazo-mcp/internal/text"
	"pixazo-mcp/pixazo"
)

const (
	noTimeout = 1000 * time.Hour
	savedTime = time.Minute // how long wait waits for a keeper to save a video that is done
	listPage  = 100
)

// status is the error of a command whose exit status says more than 1.
type status struct {
	code int
	error
}

// The exit statuses of wait, beside 0: all videos are completed. After wrong use, the
// other commands have the same one.
const (
	oneFailed = 1 // or is uncertain, or not known
	wrongUse  = 2
	timedOut  = 3
)

// waitForVideos is the command wait.
func waitForVideos(ctx context.Context, settings config.Settings, stdout, stderr io.Writer) error {
	log := logTo(stderr, settings.LogLevel)
	all := journal.New(journal.Options{Dir: settings.StateDir})
	defer all.Close()
	wanted, err := all.Gateways(ctx, settings.Shell.RequestIDs)
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		fmt.Fprintln(stderr, "nothing is pending")
		return nil
	}
	w := &waiter{settings: settings, out: stdout, said: map[string]string{}, begun: time.Now(), live: isTerminal(stdout) && !settings.JSON}
	for _, ids := range wanted {
		w.left += len(ids)
	}
	var waits sync.WaitGroup
	for gateway, ids := range wanted {
		h, err := houseOf(settings, gateway, log)
		if err != nil {
			return err
		}
		defer h.close()
		for _, id := range ids {
			waits.Go(func() { w.wait(ctx, h, id, cmp.Or(settings.Shell.Timeout, noTimeout)) })
		}
	}
	waits.Wait()
	w.show("")
	switch {
	case w.failed > 0:
		return status{oneFailed, fmt.Errorf("failed, uncertain or not known: %d of the videos", w.failed)}
	case w.late > 0:
		return status{timedOut, fmt.Errorf("not done yet: %d of the videos", w.late)}
	}
	return nil
}

// houseOf makes the parts for jobs of a gateway: that of the settings, or the
// sandbox. The key goes to no other one, whatever the journal says; jobs of
// another one are followed in the journal alone.
func houseOf(settings config.Settings, gateway string, log *slog.Logger) (*house, error) {
	settings.Sandbox = gateway == "sandbox" || gateway == "" && settings.Sandbox
	h, err := newHouse(settings, log)
	if err == nil && gateway != "" && gateway != h.gateway {
		h.close()
		settings.GatewayURL = gateway
		return newHouse(settings.WithoutKey(), log)
	}
	return h, err
}

// waiter prints how waits go.
type waiter struct {
	settings config.Settings

	mu           sync.Mutex
	out          io.Writer
	said         map[string]string // the newest status of each job, and why it is not known any more
	failed, late int

	begun time.Time
	live  bool   // whether out is a terminal, with a progress line at its end
	left  int    // videos that are waited for
	line  string // the progress line as it stands
}

// print prints a line above the progress line, which has to be shown anew. The
// caller holds w.mu.
func (w *waiter) print(line string) {
	w.show("")
	fmt.Fprintln(w.out, line)
}

// show replaces the progress line. The caller holds w.mu.
func (w *waiter) show(line string) {
	if w.line != "" {
		fmt.Fprintf(w.out, "\r%*s\r", len(w.line), "") // older Windows consoles know no escapes
	}
	fmt.Fprint(w.out, line)
	w.line = line
}

// wait waits for one job and prints how it ends.
func (w *waiter) wait(ctx context.Context, h *house, id string, timeout time.Duration) {
	outcome, err := h.tracker.Wait(ctx, id, timeout, func(p jobs.Progress) { w.progress(id, p) })
	row := outcome.Row
	if err == nil && row.Job.Status == pixazo.Completed {
		row, err = w.saved(ctx, h, row)
	}
	view := h.tracker.View(ctx, row)
	view.RequestID = id
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left--
	ended := row.Job.Done()
	switch {
	case errors.Is(err, context.Canceled) || err == nil && !ended:
		w.late++
	case err != nil || row.Job.Status.Failed():
		w.failed++
	}
	object := struct {
		jobs.View
		Failure string `json:"failure,omitempty"`
	}{View: view}
	if err == nil && !ended && outcome.LastErr != nil {
		err = unchecked(outcome.LastErr)
	}
	if err != nil {
		object.Failure = err.Error()
	}
	w.print(lineOf(w.settings.JSON, object, append([]string{id}, words(view, err)...)...))
}

// unchecked says that a job could not be asked for.
func unchecked(err error) error { return fmt.Errorf("the newest check failed (%w)", err) }

// lineOf returns a line with the columns, or with the same as JSON.
func lineOf(asJSON bool, same any, columns ...string) string {
	if asJSON {
		raw, _ := json.Marshal(same)
		return string(raw)
	}
	return strings.Join(columns, "  ")
}

// words returns the columns of a line about a video, its status first.
func words(v jobs.View, err error) []string {
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

// saved returns the row of a finished job once its video is saved: by this
// command, or by a keeper, which is given a minute.
func (w *waiter) saved(ctx context.Context, h *house, row journal.Row) (journal.Row, error) {
	id := row.Job.RequestID
	if w.settings.Shell.Save {
		if _, err := h.saver.Save(ctx, download.Request{RequestID: id}, noTimeout, nil); err != nil {
			return row, err
		}
	}
	for deadline := time.Now().Add(savedTime); ; {
		now, err := h.tracker.Find(ctx, id)
		if err == nil && now != nil {
			row = *now
		}
		if len(row.Saved) > 0 || row.Save.Folder == "" || row.Save.Error != "" || time.Now().After(deadline) || ctx.Err() != nil {
			return row, nil
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// progress prints a job's status if it is another one than before, and on a
// terminal how far the wait is.
func (w *waiter) progress(id string, p jobs.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line, status := fmt.Sprintf("%s  %s", id, p.Row.Job.Status), string(p.Row.Job.Status)
	if p.Err != nil {
		line = fmt.Sprintf("%s  %s", line, unchecked(p.Err))
		status, _, _ = strings.Cut(line, ": ") // up to the error's code, since words differ
	}
	if status != w.said[id] && !w.settings.JSON && !p.Row.Job.Done() { // the end is printed by wait
		w.print(line)
	}
	w.said[id] = status
	if w.live {
		w.show(fmt.Sprintf("%d being made, waited %s", w.left, time.Since(w.begun).Round(time.Second)))
	}
}

// listVideos is the command list.
func listVideos(ctx context.Context, settings config.Settings, stdout, stderr io.Writer) error {
	h, err := newHouse(settings, logTo(stderr, settings.LogLevel))
	if err != nil {
		return err
	}
	defer h.close()
	if settings.Shell.All {
		return listUsage(ctx, h, stdout)
	}
	n, cursor := 0, ""
	for {
		page, err := h.tracker.List(ctx, journal.All, listPage, cursor)
		if err != nil {
			return err
		}
		for _, row := range page.Rows {
			n++
			view := h.tracker.View(ctx, row)
			at := cmp.Or(row.SubmittedAt, row.Job.CreatedAt, pixazo.IDTime(row.Job.RequestID), row.LastCheckedAt).Local().Format("2006-01-02 15:04")
			columns := []string{at, fmt.Sprintf("%-10s", view.Status), cmp.Or(view.RequestID, "none"), text.Clean(view.Prompt, 60)}
			if _, err := fmt.Fprintln(stdout, lineOf(settings.JSON, view, append(columns, words(view, nil)[1:]...)...)); err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if settings.JSON {
		return nil
	}
	if n == 0 {
		fmt.Fprintln(stderr, "no videos; those of the sandbox are listed with --sandbox")
	}
	if held, err := h.journal.Leases(ctx, ""); err == nil && keeper.Running(held) != "" {
		fmt.Fprintln(stderr, "a keeper watches what is pending:", keeper.Running(held))
	}
	return nil
}

// listUsage lists what each owner of a team made on each of the last days.
func listUsage(ctx context.Context, h *house, stdout io.Writer) error {
	used, err := h.used(ctx)
	if err != nil {
		return err
	}
	for _, u := range used {
		made := fmt.Sprintf("%d videos, %d uncertain", u.Videos, u.Uncertain)
		if _, err := fmt.Fprintln(stdout, lineOf(h.settings.JSON, u, u.Day, made, cmp.Or(u.Owner, "without authentication"))); err != nil {
			return err
		}
	}
	return nil
}

// shells are the clients, by what their clientInfo.name contains in lower case,
// whose agents can run a command in a shell.
var shells = []string{"claude-code", "codex", "gemini-cli", "cursor", "visual studio code", "vscode", "opencode", "qwen"}

// waitCommand returns how the agent of a client waits for a video in a shell: this
// program with an absolute path, and the settings that find the journal. "" for a
// client that has no shell, and for a program in a temporary folder, which will
// not be there for long.
func waitCommand(settings config.Settings, clientName string) string {
	program, err := os.Executable()
	name := strings.ToLower(clientName)
	temporary := strings.HasPrefix(program, os.TempDir()) || strings.Contains(program, "go-build")
	if err != nil || temporary || !slices.ContainsFunc(shells, func(s string) bool { return strings.Contains(name, s) }) {
		return ""
	}
	words := []string{program, config.Wait, "--state-dir=" + settings.StateDir}
	if settings.Sandbox {
		words = append(words, "--sandbox")
	}
	for i, word := range words {
		if strings.ContainsAny(word, " \t'\"$&;()<>|*?") {
			words[i] = `"` + word + `"`
		}
	}
	return strings.Join(words, " ")
}
