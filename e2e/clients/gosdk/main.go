// Drives a server over stdio through the whole job on the sandbox, with a
// client that others wrote.
//
//	clients official|mcpgo REVISION OUTPUT_DIR COMMAND [ARG...]
//
// REVISION is the protocol revision that the client asks for. Prints one line a
// check: "ok", "FAIL" or "note", the check's name and why, with tabs between.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 5 {
		fmt.Fprintln(os.Stderr, "usage: clients official|mcpgo REVISION OUTPUT_DIR COMMAND [ARG...]")
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	connect := map[string]func(ctx context.Context, revision, root string, command []string) (client, error){"official": official, "mcpgo": mcpgo}[os.Args[1]]
	r := &report{}
	var c client
	r.check("it connects", func() (err error) {
		c, err = connect(ctx, os.Args[2], os.Args[3], os.Args[4:])
		return err
	})
	if !r.failed {
		job(ctx, r, c, os.Args[2], os.Args[3])
	}
	if r.failed {
		os.Exit(1)
	}
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
