package main

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

func TestSchemasAreThoseOfTheStructs(t *testing.T) {
	want, err := schemas()
	if err != nil {
		t.Fatal(err)
	}
	if there, err := os.ReadDir("../schemas"); err != nil || len(there) != len(want) {
		t.Errorf("%d files in schemas, %v; want %d", len(there), err, len(want))
	}
	for name, schema := range want {
		got, err := os.ReadFile("../schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		// A checkout may have given the file the line ends of its system.
		if !bytes.Equal(bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")), schema) {
			t.Errorf("%s differs from the structs; go generate ./tools writes it anew", name)
		}
	}
}

func TestTheProgramDoesNotReflectSchemas(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", "../..").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, deps)
	}
	if bytes.Contains(deps, []byte("github.com/invopop/jsonschema\n")) {
		t.Error("the program imports invopop/jsonschema, which only this generator should")
	}
}
