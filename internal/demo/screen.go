// This file is the output: lines and, on a terminal, one progress bar below
// them.

package demo

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// screen prints lines. Its methods may be called by several goroutines.
//
// The bar is drawn ten times a second and under the same lock as the lines, so
// that neither breaks into the other. It is erased with spaces: older Windows
// consoles print escapes as they stand.
type screen struct {
	out      io.Writer
	terminal bool

	mu     sync.Mutex
	status string // what the bar says, or the last status that was printed
	begin  time.Time
	width  int           // of the bar on the terminal, 0 when it is erased
	stop   chan struct{} // ends the bar; nil while none is shown
	ended  bool
}

// line prints a line above the bar. A write error has nobody to be told to.
func (s *screen) line(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.println(fmt.Sprintf(format, args...))
}

func (s *screen) println(text string) {
	if s.ended {
		return
	}
	s.erase()
	_, _ = io.WriteString(s.out, text+"\n")
}

// progress shows where a job stands: status in the bar, or without a terminal
// message as a line whenever the status is a new one.
func (s *screen) progress(status, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := status != s.status
	s.status = status
	if !s.terminal && changed {
		s.println("  " + message)
	}
}

// spin shows a spinner and the time that has passed, for nobody knows how long
// a video takes. Without a terminal there is none.
func (s *screen) spin(status string) {
	s.hide()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
	if !s.terminal {
		return
	}
	s.begin = time.Now()
	s.draw()
	stop := make(chan struct{})
	s.stop = stop
	go func() {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				s.mu.Lock()
				if s.stop == stop {
					s.draw()
				}
				s.mu.Unlock()
			case <-stop:
				return
			}
		}
	}()
}

// draw draws the bar. The caller holds mu.
func (s *screen) draw() {
	s.erase()
	drawn := spinner(s.status, time.Since(s.begin))
	s.width = utf8.RuneCountInString(drawn)
	_, _ = io.WriteString(s.out, drawn)
}

// erase empties the bar's line. The caller holds mu.
func (s *screen) erase() {
	if s.width > 0 {
		_, _ = io.WriteString(s.out, "\r"+strings.Repeat(" ", s.width)+"\r")
		s.width = 0
	}
}

// hide takes the bar away.
func (s *screen) hide() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.erase()
		close(s.stop)
		s.stop = nil
	}
}

// end takes the bar away and drops whatever comes afterwards.
func (s *screen) end() {
	s.hide()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// spinner is the bar as one line.
func spinner(status string, passed time.Duration) string {
	const frames = `|/-\`
	return fmt.Sprintf("%c %s  [%v]", frames[passed.Milliseconds()/100%int64(len(frames))], status, passed.Truncate(time.Second))
}
