package main

import (
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
)

func TestAListenerHandsOutItsQueueBeforeItCloses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the queue can't be had")
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := inner.Addr().String()
	l := &drainingListener{TCPListener: inner.(*net.TCPListener)}
	const queued = 20
	for range queued { // nobody accepts them yet
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "hello"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for n := range queued {
		conn, err := l.Accept()
		if err != nil {
			t.Fatalf("after %d of %d: %v", n, queued, err)
		}
		said := make([]byte, 5)
		if _, err := io.ReadFull(conn, said); err != nil || string(said) != "hello" {
			t.Errorf("%q, %v", said, err)
		}
		_ = conn.Close()
	}
	if conn, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, %v", conn, err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		t.Errorf("it still listens: %v", conn)
	}
}
