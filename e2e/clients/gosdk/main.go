// Drives a server through the whole job on the sandbox, over stdio or HTTP, with
// a client that others wrote.
//
//	clients official|mcpgo REVISION OUTPUT_DIR COMMAND [ARG...]
//	clients official|mcpgo REVISION OUTPUT_DIR URL [TOKEN OTHER_TOKEN]
//
// REVISION is the protocol revision that the client asks for. Prints one line a
// check: "ok", "FAIL" or "note", the check's name and why, with tabs between.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: clients official|mcpgo REVISION OUTPUT_DIR COMMAND [ARG...] | URL [TOKEN OTHER_TOKEN]")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	open := map[string]func(context.Context, place) (client, error){"official": official, "mcpgo": mcpgo}[os.Args[1]]
	at := place{revision: os.Args[2], outputDir: os.Args[3], command: os.Args[4:]}
	var other func() (client, error) // over HTTP; of another user where there are tokens
	if strings.HasPrefix(os.Args[4], "http:") {
		second := place{revision: at.revision, url: os.Args[4]}
		at.url, at.command = second.url, nil
		if len(os.Args) == 7 {
			at.token, second.token = os.Args[5], os.Args[6]
		}
		other = func() (client, error) { return open(ctx, second) }
	}
	r := &report{}
	var c client
	r.check("it connects", func() (err error) {
		c, err = open(ctx, at)
		return err
	})
	if !r.failed {
		job(ctx, r, c, at, other)
	}
	if r.failed {
		os.Exit(1)
	}
}

// place says which server a client connects to, and how.
type place struct {
	revision, outputDir string
	command             []string // over stdio
	url, token          string   // over HTTP
}

// withToken is an HTTP client that sends the token, if any.
func (p place) withToken() *http.Client { return &http.Client{Transport: p} }

// RoundTrip implements http.RoundTripper.
func (p place) RoundTrip(req *http.Request) (*http.Response, error) {
	if p.token != "" {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	return http.DefaultTransport.RoundTrip(req)
}

type report struct{ failed bool }

func (r *report) check(name string, step func() error) {
	err := step()
	if err == nil {
		fmt.Printf("ok\t%s\n", name)
		return
	}
	r.failed = true
	fmt.Printf("FAIL\t%s\t%s\n", name, strings.Join(strings.Fields(err.Error()), " "))
}

func (r *report) note(name, why string) { fmt.Printf("note\t%s\t%s\n", name, why) }
