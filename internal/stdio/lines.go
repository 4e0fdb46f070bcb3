// This file reads one message a line, however long the line is.

package stdio

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// maxLine is the longest message that is taken, in bytes: room for 50 MB of
// attachments as base64 and as much again. A longer line is skipped.
const maxLine = 128 << 20

var errLineTooLong = errors.New("line too long")

// lineReader splits a stream into lines.
type lineReader struct {
	buf *bufio.Reader
	max int
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{bufio.NewReaderSize(r, 64<<10), max}
}

// next returns the next line that is not blank, without its end ("\n" or
// "\r\n") and surrounding white space. The last line needs no end. A line over
// max bytes is read to its end and answered with errLineTooLong; reading can
// go on after it.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.read()
		if errors.Is(err, errLineTooLong) {
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

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
