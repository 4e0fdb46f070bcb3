// These tests fetch the videos as a browser and a downloader do, and play the
// scripts that make trouble with them.

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a job that ended long ago, with the script of that name.
func scripted(t *testing.T, name string) job {
	t.Helper()
	word, err := findScript("sandbox:" + name)
	if err != nil {
		t.Fatal(err)
	}
	j := oldJob
	j.scriptNumber = word
	return j
}

// mediaURLs returns the media_urls that a status request is told.
func mediaURLs(t *testing.T, s *Sandbox, id string) []string {
	t.Helper()
	var answer struct {
		Output struct {
			MediaURL []string `json:"media_url"`
		}
	}
	if err := json.Unmarshal(call(s, "GET", statusPath+id, "").Body.Bytes(), &answer); err != nil || len(answer.Output.MediaURL) == 0 {
		t.Fatalf("%+v, %v", answer, err)
	}
	return answer.Output.MediaURL
}

// fetch gets url over a connection. err is that of reading the body.
func fetch(t *testing.T, method, url string, headers ...string) (response *http.Response, body []byte, err error) {
	t.Helper()
	r, _ := http.NewRequest(method, url, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err = http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err = io.ReadAll(response.Body)
	return response, body, err
}

func TestVideoIsOpenToPagesOfOtherOrigins(t *testing.T) {
	s := New(Options{})
	video := mediaPath + oldJob.id() + mediaFile
	for name, c := range map[string]struct {
		method, target, header string
		code                   int
	}{
		"whole":    {"GET", video, "", 200},
		"part":     {"GET", video, "bytes=0-1023", 206},
		"past end": {"GET", video, "bytes=9999999-", 416},
		"head":     {"HEAD", video, "", 200},
		"unknown":  {"GET", mediaPath + "x" + mediaFile, "", 404},
		"script":   {"GET", mediaPath + scripted(t, "media-gone").id() + mediaFile, "", 404},
	} {
		response := call(s, c.method, c.target, "", "Range", c.header, "Origin", "null")
		origin, policy := response.Header().Get("Access-Control-Allow-Origin"), response.Header().Get("Cross-Origin-Resource-Policy")
		if response.Code != c.code || origin != "*" || policy != "cross-origin" {
			t.Errorf("%s: %d, Access-Control-Allow-Origin %q, Cross-Origin-Resource-Policy %q", name, response.Code, origin, policy)
		}
	}
}

func TestScriptMediaExpiredRefusesALinkTwoSecondsAfterItsStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, other := New(Options{Duration: time.Minute}), New(Options{})
		id := submitPrompt(t, s, "sandbox:media-expired")
		pass(time.Minute)
		code := func(link string) int {
			here, there := call(s, "GET", link, ""), call(other, "GET", link, "")
			if here.Code != there.Code {
				t.Errorf("%s: answers %d, from another process %d", link, here.Code, there.Code)
			}
			if here.Code == 403 && (here.Header().Get("Content-Type") != "application/xml" || !strings.Contains(here.Body.String(), "<Code>AccessDenied</Code>")) {
				t.Errorf("403 with %v %s", here.Header(), here.Body)
			}
			return here.Code
		}
		for range 2 { // the second status names a fresh link
			link := mediaURLs(t, s, id)[0]
			start := time.Now()
			for _, step := range []struct {
				at   time.Duration
				want int
			}{{0, 200}, {1999 * time.Millisecond, 200}, {2 * time.Second, 403}, {time.Hour, 403}} {
				pass(step.at - time.Since(start))
				if got := code(link); got != step.want {
					t.Errorf("%v after the status: %d, want %d", step.at, got, step.want)
				}
			}
		}
		for _, query := range []string{"", "?expires=", "?expires=soon", "?expires=-1"} {
			if got := code(mediaPath + id + mediaFile + query); got != 403 {
				t.Errorf("the link with %q answers %d", query, got)
			}
		}
	})
}

func TestScriptsThatKeepTheVideoBack(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	for _, c := range []struct {
		name              string
		code              int
		contentType, part string
	}{
		{"media-gone", 404, "application/xml", "<Code>NoSuchKey</Code>"},
		{"media-html", 200, "text/html; charset=utf-8", "<html>"},
		{"media-empty", 200, "video/mp4", ""},
	} {
		for method, headers := range map[string][]string{"GET": nil, "HEAD": nil, "GET ": {"Range", "bytes=100-"}} {
			response, body, err := fetch(t, strings.TrimSpace(method), server.URL+mediaPath+scripted(t, c.name).id()+mediaFile, headers...)
			if err != nil || response.StatusCode != c.code || response.Header.Get("Content-Type") != c.contentType {
				t.Errorf("%s, %s: %d %v, %v", c.name, method, response.StatusCode, response.Header, err)
			}
			if method != "HEAD" && (!strings.Contains(string(body), c.part) || c.part == "" && len(body) > 0) {
				t.Errorf("%s, %s: %q", c.name, method, body)
			}
		}
	}
}

func TestScriptMediaDropIsDoneAtTheThirdTry(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	url := server.URL + mediaPath + scripted(t, "media-drop").id() + mediaFile
	var video []byte
	var etag string
	for try := 1; try <= 3; try++ {
		headers := []string{"Range", fmt.Sprintf("bytes=%d-", len(video)), "If-Range", etag}
		code := 206
		if try == 1 {
			headers, code = nil, 200
		}
		response, part, err := fetch(t, "GET", url, headers...)
		if response.StatusCode != code || response.Header.Get("Content-Type") != "video/mp4" || response.Header.Get("Accept-Ranges") != "bytes" {
			t.Fatalf("try %d: %d %v", try, response.StatusCode, response.Header)
		}
		if want := len(landscapeVideo) - len(video); response.ContentLength != int64(want) {
			t.Errorf("try %d: Content-Length %d, want %d", try, response.ContentLength, want)
		}
		if try < 3 && !errors.Is(err, io.ErrUnexpectedEOF) || try == 3 && err != nil {
			t.Errorf("try %d: %v", try, err)
		}
		if len(part) > len(landscapeVideo)/3+1 {
			t.Errorf("try %d: %d of %d bytes", try, len(part), len(landscapeVideo))
		}
		etag = response.Header.Get("ETag")
		video = append(video, part...)
	}
	if !bytes.Equal(video, landscapeVideo) {
		t.Errorf("%d bytes put together, want the %d of the video", len(video), len(landscapeVideo))
	}
	if head, _, err := fetch(t, "HEAD", url); err != nil || head.ContentLength != int64(len(landscapeVideo)) {
		t.Errorf("HEAD: %d, %v", head.ContentLength, err)
	}
}

func TestScriptMediaDropNorangeNeverGetsPastTheMiddle(t *testing.T) {
	server := httptest.NewServer(New(Options{}))
	defer server.Close()
	url := server.URL + mediaPath + scripted(t, "media-drop-norange").id() + mediaFile
	for _, from := range []string{"", "bytes=100-", "bytes=29673-", "bytes=0-9"} {
		response, body, err := fetch(t, "GET", url, "Range", from)
		if response.StatusCode != 200 || response.ContentLength != int64(len(landscapeVideo)) || response.Header.Get("Accept-Ranges") != "none" {
			t.Errorf("%q: %d %v", from, response.StatusCode, response.Header)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(body, landscapeVideo[:len(landscapeVideo)/2]) {
			t.Errorf("%q: %d bytes, %v", from, len(body), err)
		}
	}
	if head, _, err := fetch(t, "HEAD", url); err != nil || head.ContentLength != int64(len(landscapeVideo)) {
		t.Errorf("HEAD: %d, %v", head.ContentLength, err)
	}
}

func TestScriptMediaSlowTakesFiveSecondsForTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		slow, wide := scripted(t, "media-slow"), landscapeVideo
		slow.created = time.Now().Add(-time.Hour) // the bubble's clock is years behind
		url := mediaPath + slow.id() + mediaFile
		for _, c := range []struct {
			name, part string
			want       []byte
			takes      time.Duration
		}{
			{"whole", "", wide, 5 * time.Second},
			{"second half", fmt.Sprintf("bytes=%d-", len(wide)/2), wide[len(wide)/2:], 2500 * time.Millisecond},
			{"a thousand bytes", "bytes=0-999", wide[:1000], 5 * time.Second * 1000 / time.Duration(len(wide))},
		} {
			start := time.Now()
			response := call(s, "GET", url, "", "Range", c.part)
			if !bytes.Equal(response.Body.Bytes(), c.want) {
				t.Errorf("%s: %d with %d bytes, want %d", c.name, response.Code, response.Body.Len(), len(c.want))
			}
			if d := time.Since(start); (d - c.takes).Abs() > time.Millisecond {
				t.Errorf("%s: took %v, want %v", c.name, d, c.takes)
			}
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if response := callWith(ctx, s, "GET", url, ""); response != nil {
			t.Errorf("it went on although the client left: %d", response.Code)
		}
		s.Close()
		if response := call(s, "GET", url, ""); response != nil {
			t.Errorf("it went on after Close: %d", response.Code)
		}
	})
}

func TestScriptTwoVideosHandsOutBothOrientations(t *testing.T) {
	s := New(Options{})
	wide, tall := scripted(t, "two-videos"), scripted(t, "two-videos")
	tall.portrait = true
	for _, c := range []struct {
		job  job
		want [][]byte
	}{
		{wide, [][]byte{landscapeVideo, portraitVideo}},
		{tall, [][]byte{portraitVideo, landscapeVideo}},
	} {
		base := "http://example.com" + mediaPath + c.job.id()
		urls := mediaURLs(t, s, c.job.id())
		if !slices.Equal(urls, []string{base + "/output.mp4", base + "/output-2.mp4"}) {
			t.Fatalf("media_url %q", urls)
		}
		for i, url := range urls {
			if response := call(s, "GET", url, ""); response.Code != 200 || !bytes.Equal(response.Body.Bytes(), c.want[i]) {
				t.Errorf("portrait %v, video %d: %d with %d bytes", c.job.portrait, i+1, response.Code, response.Body.Len())
			}
		}
	}
}
