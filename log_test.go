// These tests hold that a log line never holds up anything else, and what is in none.

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

// What comes behind an answer, on a connection that is kept, is logged by net/http as
// it came.
func TestNothingThatTheGatewayAddsIsLogged(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ended := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			ended <- err
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		if _, err = http.ReadRequest(in); err == nil {
			_, err = io.WriteString(conn, "HTTP/1.1 404 X\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 401 "+secret+"\r\n\r\n")
		}
		_, _ = io.Copy(io.Discard, in) // until the program has looked at it and closed the connection
		ended <- err
	}()
	p, _ := startProcess(t, []string{"PIXAZO_API_KEY=" + secret, "PIXAZO_GATEWAY_URL=http://" + listener.Addr().String()}, "--log-level=debug")
	answer := p.call("get_status", map[string]any{"request_id": "id-1"}).text()
	if !strings.HasPrefix(answer, "not_found: ") {
		t.Error(answer)
	}
	if err := errors.Join(<-ended, p.end()); err != nil {
		t.Error(err)
	}
	if log := p.stderr.String(); strings.Contains(log, secret) || !strings.Contains(log, "gateway exchange") {
		t.Errorf("the log has the key, or nothing:\n%s", log)
	}
}
