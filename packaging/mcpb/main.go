// The parts of building an MCP bundle that need a program, for build.sh:
//
//	go run ./packaging/mcpb universal OUT IN...    joins macOS programs into one
//	go run ./packaging/mcpb manifest PLATFORM VERSION < manifest.json
//	                                               the manifest of one platform's bundle
//	go run ./packaging/mcpb dates UNIX-TIME FILE   gives every file of a bundle that date
//	go run ./packaging/mcpb icon OUT               draws icon.png
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "packaging/mcpb:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	command := ""
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	switch {
	case command == "universal" && len(args) > 1:
		return universal(args[0], args[1:])
	case command == "manifest" && len(args) == 2:
		source, err := io.ReadAll(stdin)
		if err != nil {
			return err
		}
		narrowed, err := manifestFor(source, args[0], args[1])
		if err != nil {
			return err
		}
		_, err = stdout.Write(narrowed)
		return err
	case command == "dates" && len(args) == 2:
		seconds, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return err
		}
		return setDates(args[1], time.Unix(seconds, 0).UTC())
	case command == "icon" && len(args) == 1:
		return writeIcon(args[0])
	}
	return errors.New("usage: universal OUT IN..., manifest PLATFORM VERSION, dates UNIX-TIME FILE, or icon OUT")
}
