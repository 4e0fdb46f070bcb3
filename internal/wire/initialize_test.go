// These tests introduce clients to the server, well and badly.

package wire

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// whoami answers with what is known of the client: its name, and whether it
// has roots.
func whoami(ctx context.Context, _ mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	session := server.ClientSessionFromContext(ctx).(*Session)
	return mcp.NewToolResultText(fmt.Sprintf("%s %t", session.ClientName(ctx), session.GetClientCapabilities().Roots != nil)), nil
}

func TestInitializeIsTakenWhateverTheClientSaysOfItself(t *testing.T) {
	const version, name = `"protocolVersion":"2025-11-25"`, `"clientInfo":{"name":"x","version":"1"}`
	tests := []struct{ params, want string }{
		{`{` + version + `,"capabilities":{"roots":{}},` + name + `}`, "2025-11-25 x true"},

		{`{` + version + `,"capabilities":[],` + name + `}`, "2025-11-25 x false"},
		{`{` + version + `,"capabilities":true,` + name + `}`, "2025-11-25 x false"},
		{`{` + version + `,"capabilities":"all",` + name + `}`, "2025-11-25 x false"},
		{`{` + version + `,"capabilities":null,` + name + `}`, "2025-11-25 x false"},
		{`{` + version + `,` + name + `}`, "2025-11-25 x false"},

		{`{` + version + `,"capabilities":{"roots":true},` + name + `}`, "2025-11-25 x true"},
		{`{` + version + `,"capabilities":{"roots":false},` + name + `}`, "2025-11-25 x false"},
		{`{` + version + `,"capabilities":{"roots":null},` + name + `}`, "2025-11-25 x false"},
		{`{` + version + `,"capabilities":{"roots":[]},` + name + `}`, "2025-11-25 x false"},
		{`{` + version + `,"capabilities":{"roots":"yes"},` + name + `}`, "2025-11-25 x false"},
		{`{` + version + `,"capabilities":{"roots":{"listChanged":"yes"}},` + name + `}`, "2025-11-25 x true"},
		{`{` + version + `,"capabilities":{"roots":{"listChanged":true},"sampling":true,"elicitation":[],"tasks":1,"experimental":[],"extensions":"","unknown":5},` + name + `}`, "2025-11-25 x true"},

		{`{` + version + `,"capabilities":{},"clientInfo":{"name":"x","version":1}}`, "2025-11-25 x false"},
		{`{` + version + `,"capabilities":{"roots":{}},"clientInfo":{"version":1,"icons":"none","title":{},"name":"x"}}`, "2025-11-25 x true"},
		{`{` + version + `,"capabilities":{},"clientInfo":{"name":5}}`, "2025-11-25  false"},
		{`{` + version + `,"capabilities":{},"clientInfo":{}}`, "2025-11-25  false"},
		{`{` + version + `,"capabilities":{},"clientInfo":null}`, "2025-11-25  false"},
		{`{` + version + `,"capabilities":{},"clientInfo":[]}`, "2025-11-25  false"},
		{`{` + version + `,"capabilities":{},"clientInfo":"x"}`, "2025-11-25  false"},
		{`{` + version + `,"capabilities":{}}`, "2025-11-25  false"},

		{`{"protocolVersion":"1999-01-01","capabilities":{},` + name + `}`, "2025-11-25 x false"},
		{`{"protocolVersion":5,"capabilities":{},` + name + `}`, "2025-03-26 x false"},
		{`{"protocolVersion":null,"capabilities":{},` + name + `}`, "2025-03-26 x false"},
		{`{"protocolVersion":["2025-11-25"],"capabilities":{},` + name + `}`, "2025-03-26 x false"},
		{`{"capabilities":{},` + name + `}`, "2025-03-26 x false"},
		{`{` + version + `,"capabilities":{},` + name + `,"_meta":5}`, "2025-11-25 x false"},

		{`{}`, "2025-03-26  false"},
		{`[]`, "2025-03-26  false"},
		{`null`, "2025-03-26  false"},
		{`5`, "2025-03-26  false"},
	}
	for _, tt := range tests {
		c := start(t, map[string]server.ToolHandlerFunc{"whoami": whoami}, Options{})
		c.send(`{"jsonrpc":"2.0","id":9007199254740993,"method":"initialize","params":` + tt.params + `}`)
		m := c.receive()
		c.send(callLine("1", "whoami"))
		if got := m.Result.ProtocolVersion + " " + c.receive().text(); string(m.ID) != "9007199254740993" || got != tt.want {
			t.Errorf("%s: got %q, want %q; the answer: %+v", tt.params, got, tt.want, m.Error)
		}
	}
}

func TestInitializeThatIsNoneIsRefused(t *testing.T) {
	const bad = `"capabilities":[],"clientInfo":{"name":"x","version":1}`
	for line, code := range map[string]int{
		`{"jsonrpc":"1.0","id":1,"method":"initialize","params":{` + bad + `}}`: mcp.INVALID_REQUEST,
		`{"id":1,"method":"initialize","params":{` + bad + `}}`:                 mcp.INVALID_REQUEST,
		// 2026-07-28 has no handshake, and lists don't change for who has none.
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{` + bad + `,` + modernMeta + `}}`: mcp.METHOD_NOT_FOUND,
	} {
		c := start(t, map[string]server.ToolHandlerFunc{"add": addResource}, Options{})
		c.send(line)
		if m := c.receive(); m.Error == nil || m.Error.Code != code {
			t.Errorf("%s: got %+v, want code %d", line, m, code)
		}
		c.send(modernCallLine("2", "add"))
		if m := c.receive(); string(m.ID) != "2" {
			t.Errorf("%s: got %+v before the answer", line, m)
		}
	}
}

func TestClientName(t *testing.T) {
	named := func(name string) string {
		return strings.Replace(modernCallLine("1", "whoami"), `"_meta":{`, `"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"`+name+`","version":"1"},`, 1)
	}
	c := start(t, map[string]server.ToolHandlerFunc{"whoami": whoami}, Options{})
	for _, tt := range []struct{ line, want string }{
		{callLine("1", "whoami"), " false"},
		{named("a"), "a false"},
		{modernCallLine("1", "whoami"), " false"},
		{named(`b\u001b[31m\nc`), "b[31m c false"},
		{named(strings.Repeat("d", 1000)), strings.Repeat("d", 100) + "… false"},
	} {
		c.send(tt.line)
		if got := c.receive().text(); got != tt.want {
			t.Errorf("%.100s: got %q, want %q", tt.line, got, tt.want)
		}
	}
	c.send(initializeLine)
	c.receive()
	c.send(callLine("1", "whoami"))
	if got := c.receive().text(); got != "test false" {
		t.Errorf("got %q", got)
	}
}
