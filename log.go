// This file makes the log. A client may never read our stderr, and --log-file may name
// a FIFO or a file on a hanging disk, but a log line must not hold up an answer, the
// journal or the end of the program. So lines go into a bounded queue, from which a
// goroutine writes them.

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"pixazo-mcp/internal/config"
)

const (
	maxWaiting = 256 << 10              // bytes that a queue holds
	lastWords  = 500 * time.Millisecond // how long close waits for them to be written
)

// logQueue is a writer that never blocks. When it is full it drops what is written to
// it, and writes the number of dropped lines once there is room again.
type logQueue struct {
	terminal bool          // what is written to it is shown on a terminal
	written  chan struct{} // closed when copyTo returns

	mu      sync.Mutex
	more    sync.Cond // signalled when take can go on
	waiting []byte
	dropped int
	closed  bool
}

func newLogQueue() *logQueue {
	q := &logQueue{written: make(chan struct{})}
	q.more.L = &q.mu
	return q
}

// copyTo writes the content of the queue to out until the queue is closed and empty.
func (q *logQueue) copyTo(out io.Writer) {
	defer close(q.written)
	for batch := q.take(); batch != nil; batch = q.take() {
		_, _ = out.Write(batch) // there is nobody to tell of an error
	}
}

// take waits until there is something to write and returns it. It returns nil when the
// queue is closed and empty.
func (q *logQueue) take() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && q.dropped == 0 && !q.closed {
		q.more.Wait()
	}
	batch := q.waiting
	if q.dropped > 0 {
		batch = fmt.Appendf(batch, "%d log lines were dropped here: nobody read the log\n", q.dropped)
	}
	q.waiting, q.dropped = nil, 0
	return batch
}

// Write puts p into the queue, or drops it when the queue is full. It never fails.
func (q *logQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return len(p), nil
	}
	if q.dropped > 0 || len(q.waiting)+len(p) > maxWaiting {
		q.dropped++
	} else {
		q.waiting = append(q.waiting, p...)
	}
	q.more.Signal()
	return len(p), nil
}

// close ends the queue and waits, up to lastWords, until its content is written.
func (q *logQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.more.Signal()
	q.mu.Unlock()
	select {
	case <-q.written:
	case <-time.After(lastWords):
	}
}

// openLogFile opens the file of the settings to append the log to. Over stdio it refuses
// what the client's messages come or go through, such as /dev/stdout: a line of the log is
// no message, and whoever may write to the input keeps it from ending.
func openLogFile(settings config.Settings) (*os.File, error) {
	for _, stream := range []*os.File{os.Stdin, os.Stdout} {
		messages, err := stream.Stat()
		file, errFile := os.Stat(settings.LogFile)
		if settings.Command == config.Serve && err == nil && errFile == nil && os.SameFile(messages, file) && file.Mode()&os.ModeCharDevice == 0 {
			return nil, fmt.Errorf("open %s: the client's messages go through it", settings.LogFile)
		}
	}
	return os.OpenFile(settings.LogFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
}

// newLogger returns a logger to the file of the settings, or to stderr when there is
// none or it can't be opened, and a function that ends the log. It logs the problems of
// the settings.
func newLogger(settings config.Settings, stderr io.Writer) (log *slog.Logger, end func()) {
	log, end = logTo(stderr, settings.LogLevel), func() {}
	if settings.LogFile != "" {
		toStderr, file := log, newLogQueue()
		go func() {
			f, err := openLogFile(settings)
			if err != nil {
				toStderr.Warn("the log file can't be opened, so the log goes to stderr", "flag", "--log-file (PIXAZO_LOG_FILE)", "error", err)
				file.copyTo(stderr)
				return
			}
			defer func() { _ = f.Close() }()
			file.copyTo(f)
		}()
		log, end = logTo(file, settings.LogLevel), file.close
	}
	if warning := settings.KeyWarning(); warning != "" {
		log.Warn(warning)
	}
	for _, problem := range settings.Problems {
		log.Error("a setting can't be taken, so calls that need it are refused", "error", problem.Err)
	}
	logUnset(log, settings)
	return log, end
}

// logUnset logs the settings that count as unset because of their value.
func logUnset(log *slog.Logger, settings config.Settings) {
	if len(settings.Unset) > 0 {
		log.Warn("settings that begin with ${ count as unset: nobody filled them in", "settings", strings.Join(settings.Unset, ", "))
	}
}

// logStart writes the first line of a server over pipes, as log.Info("serving", about...)
// would. That also looks up the line of the code that calls it, which no line of the log
// shows: the tables for it would be 0.2 MB of what an idle server has in memory.
func logStart(log *slog.Logger, about ...any) {
	if log.Enabled(context.Background(), slog.LevelInfo) {
		line := slog.NewRecord(time.Now(), slog.LevelInfo, "serving", 0)
		line.Add(about...)
		_ = log.Handler().Handle(context.Background(), line)
	}
}

// logTo returns a logger that writes to out, in colour on a terminal, but not on
// Windows, whose older consoles print escape sequences as they are.
func logTo(out io.Writer, level slog.Level) *slog.Logger {
	return slog.New(tint.NewTextHandler(out, &tint.Options{
		Level:      level,
		TimeFormat: time.DateTime,
		NoColor:    !isTerminal(out) || runtime.GOOS == "windows",
	}))
}

func (q *logQueue) isTerminal() bool { return q.terminal }

// isTerminal reports whether stream is a terminal. On Unix, TERM names the kind of a
// terminal; without it, as in most servers, the system need not be asked.
func isTerminal(stream any) bool {
	if s, ok := stream.(interface{ isTerminal() bool }); ok {
		return s.isTerminal()
	}
	f, ok := stream.(*os.File)
	return ok && (os.Getenv("TERM") != "" || runtime.GOOS == "windows") && term.IsTerminal(int(f.Fd()))
}
