// Joins macOS programs into a universal ("fat") one, as Apple's lipo does, for
// build.sh: a header that names each architecture's part, and the parts. All
// its numbers are big-endian (mach-o/fat.h).
//
//	go run ./packaging/mcpb OUT IN...
package main

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"fmt"
	"log"
	"os"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: go run ./packaging/mcpb OUT IN...")
	}
	if err := universal(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

// align is log2 of where a part may begin: the 16 KiB pages of arm64.
const align = 14

// universal joins the programs at in into one at out.
func universal(out string, in []string) error {
	header := binary.BigEndian.AppendUint32(nil, macho.MagicFat)
	header = binary.BigEndian.AppendUint32(header, uint32(len(in)))
	var parts bytes.Buffer
	const first = 1 << align // the header has a page of its own
	for _, path := range in {
		part, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := macho.NewFile(bytes.NewReader(part))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, field := range []uint32{uint32(f.Cpu), f.SubCpu, uint32(first + parts.Len()), uint32(len(part)), align} {
			header = binary.BigEndian.AppendUint32(header, field)
		}
		parts.Write(part)
		parts.Write(make([]byte, -parts.Len()&(1<<align-1)))
	}
	header = append(header, make([]byte, first-len(header))...)
	whole := append(header, parts.Bytes()...)
	if _, err := macho.NewFatFile(bytes.NewReader(whole)); err != nil {
		return fmt.Errorf("join %q: %w", in, err) // two of one architecture, for example
	}
	return os.WriteFile(out, whole, 0o755)
}
