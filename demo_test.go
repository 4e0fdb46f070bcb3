// This test makes videos with the demo as a person does.

package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

func TestDemoMakesAVideoInThisProcess(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	var out, errs bytes.Buffer
	// The settings that keep spending in bounds, and that of the sandbox, do not count.
	env := append(homes(home), "PIXAZO_SANDBOX=false", "PIXAZO_MAX_VIDEOS_PER_HOUR=1", "PIXAZO_MAX_VIDEOS_PER_DAY=1", "PIXAZO_READ_ONLY=true", "PIXAZO_CONFIRM_SPEND=true")
	for range 2 {
		if err := run(t.Context(), []string{"demo", "--sandbox-duration=300ms", "--output-dir=" + home}, env, nil, strings.NewReader(""), &out, &errs); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
	}
	videos, err := filepath.Glob(filepath.Join(home, "*.mp4"))
	if err != nil || len(videos) != 2 || errs.Len() > 0 {
		t.Errorf("made %q, %v, said %s", videos, err, errs.String())
	}
	for _, want := range []string{"sandbox: no key, no cost", "← QUEUED, request_id heygen-video-agent_", " s since submission", "← COMPLETED after", "Saved 0."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	err = run(t.Context(), []string{"demo", "--live"}, homes(home), nil, strings.NewReader(""), &out, &errs)
	if err == nil || err.Error() != "demo: generate_video answered with an error: missing_api_key" {
		t.Errorf("without a key: %v", err)
	}
}
