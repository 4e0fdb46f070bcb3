// These tests hold the entry of a team server.

package setup

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const teamURL = "https://mcp.example.com/mcp"

func TestInstallURL(t *testing.T) {
	for name, want := range map[string]string{
		"claude-code": "{\n  \"mcpServers\": {\n    \"pixazo\": {\n      \"type\": \"http\",\n      \"url\": \"" + teamURL + "\"\n    }\n  }\n}\n",
		"vscode":      "{\n  \"servers\": {\n    \"pixazo\": {\n      \"type\": \"http\",\n      \"url\": \"" + teamURL + "\"\n    }\n  }\n}\n",
		"cursor":      "{\n  \"mcpServers\": {\n    \"pixazo\": {\n      \"url\": \"" + teamURL + "\"\n    }\n  }\n}\n",
	} {
		b := newBench(t, "linux")
		b.mustRun("install", name, "--url", teamURL, "--print")
		if !strings.Contains(b.out.String(), want) {
			t.Errorf("%s: %s", name, b.out.String())
		}
		c := b.o.find(name)
		b.mustRun("install", name, "--url", teamURL)
		if got := b.read(c.file); got != want || !strings.Contains(b.out.String(), c.title+" asks you to sign in") {
			t.Errorf("%s: %s\n%s", name, got, b.out.String())
		}
		b.mustRun("install", name, "--url", teamURL)
		if !strings.Contains(b.out.String(), "up to date") {
			t.Errorf("%s: %s", name, b.out.String())
		}

		// An entry without a type is taken for a program by these clients; one of type sse makes
		// them speak an older protocol.
		const local = "http://127.0.0.1:1/mcp"
		for _, kind := range []string{"", `"type": "sse", `} {
			b.write(c.file, `{"`+c.servers+`": {"pixazo": {`+kind+`"url": "`+local+`"}}}`, 0o600)
			_, checks := b.report(nil, "--sandbox")
			if said := strings.Contains(checks["client."+name].Detail, "lacks the type http"); said != (c.kind != "") {
				t.Errorf("%s: %+v", name, checks["client."+name])
			}
			b.mustRun("install", name, "--url", local)
			if got := b.read(c.file); c.kind != "" && !strings.Contains(got, `"type": "http"`) {
				t.Errorf("%s: %s", name, got)
			}
		}

		// The headers stay when the address changes.
		b.write(c.file, strings.Replace(want, `"url": "`+teamURL+`"`, `"headers": {"Authorization": "Bearer x"}, "url": "https://old.example/mcp"`, 1), 0o600)
		b.mustRun("install", name, "--url", teamURL)
		if got := b.read(c.file); !strings.Contains(got, `"headers": {"Authorization": "Bearer x"}, "url": "`+teamURL+`"`) {
			t.Errorf("%s: %s", name, got)
		}
		if err := b.run("install", name); err == nil || !strings.Contains(err.Error(), "uninstall "+name) {
			t.Errorf("%s: a program in its place: %v", name, err)
		}
		b.mustRun("uninstall", name)
		if got := b.read(c.file); strings.Contains(got, "pixazo") {
			t.Errorf("%s: %s", name, got)
		}
	}
	b := newBench(t, "linux")
	for name, want := range map[string]string{"claude-desktop": "Claude Desktop itself, as a custom connector: ", "codex": "Codex itself, as a remote server: "} {
		b.mustRun("install", name, "--url", teamURL)
		if !strings.Contains(b.out.String(), "Add it in "+want+teamURL) || len(b.files(b.home)) > 1 {
			t.Errorf("%s: %s, %q", name, b.out.String(), b.files(b.home))
		}
	}
}

func TestInstallURLRefuses(t *testing.T) {
	b := newBench(t, "linux")
	for _, args := range [][]string{{"--sandbox"}, {"--max-wait=20s"}} {
		if err := b.run(append([]string{"install", "cursor", "--url", teamURL}, args...)...); err == nil || !strings.Contains(err.Error(), "has settings of its own") {
			t.Errorf("%q: %v", args, err)
		}
	}
	b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"pixazo": {"command": "/x/pixazo-mcp"}}}`, 0o600)
	if err := b.run("install", "cursor", "--url", teamURL); err == nil || !strings.Contains(err.Error(), "uninstall cursor") {
		t.Error(err)
	}
}

func TestDoctorLooksAtTeamServers(t *testing.T) {
	status, asked := http.StatusUnauthorized, ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.URL.Path + r.Header.Get("Authorization")
		w.WriteHeader(status)
	}))
	defer srv.Close()
	b := newBench(t, "linux")
	check := func(url string) Check {
		b.write(b.path(".cursor/mcp.json"), `{"mcpServers": {"pixazo": {"url": "`+url+`", "headers": {"Authorization": "Bearer x"}}, "other": {"url": "http://127.0.0.1:1"}}}`, 0o600)
		_, checks := b.report(nil, "--sandbox")
		return checks["client.cursor"]
	}
	for _, status = range []int{401, 405, 400, 200} {
		if got := check(srv.URL + "/mcp"); got.Status != statusOK || !strings.Contains(got.Detail, "calls "+srv.URL+"/mcp, which answered") || asked != "GET /mcp" {
			t.Errorf("%d: %+v, %s", status, got, asked)
		}
	}
	for _, status = range []int{404, 502, 301} {
		if got := check(srv.URL + "/mcp"); got.Status != statusFail || got.Fix == "" {
			t.Errorf("%d: %+v", status, got)
		}
	}
	for url, want := range map[string]string{"http://127.0.0.1:1/mcp": "can't be reached", "http://mcp.example.com/mcp": "no https address"} {
		if got := check(url); got.Status != statusFail || !strings.Contains(got.Detail, want) {
			t.Errorf("%s: %+v", url, got)
		}
	}
}
