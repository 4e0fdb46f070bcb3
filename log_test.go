// These tests hold that a log line never holds up anything else.

package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogQueueWritesInOrder(t *testing.T) {
	var out bytes.Buffer
	q := newLogQueue()
	go q.copyTo(&out)
	var want strings.Builder
	for i := range 1000 {
		fmt.Fprintln(io.MultiWriter(q, &want), "line", i)
	}
	q.close()
	if out.String() != want.String() {
		t.Errorf("%s", firstDifference(out.String(), want.String()))
	}
	if n, err := q.Write([]byte("late")); n != 4 || err != nil || out.String() != want.String() {
		t.Errorf("after the end: %d, %v, %q", n, err, out.String())
	}
}

func TestLogQueueDropsWhatFindsItFullAndSaysHowMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe() // blocks until somebody reads
		q := newLogQueue()
		go q.copyTo(w)
		line := strings.Repeat("x", 1023) + "\n"
		fmt.Fprint(q, line)
		synctest.Wait() // the first line is with the writer
		for range maxWaiting/len(line) + 3 {
			fmt.Fprint(q, line)
		}
		fmt.Fprint(q, "a short line behind dropped ones\n")

		began := time.Now()
		q.close()
		if took := time.Since(began); took != lastWords {
			t.Errorf("the end took %v, want %v", took, lastWords)
		}
		read := make(chan string)
		go func() {
			all, _ := io.ReadAll(r)
			read <- string(all)
		}()
		<-q.written
		_ = w.Close()
		want := strings.Repeat(line, maxWaiting/len(line)+1) + "4 log lines were dropped here: nobody read the log\n"
		if got := <-read; got != want {
			t.Errorf("got %d bytes that end in %q, want %d", len(got), got[max(0, len(got)-100):], len(want))
		}
	})
}

func TestLogQueueTellsOfALineThatCanNeverFit(t *testing.T) {
	var out bytes.Buffer
	q := newLogQueue()
	go q.copyTo(&out)
	fmt.Fprint(q, strings.Repeat("x", maxWaiting+1))
	q.close()
	if want := "1 log lines were dropped here: nobody read the log\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}
