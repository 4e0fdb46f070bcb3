// These tests install the built program as a user does, and start it as a
// client does: from the entry alone.

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pixazo-mcp/e2e/disktest"
)

// homes are the variables of a home directory, all that a client may leave.
func homes(home string) []string { return []string{"HOME=" + home, "USERPROFILE=" + home} }

func TestInstalledEntryStartsInABareEnvironment(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	// A program in a folder with a space, run from another folder.
	program := filepath.Join(home, "My Programs", filepath.Base(path))
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, program); err != nil {
		t.Skip(err) // on another disk
	}
	install := exec.Command(program, "install", "cursor", "--sandbox", "--output-dir", "videos")
	install.Dir, install.Env = home, homes(home)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	content, err := os.ReadFile(filepath.Join(home, ".cursor", "mcp.json"))
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		MCPServers map[string]struct {
			Command string
			Args    []string
		}
	}
	if err := json.Unmarshal(content, &config); err != nil {
		t.Fatalf("%v in %s", err, content)
	}
	entry, ok := config.MCPServers["pixazo-sandbox"]
	if !ok || !filepath.IsAbs(entry.Command) {
		t.Fatalf("got %s", content)
	}

	client := exec.Command(entry.Command, entry.Args...)
	client.Dir, client.Env = filepath.VolumeName(home)+string(filepath.Separator), homes(home)
	client.Stdin = strings.NewReader(initializeLine + `{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n" +
		`{"jsonrpc":"2.0","id":2,"method":"tools/list"}` + "\n")
	answers, err := client.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"serverInfo"`, `"generate_video"`} {
		if !strings.Contains(string(answers), want) {
			t.Errorf("no %s in %s", want, answers)
		}
	}

	doctor := exec.Command(entry.Command, "doctor", "--sandbox")
	doctor.Dir, doctor.Env = client.Dir, homes(home)
	report, err := doctor.CombinedOutput()
	if err != nil || !strings.Contains(string(report), "pixazo-sandbox starts ") {
		t.Errorf("%v\n%s", err, report)
	}
}

// Linux tells a program what the link it was called by leads to.
func TestInstalledEntryIsTheLinkThatWasCalled(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	link := filepath.Join(home, filepath.Base(path))
	disktest.Link(t, path, link)
	install := exec.Command(link, "install", "cursor", "--sandbox", "--print")
	install.Dir, install.Env = home, homes(home)
	quoted, _ := json.Marshal(link)
	if out, err := install.CombinedOutput(); err != nil || !strings.Contains(string(out), string(quoted)) {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSetupRefusesPathsThatOnlyAShellExpands(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"$HOME/Videos", `%USERPROFILE%\Videos`, "/x/${HOME}", `"/my videos"`} {
		for _, args := range [][]string{{"install", "cursor", "--sandbox"}, {"doctor", "--sandbox"}} {
			home := t.TempDir()
			command := exec.Command(path, append(args, "--output-dir="+value)...)
			command.Env = homes(home)
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--output-dir") {
				t.Errorf("%q with %s: %v\n%s", args, value, err, out)
			}
			if entries, _ := os.ReadDir(home); len(entries) > 0 {
				t.Errorf("%q with %s wrote %s", args, value, entries[0].Name())
			}
		}
	}
}

func TestDoctorReportsAnInvalidSettingAsJSON(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	doctor := exec.Command(path, "doctor", "--json", "--max-wait=forever")
	doctor.Env = homes(t.TempDir())
	out, err := doctor.Output()
	var report struct{ OK bool }
	if err == nil || json.Unmarshal(out, &report) != nil || report.OK || !strings.Contains(string(out), "--max-wait") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestDoctorEndsWithStatus1WhenACheckFails(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	doctor := exec.Command(path, "doctor", "--json", "--gateway-url", "http://127.0.0.1:1")
	doctor.Env = homes(home)
	out, err := doctor.Output()
	var report struct{ OK bool }
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 || json.Unmarshal(out, &report) != nil || report.OK {
		t.Errorf("%v: %s", err, out)
	}
}

func TestDoctorReportsADamagedJournalAndLeavesIt(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	journal := filepath.Join(state, "journal.db")
	content := strings.Repeat("not a database ", 100)
	if err := os.WriteFile(journal, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	doctor := exec.Command(path, "doctor", "--sandbox", "--state-dir", state)
	doctor.Env = homes(t.TempDir())
	out, err := doctor.Output()
	if err == nil || !strings.Contains(string(out), "FAIL  journal ") || !strings.Contains(string(out), journal) {
		t.Errorf("%v: %s", err, out)
	}
	if after, err := os.ReadFile(journal); err != nil || string(after) != content {
		t.Errorf("the journal was changed: %v", err)
	}
}

func TestVersionCanBeSetByTheLinker(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	t.Parallel()
	path, err := updated()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil || string(out) != "pixazo-mcp 99.0.0 (0123456789abcdef)\n" {
		t.Errorf("%v: %q", err, out)
	}
}
