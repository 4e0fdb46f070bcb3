// This file delivers webhooks. The documents say: terminal mode posts once, when the job
// has ended; sync mode also posts at every poll cycle; a delivery may be repeated, so
// receivers use the request_id as idempotency key; persistent failures may stop further
// deliveries.

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	maxDeliveries = 5                      // tries to deliver one callback
	maxFailures   = 3                      // undelivered callbacks in a row, after which a URL gets no more
	firstBackoff  = 500 * time.Millisecond // doubled after each failed delivery
)

// webhook is where the callbacks of a job are sent; with a nil url none are.
type webhook struct {
	url  *url.URL
	sync bool
}

func parseWebhook(header http.Header) (webhook, error) {
	var hook webhook
	switch mode := header.Get("X-Webhook-Mode"); mode {
	case "", "terminal":
	case "sync":
		hook.sync = true
	default:
		return webhook{}, errors.New("X-Webhook-Mode must be terminal or sync")
	}
	if text := header.Get("X-Webhook-URL"); text != "" {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return webhook{}, errors.New("X-Webhook-URL must be an https URL")
		}
		hook.url = u
	}
	return hook, nil
}

// loopback reports whether host is this computer, which may take callbacks without TLS.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// follow delivers the job's callbacks, one after the other, until the job has ended.
func (s *Sandbox) follow(j job, origin string, hook webhook) {
	for {
		age := time.Since(j.created)
		pause := j.duration - age
		if hook.sync {
			pause = min(pause, max(time.Second, min(age/8, 15*time.Second)))
		}
		if !s.sleep(s.ctx, pause) {
			return
		}
		now := time.Now()
		status := j.status(now, origin)
		if status.ended() || hook.sync {
			s.deliver(hook.url, status)
			if j.script().webhookTwice {
				s.deliver(hook.url, status)
			}
		}
		if now.Sub(j.created) >= j.duration {
			return
		}
	}
}

// deliver posts one callback, again until it is answered with 2xx or maxDeliveries is
// reached. It does nothing for a URL that has reached maxFailures.
func (s *Sandbox) deliver(to *url.URL, status statusBody) {
	s.mu.Lock()
	stopped := s.failures[to.String()] >= maxFailures
	s.mu.Unlock()
	if stopped {
		return
	}
	var err error
	for try := range maxDeliveries {
		if try > 0 && !s.sleep(s.ctx, firstBackoff<<(try-1)) {
			return
		}
		if err = s.post(to, encode(status)); err == nil {
			break
		}
		// The host only: the rest of the URL may hold a secret.
		s.o.Logger.Warn("webhook not delivered", "request_id", status.RequestID, "host", to.Host, "delivery", try+1, "reason", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.failures, to.String())
	} else if s.failures[to.String()]++; s.failures[to.String()] == maxFailures {
		s.o.Logger.Warn("webhook stopped: too many failures", "request_id", status.RequestID, "host", to.Host)
	}
}

func (s *Sandbox) post(to *url.URL, body []byte) error {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", jsonType)
	response, err := s.client.Do(request)
	if err != nil {
		return errors.Unwrap(err) // without the URL, which may hold a secret
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // lets the connection be used again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", response.StatusCode)
	}
	return nil
}

// sleep waits for d. It reports false if ctx or Close ended it early.
func (s *Sandbox) sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return ctx.Err() == nil && s.ctx.Err() == nil
}
