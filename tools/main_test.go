package tools

import (
	"flag"
	"os"
	"testing"
)

// These tests wait for videos and databases, so that more of them run at once than
// there are processors.
func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "8")
	os.Exit(m.Run())
}
