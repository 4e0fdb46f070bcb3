package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// client is what the job needs, in words that are no library's.
type client interface {
	server() (name, instructions, revision string, prompts bool)
	tools(ctx context.Context) ([]string, error)
	call(ctx context.Context, tool string, args map[string]any, token string) (result, error)
	resources(ctx context.Context) ([]string, error)
	templates(ctx context.Context) ([]string, error)
	read(ctx context.Context, uri string) (mediaType, text string, err error)
	complete(ctx context.Context, template, argument, value string) ([]string, error)
	prompts(ctx context.Context) ([]prompt, error)
	prompt(ctx context.Context, name string, args map[string]string) (messages int, err error)
	follow(ctx context.Context, uri string) (end func() error, err error)
	heard() *heard
	ping(ctx context.Context) error
	code(err error) int // of a protocol error; 0 where the library does not say
	close() error
}

type result struct {
	isError    bool
	text       string
	structured map[string]any
}

type prompt struct {
	name     string
	required []string
}

// heard is what notifications told. Its methods are safe for concurrent use.
type heard struct {
	mu       sync.Mutex
	progress map[string]int // notifications by token
	updated  []string
}

func (h *heard) progressed(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.progress == nil {
		h.progress = map[string]int{}
	}
	h.progress[token]++
}

func (h *heard) update(uri string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.updated = append(h.updated, uri)
}

// until waits for a notification: handlers run beside the answers.
func (h *heard) until(ctx context.Context, arrived func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		h.mu.Lock()
		ok := arrived()
		h.mu.Unlock()
		if ok || ctx.Err() != nil {
			return ok
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const (
	modern   = "2026-07-28"
	template = "pixazo://videos/{request_id}"
)

func must(truth bool, format string, args ...any) error {
	if truth {
		return nil
	}
	return fmt.Errorf(format, args...)
}

func fileURL(path string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path)}).String()
}

// do calls a tool that has to answer with no error.
func do(ctx context.Context, c client, name string, args map[string]any, token string) (map[string]any, error) {
	res, err := c.call(ctx, name, args, token)
	if err == nil && res.isError {
		err = errors.New(res.text)
	}
	return res.structured, err
}

// job is the same as job.mjs.
func job(ctx context.Context, r *report, c client, at place, other func() (client, error)) {
	revision, outputDir, team := at.revision, at.outputDir, at.url != ""
	tool := func(name string, args map[string]any, token string) (map[string]any, error) {
		return do(ctx, c, name, args, token)
	}
	refused := func(err error, code int) error {
		if err == nil {
			return errors.New("no error")
		}
		got := c.code(err)
		return must(got == code || got == 0, "%v (%d), want %d", err, got, code)
	}
	name, instructions, spoken, hasPrompts := c.server()

	r.check("it says who it is", func() error {
		return must(name == "pixazo-mcp" && strings.Contains(instructions, "wait_for_video") && spoken == revision, "%q, %q, %q", name, instructions, spoken)
	})
	r.check("the tools are listed", func() error {
		names, err := c.tools(ctx)
		for _, want := range []string{"download_video", "generate_video", "get_status", "list_videos", "wait_for_video"} {
			err = errors.Join(err, must(slices.Contains(names, want), "%s is missing", want))
		}
		return err
	})
	var id string
	r.check("generate_video answers with a request_id", func() error {
		made, err := tool("generate_video", map[string]any{"prompt": "A presenter explains tides in 30 seconds.", "orientation": "portrait"}, "")
		id, _ = made["request_id"].(string)
		return errors.Join(err, must(strings.HasPrefix(id, "heygen-video-agent_") && made["done"] == false, "got %v", made))
	})
	r.check("get_status knows it", func() error {
		status, err := tool("get_status", map[string]any{"request_id": id}, "")
		return errors.Join(err, must(status["request_id"] == id, "got %v", status))
	})
	r.check("wait_for_video brings the video, and progress before", func() error {
		done, err := tool("wait_for_video", map[string]any{"request_id": id, "timeout_seconds": 30}, "wait")
		urls, _ := done["video_urls"].([]any)
		return errors.Join(err, must(done["status"] == "COMPLETED" && len(urls) == 1, "got %v", done),
			must(c.heard().until(ctx, func() bool { return c.heard().progress["wait"] > 0 }), "no progress"))
	})
	r.check("list_videos has it", func() error {
		list, err := tool("list_videos", map[string]any{"limit": 5, "status": "completed"}, "")
		line, _ := json.Marshal(list)
		return errors.Join(err, must(strings.Contains(string(line), id), "got %s", line))
	})
	r.check("download_video saves it", func() error {
		saved, err := tool("download_video", map[string]any{"request_id": id, "filename": "tides.mp4"}, "save")
		if err != nil {
			return err
		}
		path, _ := saved["saved_path"].(string)
		link, _ := saved["saved_url"].(string)
		var file []byte
		if team {
			file, err = get(ctx, link)
		} else {
			file, err = os.ReadFile(path)
		}
		sum := sha256.Sum256(file)
		return errors.Join(err, must((team || filepath.Dir(path) == outputDir) && saved["sha256"] == hex.EncodeToString(sum[:]), "got %v", saved))
	})
	if !team {
		r.check("a file below a root of the client is attached", func() error {
			if err := os.WriteFile(filepath.Join(outputDir, "notes.txt"), []byte("Tides come and go."), 0o600); err != nil {
				return err
			}
			made, err := tool("generate_video", map[string]any{"prompt": "A presenter explains the notes.", "files": []string{"notes.txt"}}, "")
			return errors.Join(err, must(made["request_id"] != nil, "got %v", made))
		})
	}
	r.check("a wrong argument is an error result", func() error {
		res, err := c.call(ctx, "generate_video", map[string]any{"prompt": "A presenter.", "orientatoin": "portrait"}, "")
		return errors.Join(err, must(res.isError && strings.HasPrefix(res.text, "invalid_argument: "), "got %v", res))
	})
	r.check("an unknown tool is a protocol error", func() error {
		_, err := c.call(ctx, "no_such_tool", map[string]any{}, "")
		return refused(err, -32602)
	})

	r.check("the resources and the template are listed", func() error {
		uris, err := c.resources(ctx)
		templates, err2 := c.templates(ctx)
		return errors.Join(err, err2, must(slices.Contains(uris, "pixazo://guide/prompting") && slices.Contains(uris, "pixazo://videos/"+id) == !team, "got %q", uris),
			must(slices.Contains(templates, template), "got %q", templates))
	})
	r.check("the resources can be read", func() error {
		mediaType, text, err := c.read(ctx, "pixazo://guide/prompting")
		_, recent, err2 := c.read(ctx, "pixazo://videos")
		_, one, err3 := c.read(ctx, "pixazo://videos/"+id)
		return errors.Join(err, err2, err3, must(mediaType == "text/markdown" && strings.Contains("\n"+text, "\n# "), "got %s %.80q", mediaType, text),
			must(strings.Contains(recent, id) && strings.Contains(one, "COMPLETED"), "got %s and %s", recent, one))
	})
	r.check("an unknown resource is a protocol error", func() error {
		_, _, err := c.read(ctx, "pixazo://no/such/thing")
		want := -32002
		if revision == modern {
			want = -32602
		}
		return refused(err, want)
	})
	r.check("a request_id is completed", func() error {
		values, err := c.complete(ctx, template, "request_id", id[:max(0, len(id)-4)])
		return errors.Join(err, must(slices.Contains(values, id), "got %q", values))
	})

	if hasPrompts {
		r.check("the prompts are listed, and each can be had", func() error {
			prompts, err := c.prompts(ctx)
			err = errors.Join(err, must(len(prompts) > 0, "there is none"))
			for _, p := range prompts {
				args := map[string]string{}
				for _, name := range p.required {
					if args[name] = "tides"; name == "request_id" {
						args[name] = id
					}
				}
				n, err2 := c.prompt(ctx, p.name, args)
				err = errors.Join(err, err2, must(n > 0, "%s has no message", p.name))
			}
			return err
		})
		r.check("an unknown prompt is a protocol error", func() error {
			_, err := c.prompt(ctx, "no_such_prompt", nil)
			return refused(err, -32602)
		})
	} else {
		r.note("prompts", "skipped: the server does not declare them")
	}

	r.check("a subscription hears of the video", func() error {
		made, err := tool("generate_video", map[string]any{"prompt": "A presenter explains currents."}, "")
		uri := fmt.Sprintf("pixazo://videos/%v", made["request_id"])
		end, err2 := c.follow(ctx, uri)
		if err = errors.Join(err, err2); err != nil {
			return err
		}
		h := c.heard()
		return errors.Join(must(h.until(ctx, func() bool { return slices.Contains(h.updated, uri) }), "heard of %q", h.updated), end())
	})
	r.check("a wait is cancelled, and the video goes on", func() error {
		made, err := tool("generate_video", map[string]any{"prompt": "A presenter explains waves. sandbox:status-slow"}, "")
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond) // the first status takes 2 s there
		defer cancel()
		if res, err := c.call(short, "wait_for_video", map[string]any{"request_id": made["request_id"]}, ""); err == nil {
			return fmt.Errorf("the wait ended by itself: %v", res)
		}
		done, err := tool("wait_for_video", map[string]any{"request_id": made["request_id"], "timeout_seconds": 30}, "")
		return errors.Join(err, must(done["status"] == "COMPLETED", "got %v", done))
	})
	if team {
		r.check("a second client is apart", func() error {
			second, err := other()
			if err != nil {
				return err
			}
			return errors.Join(apart(ctx, c, second, id, at.token != ""), second.close())
		})
	}
	if revision != modern {
		r.check("it answers a ping", func() error { return c.ping(ctx) })
	}
	r.check("it ends", c.close)
}

// get opens a link.
func get(ctx context.Context, link string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, link, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return body, errors.Join(err, must(resp.StatusCode == http.StatusOK, "%s: %s", link, resp.Status))
}

// apart looks whether a second client hears and sees what is not its own.
func apart(ctx context.Context, first, second client, id string, users bool) error {
	list, err := do(ctx, second, "list_videos", map[string]any{}, "")
	if err != nil {
		return err
	}
	line, _ := json.Marshal(list)
	if err := must(strings.Contains(string(line), id) == !users, "list_videos: %s", line); err != nil {
		return err
	}
	if users {
		for _, name := range []string{"get_status", "wait_for_video", "download_video"} {
			res, err := second.call(ctx, name, map[string]any{"request_id": id}, "")
			if err = errors.Join(err, must(strings.HasPrefix(res.text, "not_found: "), "%s: %v", name, res)); err != nil {
				return err
			}
		}
		if _, text, err := second.read(ctx, "pixazo://videos/"+id); err == nil {
			return fmt.Errorf("another's resource: %s", text)
		}
	}
	before := len(first.heard().updated)
	made := [2]map[string]any{}
	failed := [2]error{}
	var both sync.WaitGroup
	var end func() error
	for i, c := range []client{first, second} {
		if made[i], err = do(ctx, c, "generate_video", map[string]any{"prompt": fmt.Sprintf("A presenter explains ebb and flow, part %d.", i)}, ""); err != nil {
			return err
		}
	}
	uri := fmt.Sprintf("pixazo://videos/%v", made[1]["request_id"])
	if end, err = second.follow(ctx, uri); err != nil {
		return err
	}
	for i, c := range []client{first, second} { // with the same progress token
		both.Go(func() {
			done, err := do(ctx, c, "wait_for_video", map[string]any{"request_id": made[i]["request_id"], "timeout_seconds": 30}, "both")
			failed[i] = errors.Join(err, must(done["status"] == "COMPLETED" && done["request_id"] == made[i]["request_id"], "got %v", done),
				must(c.heard().until(ctx, func() bool { return c.heard().progress["both"] > 0 }), "no progress"))
		})
	}
	both.Wait()
	h := second.heard()
	return errors.Join(failed[0], failed[1], must(h.until(ctx, func() bool { return len(h.updated) > 0 }), "no news"),
		must(!slices.ContainsFunc(h.updated, func(u string) bool { return u != uri }) && len(first.heard().updated) == before, "heard of %q and %q", first.heard().updated[before:], h.updated), end())
}
