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
	bar    *bar   // nil while none is shown
	status string // what the bar says, or the last status that was printed
	width  int    // of the bar on the terminal, 0 when it is erased
	stop   chan struct{}
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
// a video takes.
func (s *screen) spin(status string) {
	s.show(&bar{begin: time.Now()}, status)
}

// measure shows a bar for size bytes, or a counter if size is -1. The writer it
// returns moves the bar.
func (s *screen) measure(size int64) io.Writer {
	s.show(&bar{begin: time.Now(), counts: true, size: size}, "Downloading")
	return meter{s}
}

type meter struct{ s *screen }

func (m meter) Write(p []byte) (int, error) {
	m.s.mu.Lock()
	defer m.s.mu.Unlock()
	if m.s.bar != nil {
		m.s.bar.done += int64(len(p))
	}
	return len(p), nil
}

// show puts a bar in the place of the one before. Without a terminal there is
// none.
func (s *screen) show(b *bar, status string) {
	s.hide()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
	if !s.terminal {
		return
	}
	s.bar = b
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
	drawn := s.bar.render(s.status, time.Now())
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
	if s.bar != nil {
		s.erase()
		close(s.stop)
		s.bar, s.stop = nil, nil
	}
}

// end takes the bar away and drops whatever comes afterwards.
func (s *screen) end() {
	s.hide()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// bar is a spinner with the time that has passed, or a counter of bytes.
type bar struct {
	begin  time.Time
	counts bool
	done   int64
	size   int64 // of the whole, 0 or less when it is not known
}

// render is the bar as one line.
func (b *bar) render(status string, now time.Time) string {
	const frames = `|/-\`
	passed := now.Sub(b.begin)
	switch {
	case !b.counts:
		return fmt.Sprintf("%c %s  [%v]", frames[passed.Milliseconds()/100%int64(len(frames))], status, passed.Truncate(time.Second))
	case b.size <= 0:
		return fmt.Sprintf("%s  %.1f MB", status, float64(b.done)/1e6)
	}
	const width = 24
	full := int(min(b.done, b.size) * width / b.size)
	return fmt.Sprintf("%s  [%s%s] %.1f of %.1f MB", status, strings.Repeat("=", full), strings.Repeat(" ", width-full), float64(b.done)/1e6, float64(b.size)/1e6)
}
