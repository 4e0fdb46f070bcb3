// Package sandbox emulates the Pixazo gateway for the HeyGen Video Agent model: an
// http.Handler that answers as documented and serves a short sample video. It uses no
// network, except for webhooks that a request asks for.
//
// It is written from the gateway's documents and shares no code with the client, so
// that they don't share a mistake.
//
//	POST     /heygen-video-agent/v1/heygen-video-agent-request   submit
//	GET      /v2/requests/status/{request_id}                    status
//	GET HEAD /media/{request_id}/output.mp4                      the finished video, for pages of any origin
//	GET HEAD /media/{request_id}/output-2.mp4                    a second one, where a script makes two
//	GET HEAD /media/{request_id}/preview.gif, captions.srt       where a script has extras
//
// Submit and status need the header Ocp-Apim-Subscription-Key. URLs in answers have the
// origin to which the request was made.
//
// A request_id contains everything about its job, so that it can be asked for in another
// process, or after a restart, with any Options. A job is QUEUED for the first 15 % of its
// duration, then PROCESSING, then COMPLETED.
//
// The first word of the form sandbox:NAME in the prompt, in upper or lower case, chooses
// a script that makes trouble; an unknown name is refused with a list of all names.
// [Scripts] has their meaning.
//
// Webhooks are delivered by the process that took the submission, until [Sandbox.Close].
package sandbox

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	submitPath = "/heygen-video-agent/v1/heygen-video-agent-request"
	statusPath = "/v2/requests/status/"
	keyHeader  = "Ocp-Apim-Subscription-Key"
)

const maxBody = 100 << 20 // bytes; enough for attachments in base64, since the documents name no limit

// Options configure a Sandbox. The zero value is ready for use.
type Options struct {
	// Duration is how long a job takes from its submission to its end, in whole
	// milliseconds, up to one hour; more counts as one hour. 0 means 8 s.
	Duration time.Duration

	// Key is the only key that is accepted. "" accepts any key, but not a request
	// without one.
	Key string

	// WebhookClient delivers webhooks, without following redirects. nil means a client
	// with a timeout of 5 s.
	WebhookClient *http.Client

	// Accepted, if not nil, is called for each accepted submission, which the gateway
	// would bill, before that is answered. It must not change body, the body of the
	// request, and may be called concurrently.
	Accepted func(requestID string, body []byte)

	// Logger logs each accepted submission and each failed delivery of a webhook,
	// without key, prompt and attachments. nil logs nothing.
	Logger *slog.Logger
}

// Sandbox is the emulated gateway, an http.Handler. Make one with New and end
// it with Close.
//
// Scripts that drop the connection panic with [http.ErrAbortHandler]. A net/http server
// expects that; other callers of ServeHTTP must recover.
type Sandbox struct {
	o      Options
	client http.Client // delivers webhooks
	serial atomic.Uint32
	mux    http.ServeMux

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	remembered sync.Map // the prompts of scripts that play once

	mu         sync.Mutex
	failures   map[string]int // by URL: how many callbacks in a row could not be delivered
	deliveries sync.WaitGroup
}

// New returns a Sandbox.
func New(o Options) *Sandbox {
	o.Duration = max(min(cmp.Or(o.Duration, 8*time.Second), maxDuration).Truncate(time.Millisecond), time.Millisecond)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	s := &Sandbox{o: o, client: *cmp.Or(o.WebhookClient, &http.Client{Timeout: 5 * time.Second}), failures: map[string]int{}}
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	// The serial number begins at random, so that jobs of the same millisecond have
	// different ones in this process, and very likely also in several.
	s.serial.Store(rand.Uint32())
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mux.HandleFunc("POST "+submitPath, s.authorized(s.submit))
	s.mux.HandleFunc("GET "+statusPath+"{id}", s.authorized(s.status))
	s.mux.HandleFunc("GET "+mediaPath+"{id}/{file}", s.media)
	return s
}

// Close stops webhook deliveries and the answers that a script delays, and returns when
// no delivery is running any more. Submit and status still work afterwards, but no
// webhooks are delivered.
func (s *Sandbox) Close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.deliveries.Wait()
}

// ServeHTTP answers a request to the gateway.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// authorized returns a handler that passes requests with the right key on to handler.
func (s *Sandbox) authorized(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get(keyHeader)
		if key == "" || s.o.Key != "" && subtle.ConstantTimeCompare([]byte(key), []byte(s.o.Key)) != 1 {
			writeError(w, http.StatusUnauthorized, "the subscription key is missing or invalid")
			return
		}
		handler(w, r)
	}
}

// submitAnswer is the answer to a submission: the documented fields and, for a job that
// is finished at once, its output.
type submitAnswer struct {
	RequestID  string  `json:"request_id"`
	Status     string  `json:"status"`
	PollingURL string  `json:"polling_url"`
	Output     *output `json:"output,omitempty"`
}

func (s *Sandbox) submit(w http.ResponseWriter, r *http.Request) {
	if mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || mediaType != "application/json" {
		writeError(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		writeError(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody))
		return
	}
	if err != nil { // the client is gone
		writeError(w, http.StatusBadRequest, "the body ended early")
		return
	}
	var hook webhook
	var number int
	prompt, orientation, err := checkBody(body)
	if err == nil {
		hook, err = parseWebhook(r.Header)
	}
	if err == nil {
		number, err = findScript(prompt)
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	j := job{
		created:      time.UnixMilli(time.Now().UnixMilli()),
		duration:     s.o.Duration,
		scriptNumber: number,
		portrait:     orientation == "portrait" || orientation == "" && looksPortrait(prompt),
		serial:       s.serial.Add(1),
	}
	script := j.script()
	if script.done {
		j.duration = 0
	}
	if script.when == beforeAccepting {
		_, seen := s.remembered.LoadOrStore(prompt, true)
		if !script.once || !seen {
			script.answer(script, s, w, r, nil)
			return
		}
	}
	s.accept(w, r, j, hook, body)
}

// accept reports a submission, which the gateway would bill, to Options.Accepted, starts
// its callbacks and answers it.
func (s *Sandbox) accept(w http.ResponseWriter, r *http.Request, j job, hook webhook, body []byte) {
	id, script, own := j.id(), j.script(), origin(r)
	s.o.Logger.Info("submission accepted", "request_id", id, "script", script.Name)
	if s.o.Accepted != nil {
		s.o.Accepted(id, body)
	}
	if hook.url != nil && !script.noWebhook {
		s.mu.Lock()
		if s.ctx.Err() == nil {
			s.deliveries.Go(func() { s.follow(j, own, hook) })
		}
		s.mu.Unlock()
	}
	// At the start of the job: QUEUED, or COMPLETED if it takes no time.
	status := j.status(j.created, own)
	s.answer(w, r, script, script.when == afterAccepting, submitAnswer{
		RequestID:  id,
		Status:     status.Status,
		PollingURL: own + statusPath + id,
		Output:     status.Output,
	})
}

func (s *Sandbox) status(w http.ResponseWriter, r *http.Request) {
	j, ok := parseID(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound, "no such request")
		return
	}
	now := time.Now()
	script := j.script()
	s.answer(w, r, script, script.covers(now.Sub(j.created), j.duration), j.status(now, origin(r)))
}

// answer answers with value, or has script answer if plays is true.
func (s *Sandbox) answer(w http.ResponseWriter, r *http.Request, script Script, plays bool, value any) {
	if plays && script.answer != nil {
		script.answer(script, s, w, r, encode(value))
		return
	}
	writeJSON(w, http.StatusOK, encode(value))
}

// looksPortrait guesses the orientation, as the video agent does, from the prompt.
func looksPortrait(prompt string) bool {
	prompt = strings.ToLower(prompt)
	return strings.Contains(prompt, "portrait") || strings.Contains(prompt, "vertical")
}

// origin returns scheme, host and port of the address to which r was sent.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func writeError(w http.ResponseWriter, code int, why string) {
	writeJSON(w, code, encode(map[string]string{"error": why}))
}

// encode returns value as JSON. value must be of a type that can always be encoded.
func encode(value any) []byte {
	body, _ := json.Marshal(value)
	return body
}

func writeJSON(w http.ResponseWriter, code int, body []byte) { write(w, code, jsonType, body) }

func write(w http.ResponseWriter, code int, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
