// These tests watch the callbacks: which are made, when, and how they repeat.

package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// receiver stands for the network and the server behind it.
type receiver func(r *http.Request, status statusBody) (int, error)

func (f receiver) RoundTrip(r *http.Request) (*http.Response, error) {
	var status statusBody
	if err := json.NewDecoder(r.Body).Decode(&status); err != nil {
		return nil, err
	}
	code, err := f(r, status)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Location": {"https://other.test/"}}, Body: io.NopCloser(strings.NewReader("thanks")), Request: r}, nil
}

func TestWebhookPostsAtTheDocumentedTimes(t *testing.T) {
	for _, c := range []struct {
		name, prompt, mode string
		duration           time.Duration
		want               []string
	}{
		{"terminal by default", "a", "", 8 * time.Second, []string{"8s COMPLETED"}},
		{"terminal", "sandbox:failed", "terminal", 8 * time.Second, []string{"8s FAILED"}},
		{"terminal of a lost answer", "sandbox:drop-after", "", 8 * time.Second, []string{"8s COMPLETED"}},
		{"terminal at once", "sandbox:finished", "", 8 * time.Second, []string{"0s COMPLETED"}},
		{"not accepted", "sandbox:500", "sync", 8 * time.Second, nil},
		{"sync", "a", "sync", 4500 * time.Millisecond, []string{"1s PROCESSING", "2s PROCESSING", "3s PROCESSING", "4s PROCESSING", "4.5s COMPLETED"}},
		{"terminal, never", "sandbox:stuck", "", 8 * time.Second, nil},
		{"sync at once", "sandbox:finished", "sync", 8 * time.Second, []string{"0s COMPLETED"}},
		{"lost", "sandbox:webhook-lost", "sync", 8 * time.Second, nil},
		{"twice", "sandbox:webhook-twice", "", 8 * time.Second, []string{"8s COMPLETED", "8s COMPLETED"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var got []string
				s := New(Options{Duration: c.duration, WebhookClient: &http.Client{Transport: receiver(func(r *http.Request, status statusBody) (int, error) {
					got = append(got, fmt.Sprintf("%v %s", time.Since(start), status.Status))
					if r.Method != "POST" || r.URL.String() != "https://hook.test/in?token=1" || r.Header.Get("Content-Type") != "application/json" {
						t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
					}
					if status.Output != nil && fmt.Sprint(status.Output.MediaURL) != "[http://example.com/media/"+status.RequestID+"/output.mp4]" {
						t.Errorf("media_url %v", status.Output.MediaURL)
					}
					return 204, nil
				})}})
				headers := []string{"X-Webhook-URL", "https://hook.test/in?token=1"}
				if c.mode != "" {
					headers = append(headers, "X-Webhook-Mode", c.mode)
				}
				call(s, "POST", submitPath, `{"prompt":"`+c.prompt+`"}`, headers...)
				pass(time.Minute)
				s.Close()
				if !slices.Equal(got, c.want) {
					t.Errorf("callbacks %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestWebhookSyncDelayGrowsUpTo15Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last, longest := time.Now(), time.Duration(0)
		s := New(Options{Duration: 10 * time.Minute, WebhookClient: &http.Client{Transport: receiver(func(*http.Request, statusBody) (int, error) {
			longest = max(longest, time.Since(last))
			last = time.Now()
			return 200, nil
		})}})
		submitPrompt(t, s, "a", "X-Webhook-URL", "https://hook.test/", "X-Webhook-Mode", "sync")
		pass(11 * time.Minute)
		s.Close()
		if longest != 15*time.Second {
			t.Errorf("the longest delay was %v", longest)
		}
	})
}

func TestWebhookRepeatsUpToFiveDeliveries(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer func(try int) (int, error)
		want   []time.Duration // since the job's end
	}{
		{"never 2xx", func(int) (int, error) { return 500, nil }, []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond, 3500 * time.Millisecond, 7500 * time.Millisecond}},
		{"network error, then good", func(try int) (int, error) {
			if try == 1 {
				return 0, errors.New("connection refused")
			}
			return 200, nil
		}, []time.Duration{0, 500 * time.Millisecond}},
		{"redirects are not followed", func(try int) (int, error) {
			if try < 3 {
				return 307, nil
			}
			return 200, nil
		}, []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := time.Now().Add(8 * time.Second)
				var log bytes.Buffer
				var got []time.Duration
				s := New(Options{
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
					WebhookClient: &http.Client{Transport: receiver(func(r *http.Request, _ statusBody) (int, error) {
						if r.URL.Host != "hook.test" {
							t.Errorf("delivered to %s", r.URL.Host)
						}
						got = append(got, time.Since(end))
						return c.answer(len(got))
					})},
				})
				submitPrompt(t, s, "a secret prompt", "X-Webhook-URL", "https://hook.test/secret")
				pass(time.Minute)
				s.Close()
				if !slices.Equal(got, c.want) {
					t.Errorf("deliveries at %v, want %v", got, c.want)
				}
				if text := log.String(); !strings.Contains(text, "webhook not delivered") || strings.Contains(text, "secret") || strings.Contains(text, testKey) {
					t.Errorf("log: %s", text)
				}
			})
		})
	}
}

func TestWebhookHeadersAreChecked(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	for _, c := range []struct{ name, value string }{
		{"X-Webhook-URL", "http://hook.test/"}, {"X-Webhook-URL", "http://127.0.0.1.hook.test/"}, {"X-Webhook-URL", "http://192.168.0.1/"}, {"X-Webhook-URL", "hook.test"}, {"X-Webhook-URL", "https://"}, {"X-Webhook-URL", "https://%zz"},
		{"X-Webhook-Mode", "always"}, {"X-Webhook-Mode", "Terminal"},
	} {
		response := call(s, "POST", submitPath, `{"prompt":"p"}`, c.name, c.value)
		if text := errorText(t, response); response.Code != 400 || !strings.Contains(text, c.name) {
			t.Errorf("%s: %s: %d %s", c.name, c.value, response.Code, text)
		}
	}
}

func TestCloseEndsWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		arrived := 0
		s := New(Options{Duration: time.Second, WebhookClient: &http.Client{Transport: receiver(func(r *http.Request, _ statusBody) (int, error) {
			arrived++
			<-r.Context().Done() // a receiver that never answers
			return 0, r.Context().Err()
		})}})
		submitPrompt(t, s, "a", "X-Webhook-URL", "https://hook.test/")
		pass(2 * time.Second)
		submitPrompt(t, s, "a", "X-Webhook-URL", "https://hook.test/")
		s.Close()
		submitPrompt(t, s, "a", "X-Webhook-URL", "https://hook.test/")
		pass(time.Minute)
		if arrived != 1 {
			t.Errorf("%d deliveries, want the one before Close", arrived)
		}
	})
}

// By the documents persistent failures may stop further deliveries. Other URLs go
// on, and a success begins anew.
func TestPersistentFailuresStopDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		failing.Store(true)
		var mu sync.Mutex
		arrived := map[string]int{}
		s := New(Options{Duration: time.Second, WebhookClient: &http.Client{Transport: receiver(func(r *http.Request, _ statusBody) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			arrived[r.URL.Path]++
			if failing.Load() && r.URL.Path == "/bad" {
				return 500, nil
			}
			return 200, nil
		})}})
		send := func(path string) {
			submitPrompt(t, s, "a", "X-Webhook-URL", "https://hook.test"+path)
			pass(time.Minute)
		}
		send("/bad")
		send("/bad")
		failing.Store(false)
		send("/bad")
		failing.Store(true)
		for range 5 {
			send("/bad")
			send("/good")
		}
		s.Close()
		if want := 2*maxDeliveries + 1 + maxFailures*maxDeliveries; arrived["/bad"] != want || arrived["/good"] != 5 {
			t.Errorf("%v deliveries, want %d to the bad one and 5", arrived, want)
		}
	})
}

func TestWebhookReachesAServer(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		for _, mode := range []string{"terminal", "sync"} {
			t.Run(name+" "+mode, func(t *testing.T) {
				t.Parallel()
				var tries atomic.Int32
				got := make(chan string, 10)
				hook := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					if tries.Add(1) == 1 {
						w.WriteHeader(http.StatusServiceUnavailable) // it comes again
						return
					}
					got <- string(body)
				}))
				defer hook.Close()
				s := New(Options{Duration: 20 * time.Millisecond, WebhookClient: hook.Client()})
				defer s.Close()
				id := submitPrompt(t, s, "a", "X-Webhook-URL", hook.URL+"/in", "X-Webhook-Mode", mode)
				body := <-got
				if want := call(s, "GET", statusPath+id, "").Body.String(); body != want {
					t.Errorf("callback %s\nstatus %s", body, want)
				}
			})
		}
	}
}
