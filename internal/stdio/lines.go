// This file reads and writes messages, one a line, of any length.

package stdio

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"
	"unicode"
)

// maxLine is the length of the longest message, in bytes: 50 MB of attachments as base64,
// and as much again. A longer line is skipped.
const maxLine = 128 << 20

var errLineTooLong = errors.New("line too long")

// lineReader splits a stream into lines.
type lineReader struct {
	buf *bufio.Reader
	max int
}

// next returns the next line that is not blank, without white space and byte order marks
// around it; shells of Windows put a byte order mark before what they pipe. It skips a
// line of more than max bytes and returns errLineTooLong for it.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.read()
		if line = bytes.TrimFunc(line, isBlank); len(line) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func isBlank(r rune) bool { return unicode.IsSpace(r) || r == '\uFEFF' }

// read returns the next line with its end.
func (l *lineReader) read() ([]byte, error) {
	var line []byte
	tooLong := false
	for {
		part, err := l.buf.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > l.max; tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case tooLong:
			return nil, errLineTooLong
		default:
			return line, err
		}
	}
}

// lineWriter writes lines.
type lineWriter struct {
	out   io.Writer
	turns atomic.Uint64 // odd while a write is under way
}

func (w *lineWriter) write(message []byte) error {
	w.turns.Add(1)
	defer w.turns.Add(1)
	_, err := w.out.Write(append(message, '\n'))
	return err
}

// watch calls stuck, and returns, when a single write has taken more than a second, since
// the client does not read. It also returns when ctx ends.
func (w *lineWriter) watch(ctx context.Context, stuck func()) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := w.turns.Load()
		if now == last && now%2 == 1 {
			stuck()
			return
		}
		last = now
	}
}
