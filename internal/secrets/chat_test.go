package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func chat(messages ...string) string {
	return `{"model":"gpt-5","messages":[{"role":"system","content":"Help."},` + strings.Join(messages, ",") + `],"stream":true}`
}

func TestAChatsMessagesAreItems(t *testing.T) {
	old := `{"role":"tool","tool_call_id":"call_1","content":` + quote("DB="+testURL) + `}`
	called := `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"shell","arguments":` + quote(`{"a":"`+testPassword+`"}`) + `}}]}`
	fresh := `{"role":"user","content":[{"type":"text","text":` + quote("use "+testURL) + `}]}`
	v := newVault(t)
	got := mustRedact(t, v, chat(old, called, fresh))
	var paths []string
	for _, f := range got.Findings {
		paths = append(paths, fmt.Sprint(f.Path, " ", f.New))
	}
	if want := "messages[1].content false, messages[2].tool_calls[0].function.arguments false, messages[3].content[0].text true"; strings.Join(paths, ", ") != want {
		t.Errorf("findings at %q, want %q", paths, want)
	}
	if n := len(v.cache.young); n < 4 {
		t.Errorf("%d cached segments, want one a message", n)
	}
	tools := `{"messages":[],"tools":[{"type":"function","function":{"name":"f","description":` + quote(testURL) + `,"parameters":{"default":` + quote(testURL) + `}}}]}`
	if got := mustRedact(t, newVault(t), tools); len(got.Findings) != 2 || got.Findings[1].Path != "tools[0].function.parameters.default" {
		t.Errorf("findings %+v, want the tool's description and what its schema says", got.Findings)
	}
}

// chunk is an event of a streamed chat completion.
func chunk(choice int, delta, finish string) string {
	return fmt.Sprintf(`{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5","choices":[{"index":%d,"delta":%s,"logprobs":null,"finish_reason":%s}],"usage":null}`, choice, delta, finish)
}

// readChat puts the texts of a streamed chat together as a client does.
func readChat(t testing.TB, texts map[string]string, event []byte) {
	t.Helper()
	var got struct {
		Choices []struct {
			Index int
			Delta struct {
				Content, Refusal string
				ToolCalls        []struct {
					Index            int
					ID               string
					Function, Custom struct{ Name, Arguments, Input string }
				} `json:"tool_calls"`
			}
		}
	}
	if err := json.Unmarshal(event, &got); err != nil {
		t.Fatalf("the event %s is no JSON: %v", event, err)
	}
	for _, c := range got.Choices {
		texts[fmt.Sprint(c.Index)] += c.Delta.Content
		texts[fmt.Sprint(c.Index, " refusal")] += c.Delta.Refusal
		for _, call := range c.Delta.ToolCalls {
			texts[fmt.Sprint(c.Index, " call ", call.Index)] += call.Function.Arguments + call.Custom.Input
			texts[fmt.Sprint(c.Index, " name ", call.Index)] += call.ID + call.Function.Name
		}
	}
}

// TestAChatsDeltasAreRestored interleaves two choices, one with two calls at
// once, cut at random bytes, some pieces in one event.
func TestAChatsDeltasAreRestored(t *testing.T) {
	pem := "-----BEGIN PRIVATE KEY-----\n" + draw(rand.New(rand.NewPCG(1, 1)), stdSet, 64) + "\n-----END PRIVATE KEY-----"
	v, p := vaultWith(t, testURL, `{"private_key":`+quote(pem)+`}`)
	values := map[string]string{p[0]: testPassword, p[1]: pem}
	plain := map[string]string{
		"0":        "Use _" + p[0] + "_ é\n\"quoted\" and __SECRET_, __SECRE",
		"1":        "see " + p[1],
		"1 call 0": `{"command":["psql","` + p[0] + `"]}`,
		"1 call 1": `{"command":["echo","` + p[1] + `","__SEC`,
	}
	for n := range uint64(300) {
		r := rand.New(rand.NewPCG(n, 3))
		want, left := map[string]string{}, map[string]string{}
		for name, text := range plain {
			left[name] = text
			for placeholder, value := range values {
				if strings.Contains(name, "call") {
					value = strings.Trim(quote(value), `"`)
				}
				text = strings.ReplaceAll(text, placeholder, value)
			}
			want[name] = text
		}
		take := func(name string) string {
			n := min(len(left[name]), 1+r.IntN(12))
			for n > 0 && n < len(left[name]) && left[name][n]&0xC0 == 0x80 { // a character is whole
				n++
			}
			piece := left[name][:n]
			left[name] = left[name][n:]
			return quote(piece)
		}
		events := []string{chunk(1, `{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"shell","arguments":""}}]}`, "null")}
		for left["0"]+left["1"]+left["1 call 0"]+left["1 call 1"] != "" {
			switch r.IntN(4) {
			case 0:
				events = append(events, chunk(0, `{"content":`+take("0")+`}`, "null"))
			case 1:
				events = append(events, chunk(1, `{"content":`+take("1")+`,"refusal":null}`, "null"))
			case 2:
				events = append(events, chunk(1, `{"tool_calls":[{"index":0,"function":{"arguments":`+take("1 call 0")+`}}]}`, "null"))
			case 3:
				events = append(events, chunk(1, `{"content":`+take("1")+`,"tool_calls":[{"index":0,"function":{"arguments":`+take("1 call 0")+`}},{"index":1,"custom":{"input":`+take("1 call 1")+`}}]}`, "null"))
			}
		}
		events = append(events, chunk(0, `{}`, `"stop"`), chunk(1, `{"tool_calls":[{"index":1,"custom":{"input":"T_"}}]}`, `"tool_calls"`), "[DONE]")
		want["1 call 1"] += "T_"
		want["1 name 0"] = "call_1shell"
		got := map[string]string{}
		restorer := v.Restorer(RestoreAll)
		for i, e := range events {
			restorer.Event([]byte(e), func(event []byte) {
				if i < len(events)-1 {
					readChat(t, got, event)
				} else if string(event) != "[DONE]" {
					t.Fatalf("the last event became %s", event)
				}
			})
		}
		for name, text := range want {
			if got[name] != text {
				t.Fatalf("split %d: %s is %q, want %q", n, name, got[name], text)
			}
		}
	}
}

func TestAChatIsRestoredAsFarAsAsked(t *testing.T) {
	v, p := vaultWith(t, testURL)
	whole := `{"id":"chatcmpl-1","choices":[{"message":{"role":"assistant","reasoning_content":"` + p[0] + `","content":"` + p[0] + `","tool_calls":[{"id":"c","function":{"name":"f","arguments":"` + p[0] + `"}}]},"finish_reason":"stop"}]}`
	streamed := chunk(0, `{"reasoning_content":"`+p[0]+`","content":"`+p[0]+`","tool_calls":[{"index":0,"function":{"name":"f","arguments":"`+p[0]+`"}}]}`, "null")
	for reach, want := range map[Reach]int{RestoreAll: 2, RestoreText: 1, RestoreOff: 0} {
		if got := v.Restorer(reach).Body([]byte(whole)); bytes.Count(got, []byte(testPassword)) != want {
			t.Errorf("reach %d: %s, want %d restored", reach, got, want)
		}
		v.Restorer(reach).Event([]byte(streamed), func(got []byte) {
			if bytes.Count(got, []byte(testPassword)) != want {
				t.Errorf("reach %d: %s, want %d restored", reach, got, want)
			}
		})
	}
}

// TestAChatsStreamSplitAnywhere cuts server-sent events at every byte.
func TestAChatsStreamSplitAnywhere(t *testing.T) {
	v, p := vaultWith(t, testURL)
	var raw strings.Builder
	for _, delta := range []string{"hello ", p[0][:9], p[0][9:], " world __SEC"} {
		fmt.Fprintf(&raw, "data: %s\n\n", chunk(0, `{"content":`+quote(delta)+`}`, "null"))
	}
	raw.WriteString("data: [DONE]\n\n")
	for cut := range raw.Len() {
		s := NewSSE(v.Restorer(RestoreAll), 1<<20)
		got := append([]byte(nil), s.Write([]byte(raw.String()[:cut]))...)
		got = append(got, s.Write([]byte(raw.String()[cut:]))...)
		got = append(got, s.Close()...)
		texts := map[string]string{}
		for block := range strings.SplitSeq(strings.TrimSuffix(string(got), "data: [DONE]\n\n"), "\n\n") {
			if block != "" {
				readChat(t, texts, []byte(strings.TrimPrefix(block, "data: ")))
			}
		}
		if want := "hello " + testPassword + " world __SEC"; texts["0"] != want || !bytes.HasSuffix(got, []byte("data: [DONE]\n\n")) {
			t.Fatalf("cut at %d: %q in %s, want %q", cut, texts["0"], got, want)
		}
	}
}
