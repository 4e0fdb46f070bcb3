// These tests hold the line reader to one message a line, whatever comes.

package stdio

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll reads every line, a line that is too long as "<long>".
func readAll(r io.Reader, max int) ([]string, error) {
	lines := &lineReader{bufio.NewReaderSize(r, 16<<10), max}
	var got []string
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, errLineTooLong):
			got = append(got, "<long>")
		case err != nil:
			return got, err
		default:
			got = append(got, string(line))
		}
	}
}

func TestLines(t *testing.T) {
	big := strings.Repeat("x", 300<<10) // several buffers long
	tests := []struct {
		name, input string
		max         int
		want        []string
	}{
		{"nothing", "", 10, nil},
		{"lines", "a\nb\n", 10, []string{"a", "b"}},
		{"last line without an end", "a\nb", 10, []string{"a", "b"}},
		{"Windows line ends", "a\r\nb\r\n", 10, []string{"a", "b"}},
		{"byte order marks", "\uFEFFa\n\uFEFF\n \uFEFF \uFEFFb\uFEFF\r\n\uFEFFc", 100, []string{"a", "b", "c"}},
		{"blank lines", "\n \n\t\r\na\n\n", 10, []string{"a"}},
		{"longer than the buffer", big + "\nb\n", 1 << 20, []string{big, "b"}},
		{"as long as allowed", "1234\n5\n", 5, []string{"1234", "5"}},
		{"too long", "123456\n5\n", 5, []string{"<long>", "5"}},
		{"too long at the end", "a\n123456", 5, []string{"a", "<long>"}},
		{"too long over several buffers", big + "\nb\n", 100 << 10, []string{"<long>", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(tt.input), iotest.OneByteReader(strings.NewReader(tt.input))} {
				got, err := readAll(r, tt.max)
				if !errors.Is(err, io.EOF) || !slices.Equal(got, tt.want) {
					t.Errorf("got %.80q, %v, want %.80q", got, err, tt.want)
				}
			}
		})
	}
}

func FuzzLines(f *testing.F) {
	for _, seed := range []string{"", "a\nb", "a\r\n\r\nb\n", "\n\n\n", "123456789\n1\n", "\x00\xff\n{}\n", " \t{\"a\":1} \n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		const max = 8
		got, err := readAll(bytes.NewReader(input), max)
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		// The standard library's splitting says what the lines are.
		var want []string
		for line := range bytes.SplitAfterSeq(input, []byte("\n")) {
			if len(line) > max {
				want = append(want, "<long>")
			} else if line = bytes.TrimFunc(line, isBlank); len(line) > 0 {
				want = append(want, string(line))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", input, got, want)
		}
	})
}
