// This test holds a session to a model: what is answered how often, whatever
// comes, and in whichever order.

package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/mark3labs/mcp-go/server"
)

// answers says how many answers an id may get.
type answers struct{ least, most int }

// model makes messages, and knows what is to be answered.
type model struct {
	*rand.Rand
	ids  []string
	want map[string]answers // by id, "null" for none
}

func (m *model) pick(of ...string) string { return of[m.IntN(len(of))] }

func (m *model) expect(id string) {
	a := m.want[id]
	m.want[id] = answers{a.least + 1, a.most + 1}
}

// message returns the next message.
func (m *model) message() string {
	switch m.IntN(8) {
	case 0:
		m.expect("null")
		return m.pick(`{`, `[]`, `null`, `{}`, `"\ud800"`, `{"jsonrpc":"2.0","id":null,"method":"ping"}`, `{"jsonrpc":"2.0","id":{},"method":"ping"}`, `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`)
	case 1:
		return m.pick(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"work"}}`, `{"jsonrpc":"2.0","method":"notifications/x","params":[]}`, `{"jsonrpc":"1.0","method":"notifications/x"}`,
			`{"jsonrpc":"2.0","id":0,"result":{}}`, `{"jsonrpc":"2.0","id":"0","error":null}`, cancelLine("{}"), cancelLine(`"unknown"`))
	case 2:
		if len(m.ids) > 0 {
			id := m.ids[len(m.ids)-1-m.IntN(min(3, len(m.ids)))]
			m.want[id] = answers{0, m.want[id].most}
			return cancelLine(id)
		}
	}
	id := fmt.Sprintf(m.pick("%d", "-%d", "%d.0", `"%d"`, `"\u00e9 %d"`, "9007199254740993%d"), len(m.ids)+1)
	if len(m.ids) > 0 && m.IntN(10) == 0 {
		id = m.pick(m.ids...) // answered, cancelled or in flight
	}
	m.ids = append(m.ids, id)
	m.expect(id)
	version := m.pick(`"2.0"`, `"2.0"`, `"2.0"`, `2`)
	method := m.pick("tools/call", "tools/call", "tools/list", "ping", "initialize", "resources/subscribe", "resources/unsubscribe",
		"subscriptions/listen", "server/discover", "notifications/initialized", "tasks/get", "x")
	params := m.pick(`{"name":"work"}`, `{"name":"work",`+modernMeta+`}`, `{"notifications":{"toolsListChanged":true},`+modernMeta+`}`,
		`{"uri":"x://a"}`, `{"_meta":{"progressToken":[]},"name":5}`, `[]`, `null`)
	rest := m.pick(``, ``, ``, `,"result":{}`, `,"result":null,"error":null`, `,"error":{"code":1}`, `,"more":[1e999]`)
	return fmt.Sprintf(`{"jsonrpc":%s,"id":%s,"method":%q,"params":%s%s}`, version, id, method, params, rest)
}

func TestEachRequestIsAnsweredOnce(t *testing.T) {
	for seed := range uint64(100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			subscribe := func(context.Context, string, func()) (func(), error) { return func() {}, nil }
			c := start(t, map[string]server.ToolHandlerFunc{"work": answer("done")}, Options{Subscribe: subscribe})
			m := &model{rand.New(rand.NewPCG(seed, 0)), nil, map[string]answers{}}
			var lines []string
			for range 60 {
				c.send(m.message())
				for range m.IntN(3) {
					select {
					case line := <-c.out:
						lines = append(lines, line)
					default:
						runtime.Gosched()
					}
				}
			}
			got := map[string]int{}
			for _, line := range append(lines, c.end()...) {
				var answer message
				if err := json.Unmarshal([]byte(line), &answer); err != nil {
					t.Fatalf("%v: %s", err, line)
				}
				if answer.Method == "" {
					got[string(answer.ID)]++
				}
			}
			for id, want := range m.want {
				if got[id] < want.least || got[id] > want.most {
					t.Errorf("%d answers to %s, want %+v", got[id], id, want)
				}
				delete(got, id)
			}
			if len(got) > 0 {
				t.Errorf("answers to what was not asked: %v", got)
			}
		})
	}
}
