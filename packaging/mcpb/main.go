// The parts of building an MCP bundle that need a program, for build.sh:
//
//	go run ./packaging/mcpb universal OUT IN...    joins macOS programs into one
//	go run ./packaging/mcpb manifest PLATFORM VERSION < manifest.json
//	                                               the manifest of one platform's bundle
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "packaging/mcpb:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	switch {
	case len(args) > 2 && args[0] == "universal":
		return universal(args[1], args[2:])
	case len(args) == 3 && args[0] == "manifest":
		source, err := io.ReadAll(stdin)
		if err != nil {
			return err
		}
		narrowed, err := manifestFor(source, args[1], args[2])
		if err != nil {
			return err
		}
		_, err = stdout.Write(narrowed)
		return err
	}
	return errors.New("usage: universal OUT IN..., or manifest PLATFORM VERSION")
}
