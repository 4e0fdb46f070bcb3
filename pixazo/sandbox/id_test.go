// These tests hold that an id carries its job unharmed and that no other string
// passes for one.

package sandbox

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// oldJob has ended long ago; its id is the same on every run.
var oldJob = job{created: time.UnixMilli(1_767_225_600_123).UTC(), duration: 8 * time.Second, serial: 4711}

func TestIDCarriesTheJob(t *testing.T) {
	for _, j := range []job{
		oldJob,
		{created: time.UnixMilli(0).UTC()},
		{created: time.UnixMilli(1<<48 - 1).UTC(), duration: (1<<22 - 1) * time.Millisecond, scriptNumber: len(Scripts), portrait: true, serial: 1<<13 - 1},
		{created: oldJob.created, duration: maxDuration, scriptNumber: 1},
		{created: oldJob.created, duration: time.Millisecond, portrait: true},
	} {
		if got, ok := parseID(j.id()); !ok || got != j {
			t.Errorf("%s reads as %+v, %v, want %+v", j.id(), got, ok, j)
		}
	}
}

func TestIDStartsWithTheTime(t *testing.T) {
	// 2026-01-01T00:00:00.123Z; the documents' samples start with 019d as well.
	if got := oldJob.id(); !strings.HasPrefix(got, "heygen-video-agent_019b76da-a87b-7") {
		t.Errorf("id %s", got)
	}
}

func TestInventedOrAlteredIDsAnswer404(t *testing.T) {
	s := New(Options{})
	good := oldJob.id()
	if code := call(s, "GET", statusPath+good, "").Code; code != 200 {
		t.Fatalf("the id itself answers %d", code)
	}
	bad := []string{
		"x", "heygen-video-agent_", "heygen-video-agent_019dxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
		"heygen-video-agent_019d4b5e-1c2d-7abc-8def-0123456789ab", // an UUIDv7 from elsewhere
		"heygen-video-agent_00000000-0000-0000-0000-000000000000",
		strings.TrimPrefix(good, idPrefix), strings.ToUpper(good), idPrefix + strings.ToUpper(good[len(idPrefix):]), idPrefix + good,
		strings.ReplaceAll(good, "-", ""), idPrefix + strings.ReplaceAll(good[len(idPrefix):], "-", ""), good + "-", good[:len(good)-1], good + "0",
	}
	bad = append(bad, job{created: oldJob.created, scriptNumber: 63}.id()) // a script that this table lacks
	for i := len(idPrefix); i < len(good); i++ {
		for _, c := range "0123456789abcdef-" {
			if altered := good[:i] + string(c) + good[i+1:]; altered != good {
				bad = append(bad, altered)
			}
		}
	}
	for _, id := range bad {
		for _, target := range []string{statusPath + id, mediaPath + id + mediaFile} {
			if response := call(s, "GET", target, ""); response.Code != 404 {
				t.Errorf("GET %s: %d", target, response.Code)
			}
		}
	}
}

func FuzzStatusAnswers404ForForeignIDs(f *testing.F) {
	s := New(Options{})
	portrait := job{created: oldJob.created, portrait: true, duration: time.Second}
	good := []string{oldJob.id(), portrait.id()}
	for _, id := range good {
		f.Add(id)
		f.Add(id[:len(id)-1] + "g")
		f.Add(strings.ToUpper(id))
	}
	for _, id := range []string{"", ".", "..", "/", "%2f", idPrefix, "heygen-video-agent_019d4b5e-1c2d-7abc-8def-0123456789ab", "\x00", "ä"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL = &url.URL{Path: statusPath + id}
		r.Header.Set("Ocp-Apim-Subscription-Key", testKey)
		response := httptest.NewRecorder()
		s.ServeHTTP(response, r)
		// A path with dots or slashes is redirected to one without.
		known := id == good[0] || id == good[1]
		if known != (response.Code == 200) || !known && response.Code != 404 && response.Code/100 != 3 {
			t.Errorf("%q answers %d", id, response.Code)
		}
	})
}
