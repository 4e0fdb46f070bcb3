// This file delivers webhooks. By the documents, terminal mode posts once, when
// the job has ended; sync mode posts at every poll cycle as well; a delivery may
// be repeated, so a receiver goes by the request_id; and persistent failures may
// stop further deliveries.

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
	maxDeliveries = 5                      // of one callback
	maxFailures   = 3                      // callbacks to one URL, one after the other, that were not delivered
	firstBackoff  = 500 * time.Millisecond // doubled after each failed delivery
)

// webhook is where the callbacks of a job go; a nil url means nowhere.
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

// loopback reports whether host is this computer, to which tests take callbacks
// without TLS.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// follow delivers the job's callbacks until it has ended. They go out one after
// the other, so that none overtakes the last.
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
			if j.script().twice {
				s.deliver(hook.url, status)
			}
		}
		if now.Sub(j.created) >= j.duration {
			return
		}
	}
}

// deliver posts one callback until it is answered with 2xx. A URL to which several
// in a row could not be delivered gets no more.
func (s *Sandbox) deliver(to *url.URL, status statusBody) {
	s.mu.Lock()
	stopped := s.failures[to.String()] >= maxFailures
	s.mu.Unlock()
	if stopped {
		return
	}
	delivered := false
	for try := 0; try < maxDeliveries && !delivered; try++ {
		if try > 0 && !s.sleep(s.ctx, firstBackoff<<(try-1)) {
			break
		}
		err := s.post(to, encode(status))
		if delivered = err == nil; !delivered {
			// The host only: the rest of the URL may hold a secret.
			s.log.Warn("webhook not delivered", "request_id", status.RequestID, "host", to.Host, "delivery", try+1, "reason", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if delivered {
		delete(s.failures, to.String())
	} else if s.failures[to.String()]++; s.failures[to.String()] == maxFailures {
		s.log.Warn("webhook stopped: too many failures", "request_id", status.RequestID, "host", to.Host)
	}
}

func (s *Sandbox) post(to *url.URL, body []byte) error {
	request, err := http.NewRequestWithContext(s.ctx, http.MethodPost, to.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		var wrapped *url.Error // its text repeats the whole URL
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 64<<10) // lets the connection be used again
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", response.StatusCode)
	}
	return nil
}

// sleep reports false if it was cut short, by ctx or by Close.
func (s *Sandbox) sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return ctx.Err() == nil && s.ctx.Err() == nil
}
