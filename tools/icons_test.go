// This test checks that each icon is a small picture, unlike the others: every
// tools/list carries them all.

package tools

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"strings"
	"testing"
)

func TestEveryToolAndTheServerHaveASmallIcon(t *testing.T) {
	names := []string{"pixazo-mcp"}
	for _, tool := range table(Config{}) {
		names = append(names, tool.Tool.Name)
	}
	seen := map[string]string{}
	for _, name := range names {
		icon := Icon(name)
		data, ok := strings.CutPrefix(icon.Src, "data:image/png;base64,")
		raw, err := base64.StdEncoding.DecodeString(data)
		if !ok || err != nil || len(raw) > 1000 || icon.MIMEType != "image/png" {
			t.Errorf("%s: %d bytes, %v: %.40s", name, len(raw), err, icon.Src)
		}
		picture, err := png.Decode(bytes.NewReader(raw))
		if err != nil || picture.Bounds().Dx() != 32 || picture.Bounds().Dy() != 32 {
			t.Errorf("%s: %v, %v", name, picture, err)
		}
		if other, twice := seen[data]; twice {
			t.Errorf("%s looks like %s", name, other)
		}
		seen[data] = name
	}
}
