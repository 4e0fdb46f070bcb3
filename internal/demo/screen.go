// This file is the output: lines and, on a terminal, one of progress below them.

package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// screen prints lines. Its methods may be called by several goroutines.
type screen struct {
	out      io.Writer
	terminal bool

	mu     sync.Mutex
	status string // of the newest progress
	width  int    // of the progress line on the terminal, 0 when there is none
	ended  bool
}

// line prints a line in the place of the progress. A write error has nobody to
// be told to.
func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

// progress shows a message that begins with a status and a comma: on a terminal
// in the place of the one before, else as a line whenever the status is a new
// one.
func (s *screen) progress(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.status
	s.status, _, _ = strings.Cut(message, ",")
	switch {
	case s.ended: // the client's goroutine may outlive the demo
	case s.terminal:
		s.erase()
		_, _ = io.WriteString(s.out, "  "+message)
		s.width = 2 + utf8.RuneCountInString(message)
	case s.status != before:
		_, _ = io.WriteString(s.out, "  "+message+"\n")
	}
}

// erase overwrites the progress line with spaces: older Windows consoles print
// escapes as they stand. The caller holds mu.
func (s *screen) erase() {
	if s.width > 0 {
		_, _ = io.WriteString(s.out, "\r"+strings.Repeat(" ", s.width)+"\r")
		s.width = 0
	}
}

// end takes the progress away and drops what comes afterwards.
func (s *screen) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.ended = true
}
