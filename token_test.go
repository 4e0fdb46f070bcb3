// This test holds what the command token prints, and where.

package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestTokenIsShownApartFromItsLine(t *testing.T) {
	var stdout, stderr strings.Builder
	if err := run(t.Context(), []string{"token", "alice"}, nil, nil, strings.NewReader(""), &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^alice sha256:[0-9a-f]{64}\n$`).MatchString(stdout.String()) {
		t.Errorf("stdout: %s", stdout.String())
	}
	if !regexp.MustCompile(`(?m)^  pxm_[A-Za-z0-9_-]{43}$`).MatchString(stderr.String()) || !strings.Contains(stderr.String(), "only this once") {
		t.Errorf("stderr: %s", stderr.String())
	}
}
