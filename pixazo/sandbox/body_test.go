// These tests hold the checks of a submission to the documented parameters.

package sandbox

import (
	"strings"
	"testing"
)

func TestDocumentedBodiesAreAccepted(t *testing.T) {
	list := func(n int) string { return `["` + strings.Repeat(`abc123","`, n-1) + `abc123"]` }
	for name, body := range map[string]string{
		"first document":        `{"prompt":"A friendly presenter.","mode":"generate","orientation":"landscape"}`,
		"second document":       `{"prompt":"Create a demo.","avatar":"auto","voice":"auto"}`,
		"every field":           `{"prompt":"p","mode":"chat","avatar_id":"a","voice_id":"v","style_id":"s","brand_kit_id":"b","orientation":"portrait","files":[],"incognito_mode":true}`,
		"unknown fields":        `{"prompt":"p","image_url":1,"duration":null,"Prompt":7,"big":1e999}`,
		"shortest prompt":       `{"prompt":"p"}`,
		"longest prompt":        `{"prompt":"` + strings.Repeat("ü", maxPrompt) + `"}`,
		"twenty files":          `{"prompt":"p","files":` + list(20) + `}`,
		"kinds of files":        `{"prompt":"p","files":["https://example.com/a.png","http://127.0.0.1:8080/b","HTTPS://EXAMPLE.COM","0f3a_asset-1","data:image/png;base64,aGk=","data:text/plain;charset=utf-8;base64,aGk="]}`,
		"objects of HeyGen":     `{"prompt":"p","files":[{"type":"url","url":"https://example.com/a"},{"type":"asset_id","asset_id":"a_1"},{"type":"base64","media_type":"image/png","data":"aGk="}]}`,
		"white space":           "\n {\"prompt\": \"p\" , \"files\" : [ \"a\" ,\t\"b\" ] , \"x\" : { } } \n",
		"escapes":               `{"\u0070rompt":"\"]}\\","files":["data:image\/png;base64,\/\/8=","data:text/plain;base64,aG\nk\u003d","https:\/\/example.com"]}`,
		"nested unknowns":       `{"x":{"prompt":1,"files":[[{"a":[]}],"]"]},"prompt":"p","y":[[],{},[","]]}`,
		"name that comes again": `{"prompt":1,"files":null,"prompt":"p","files":[]}`,
	} {
		if response := call(New(Options{}), "POST", submitPath, body); response.Code != 200 {
			t.Errorf("%s: %d %s", name, response.Code, response.Body)
		}
	}
}

func TestWrongBodiesAreRefusedWithTheReason(t *testing.T) {
	for _, c := range []struct{ body, reason string }{
		{``, "not valid JSON"},
		{`{`, "not valid JSON"},
		{`{"prompt":"p"} x`, "not valid JSON"},
		{`{"prompt":"p",}`, "not valid JSON"},
		{strings.Repeat("[", 20_000), "not valid JSON"},
		{"{\"prompt\":\"\xff\"}", "not valid UTF-8"},
		{`null`, "JSON object"},
		{`[]`, "JSON object"},
		{`"prompt"`, "JSON object"},
		{`{}`, "prompt is required"},
		{`{"Prompt":"p"}`, "prompt is required"},
		{`{"prompt":""}`, "prompt is required"},
		{`{"prompt":null}`, "prompt must be a string"},
		{`{"prompt":5}`, "prompt must be a string"},
		{`{"prompt":["p"]}`, "prompt must be a string"},
		{`{"prompt":"` + strings.Repeat("ü", maxPrompt+1) + `"}`, "1 to 10000 characters, it has 10001"},
		{`{"prompt":"p","mode":"Generate"}`, "mode must be generate or chat"},
		{`{"prompt":"p","mode":""}`, "mode must be"},
		{`{"prompt":"p","mode":null}`, "mode must be a string"},
		{`{"prompt":"p","orientation":"square"}`, "orientation must be landscape or portrait"},
		{`{"prompt":"p","orientation":true}`, "orientation must be a string"},
		{`{"prompt":"p","avatar_id":1}`, "avatar_id must be a string"},
		{`{"prompt":"p","voice_id":null}`, "voice_id must be a string"},
		{`{"prompt":"p","style_id":{}}`, "style_id must be a string"},
		{`{"prompt":"p","brand_kit_id":[]}`, "brand_kit_id must be a string"},
		{`{"prompt":"p","incognito_mode":"true"}`, "incognito_mode must be a boolean"},
		{`{"prompt":"p","incognito_mode":null}`, "incognito_mode must be a boolean"},
		{`{"prompt":"p","files":null}`, "files must be an array"},
		{`{"prompt":"p","files":"https://example.com/a.png"}`, "files must be an array"},
		{`{"prompt":"p","files":["` + strings.Repeat(`a","`, 20) + `a"]}`, "up to 20"},
		{`{"prompt":"p","files":["a",{"type":"url"}]}`, "files[1] must be an http"},
		{`{"prompt":"p","files":[{"type":"url","url":"file:///etc/passwd"}]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":[{"type":"asset_id","asset_id":"a.png"}]}`, "files[0] must have an asset_id"},
		{`{"prompt":"p","files":[{"type":"base64","media_type":"png","data":"aGk="}]}`, "must be a data URI"},
		{`{"prompt":"p","files":[{"type":"base64","media_type":"image/png","data":"aGk"}]}`, "no valid base64"},
		{`{"prompt":"p","files":[{"type":"file"}]}`, "of type url, asset_id or base64"},
		{`{"prompt":"p","files":[{"url":"https://example.com/a"}]}`, "of type url, asset_id or base64"},
		{`{"prompt":"p","files":[{"type":1}]}`, "a string, or an object"},
		{`{"prompt":"p","files":[null]}`, "files[0] must be a string"},
		{`{"prompt":"p","files":[17]}`, "files[0] must be a string"},
		{`{"prompt":"p","files":[""]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":["photo.png"]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":["/home/me/photo"]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":["ftp://example.com/a"]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":["https://"]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":["https://:443/a"]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":["file:///etc/passwd"]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":["iVBORw0KGgo="]}`, "files[0] must be an http"},
		{`{"prompt":"p","files":["data:image/png,hi"]}`, "must be a data URI of the form"},
		{`{"prompt":"p","files":["data:;base64,aGk="]}`, "must be a data URI of the form"},
		{`{"prompt":"p","files":["data:png;base64,aGk="]}`, "must be a data URI of the form"},
		{`{"prompt":"p","files":["data:image/png;base64,aGk"]}`, "no valid base64"},
		{`{"prompt":"p","files":["data:image/png;base64,a-_k"]}`, "no valid base64"},
		{`{"prompt":"p","files":["data:image/png;base64,"]}`, "no valid base64"},
		{`{"prompt":"p","files":["data:image/png;base64,aGk=aGk="]}`, "no valid base64"},
		{`{"prompt":"p","files":["data:image/png;base64,` + strings.Repeat("AAAA", 255) + `aGk=aGk="]}`, "no valid base64"}, // a block of base64.NewDecoder, and more
		{`{"prompt":"p","files":["data:image/png;base64,` + strings.Repeat("AAAA", 1024) + `*"]}`, "no valid base64"},
		{`{"prompt":"p","files":["data:image/png;base64,aGk=="]}`, "no valid base64"},
		{`{"prompt":"p","files":["data:image\/png;base64,\/\/"]}`, "no valid base64"},
		{`{"prompt":"p","prompt":null}`, "prompt must be a string"},
		{`{"prompt":"p","files":[[]]}`, "files[0] must be a string"},
		{`{"prompt":"p","files":[5` + strings.Repeat(`,"a"`, 20) + `]}`, "up to 20"},
	} {
		accepted := 0
		s := New(Options{Accepted: func(string, []byte) { accepted++ }})
		response := call(s, "POST", submitPath, c.body)
		if text := errorText(t, response); response.Code != 400 || !strings.Contains(text, c.reason) || accepted != 0 {
			t.Errorf("%.80s: %d %q, want 400 with %q", c.body, response.Code, text, c.reason)
		}
	}
}

func TestContentTypeMustBeJSON(t *testing.T) {
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", ";"} {
		response := call(New(Options{}), "POST", submitPath, `{"prompt":"p"}`, "Content-Type", contentType)
		if errorText(t, response); response.Code != 415 {
			t.Errorf("%q: %d", contentType, response.Code)
		}
	}
}
