// This file makes the log.

package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"pixazo-mcp/internal/config"
)

// newLogger logs to the file of the settings or to stderr, in colour only on
// a terminal.
func newLogger(settings config.Settings, stderr io.Writer) (*slog.Logger, func(), error) {
	out, done := stderr, func() {}
	if settings.LogFile != "" {
		f, err := os.OpenFile(settings.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("open log file: %w", err)
		}
		out, done = f, func() { _ = f.Close() }
	}
	return slog.New(tint.NewTextHandler(out, &tint.Options{
		Level:      settings.LogLevel,
		TimeFormat: time.DateTime,
		NoColor:    !isTerminal(out),
	})), done, nil
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
