package openai_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/openai"
)

func TestFieldsArePickedOutOfAnObject(t *testing.T) {
	body := ` { "input" : [ {"model":"inner","x":"a \"model\": \\"} , 1e5 , null ] , "model" : "gpt-5.1" ,
		"response":{"deep":{"usage":1},"usage" : { "input_tokens" : 3 } , "id":null}, "stream":true,"n":-1.5} `
	f := openai.NewFields("model", "stream", "n", "response.usage", "response.id", "response.gone")
	for i := range body {
		f.Write([]byte(body[i : i+1]))
	}
	for path, want := range map[string]string{
		"model": `"gpt-5.1"`, "stream": "true", "n": "-1.5",
		"response.usage": `{ "input_tokens" : 3 }`, "response.id": "null", "response.gone": "",
	} {
		raw, ok := f.Raw(path)
		if string(raw) != want || ok != (want != "") {
			t.Errorf("Raw(%q) = %q, %v, want %q", path, raw, ok, want)
		}
	}
	if !f.Done() || f.Found() || f.Err() != nil {
		t.Errorf("Done() = %v, Found() = %v, Err() = %v", f.Done(), f.Found(), f.Err())
	}
}

func TestAnEscapedNameIsTheSameName(t *testing.T) {
	for _, name := range []string{`mod\u0065l`, `\u006Dodel`, `\u006d\u006f\u0064\u0065\u006c`} {
		f := openai.NewFields("model")
		fmt.Fprintf(f, `{"model":"small","%s":"large \u2014 \"x\""}`, name)
		if got := f.String("model"); got != `large — "x"` || !f.Repeated("model") {
			t.Errorf("%s: model = %q, repeated %v", name, got, f.Repeated("model"))
		}
	}
	for _, name := range []string{`Model`, `model `, `mode`, `model\u0000`, `\\u006dodel`, `mod\u0165l`, `model\n`, `\u00zzmodel`, `\u006gmodel`, ``} {
		f := openai.NewFields("model")
		fmt.Fprintf(f, `{"model":"small","%s":"large"}`, name)
		if got := f.String("model"); got != "small" || f.Repeated("model") {
			t.Errorf("%s was taken for model: %q, repeated %v", name, got, f.Repeated("model"))
		}
	}
}

func TestTheLastOfRepeatedMembersCounts(t *testing.T) {
	f := openai.NewFields("response.id", "response.model", "model")
	f.Write([]byte(`{"model":"a","response":{"id":"1","model":"m","id":"2"},"model":"b"`))
	if !f.Found() || !f.Repeated("response.id") || f.Repeated("response.model") || !f.Repeated("model") {
		t.Error("members are not told from repeated ones")
	}
	f.Write([]byte(`,"response":{"model":"n"}}`))
	if _, ok := f.Raw("response.id"); ok || f.Found() || f.String("response.model") != "n" {
		t.Errorf("what a later object replaced is still there: %q, %q", f.String("response.id"), f.String("response.model"))
	}
	if !f.Repeated("response.model") {
		t.Error("a member of a repeated member is not reported as repeated")
	}
}

func TestAValueThatIsTooLongIsNotHeld(t *testing.T) {
	long := strings.Repeat("x", 70<<10)
	f := openai.NewFields("error", "model")
	f.Write([]byte(`{"error":{"message":"` + long + `"},"model":"gpt-5.1"}`))
	if _, ok := f.Raw("error"); ok || !f.TooLong("error") || f.TooLong("model") {
		t.Errorf("ok %v, too long %v", ok, f.TooLong("error"))
	}
	if f.String("model") != "gpt-5.1" || !f.Found() {
		t.Error("the long value took the room of the next")
	}
}

func TestFieldsHoldNothingElse(t *testing.T) {
	part := bytes.Repeat([]byte(`{"model":["\"`), 100_000)
	f := openai.NewFields("model")
	f.Write([]byte(`{"input":`))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		f.Write(part) // a million objects deep, none of them closed
		f.Write([]byte(`"`))
		f.Write(bytes.Repeat([]byte(`"model":"x",`), 10_000))
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("allocated %d bytes", grown)
	}
	if f.Err() != nil || f.Done() {
		t.Errorf("Err() = %v, Done() = %v", f.Err(), f.Done())
	}
	f = openai.NewFields("model")
	f.Write([]byte(`{"a":1`))
	for range 100_000 {
		f.Write([]byte(`,"model":"abcdefghijklmnopqrstuvwxyz"`))
	}
	if !f.TooLong("model") || !f.Repeated("model") {
		t.Error("a member repeated without end is held without end")
	}
}

func TestWhatIsNoObjectIsReported(t *testing.T) {
	for _, text := range []string{
		`[]`, `"model"`, `nothing`, `{model:1}`, `{"model" 1}`, `{"model":,}`, `{"model":1,}`, `{,}`, `{"a":1}{`,
		`{"a":1 2}`, `{"a":tr"ue"}`, `{"a":/*"*/1}`, `{'a':1}`, "\x1f\x8b", `{"a":]`, `}`, `{"response":{"id":1]`,
	} {
		f := openai.NewFields("model", "response.id")
		f.Write([]byte(text))
		if f.Err() == nil {
			t.Errorf("%s: no error", text)
		}
		f.Write([]byte(`{"model":"x"}`))
		if f.String("model") != "" || f.Done() {
			t.Errorf("%s: read on after the error", text)
		}
	}
	for _, text := range []string{``, ` `, `{`, `{"a`, `{"a":1`, `{"a":"\`, `{}`, " {\"a\":{}}\r\n"} {
		f := openai.NewFields("model")
		f.Write([]byte(text))
		if f.Err() != nil {
			t.Errorf("%s: %v", text, f.Err())
		}
	}
}

func TestPathsThatCannotBePickedPanic(t *testing.T) {
	for _, paths := range [][]string{
		{"a.b.c"},
		{""},
		{"a."},
		{".a"},
		{"a", "a"},
		{"a", "a.b"},
		{"a.b", "a"},
		{"a.b", "a.b"},
		{strings.Repeat("a", 41)},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", paths)
				}
			}()
			openai.NewFields(paths...)
		}()
	}
	defer func() {
		if recover() == nil {
			t.Error("a path that was not asked for was answered")
		}
	}()
	openai.NewFields("model").Raw("modle")
}

func TestARequestIsRead(t *testing.T) {
	f := openai.NewRequestFields()
	f.Write([]byte(`{"type":"response.create","model":"gpt-5.1-codex","service_tier":"priority","input":[],"tools":[{"type":"function","model":"x"}],` +
		`"generate":false,"stream":true,"prompt_cache_key":"0199-a","previous_response_id":"resp_1"}`))
	want := openai.Request{
		Type: "response.create", Model: "gpt-5.1-codex", Tier: "priority",
		PromptCacheKey: "0199-a", PreviousResponseID: "resp_1", Stream: true, Warmup: true,
	}
	if diff := cmp.Diff(want, openai.ReadRequest(f)); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	f = openai.NewRequestFields()
	f.Write([]byte(`{"model":7,"stream":"true","generate":true}`))
	if diff := cmp.Diff(openai.Request{}, openai.ReadRequest(f)); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

// FuzzFields compares with encoding/json on every valid object, in two chunks.
func FuzzFields(f *testing.F) {
	for _, text := range []string{
		`{"model":"gpt-5.1","response":{"usage":{"a":[1,"]"]},"id":"x"}}`,
		`{"mod\u0065l":"a\\","model":null,"response":[{"id":1}],"response":{"\u0069d":"\""}}`,
		`{"a":{"model":1},"model":-1e+5,"response":{},"x":"\\\\\""}`,
		"{\"model\" :\t{ } ,\"response\":{\"id\":true , \"usage\":\"\\ud83d\\ude00\"}}\n",
	} {
		f.Add([]byte(text), 7)
	}
	f.Fuzz(func(t *testing.T, text []byte, split int) {
		if split < 0 || split > len(text) {
			split = 0
		}
		fields := openai.NewFields("model", "response.usage", "response.id")
		fields.Write(text[:split])
		fields.Write(text[split:])
		if !json.Valid(text) || bytes.TrimSpace(text)[0] != '{' {
			if bytes.HasPrefix(text, []byte("{")) || !fields.Done() {
				return // not all invalid JSON is noticed
			}
			t.Fatalf("%q was taken for an object", text)
		}
		if fields.Err() != nil || !fields.Done() {
			t.Fatalf("%q: Err() = %v, Done() = %v", text, fields.Err(), fields.Done())
		}
		var outer, inner map[string]json.RawMessage
		if err := json.Unmarshal(text, &outer); err != nil {
			t.Skip(err)
		}
		if json.Unmarshal(outer["response"], &inner) != nil {
			inner = nil
		}
		for path, want := range map[string]json.RawMessage{
			"model": outer["model"], "response.usage": inner["usage"], "response.id": inner["id"],
		} {
			raw, ok := fields.Raw(path)
			if ok != (want != nil) || !bytes.Equal(raw, want) {
				if fields.TooLong(path) {
					continue
				}
				t.Fatalf("%q: Raw(%q) = %q, %v, want %q", text, path, raw, ok, want)
			}
			var s string
			if json.Unmarshal(want, &s) == nil && fields.String(path) != s {
				t.Fatalf("%q: String(%q) = %q, want %q", text, path, fields.String(path), s)
			}
		}
	})
}

// codexBody is shaped as a turn of Codex over HTTP: mostly long strings, among
// them the output of tools with escaped quotes and line ends.
func codexBody(size int) []byte {
	var b bytes.Buffer
	prose := strings.Repeat("You are Codex, a coding agent that runs in the terminal of a developer. ", 12) + `\n`
	code := strings.Repeat(`\tif err := run(ctx, \"serve\", args...); err != nil {\n\t\treturn fmt.Errorf(\"serve: %w\", err)\n\t}\n`, 8)
	fmt.Fprintf(&b, `{"model":"gpt-5.1-codex","instructions":"%s","input":[`, strings.Repeat(prose, 20))
	for i := 0; b.Len() < size-600; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		if i%2 == 0 {
			fmt.Fprintf(&b, `{"type":"message","role":"user","content":[{"type":"input_text","text":"%s"}]}`, strings.Repeat(prose, 4))
		} else {
			fmt.Fprintf(&b, `{"type":"custom_tool_call_output","call_id":"call_%d","output":[{"type":"input_text","text":"{\"output\":\"%s\",\"metadata\":{\"exit_code\":0}}"}]}`, i, strings.Repeat(code, 5))
		}
	}
	b.WriteString(`],"tools":[],"tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"medium"},"store":false,"stream":true,` +
		`"include":["reasoning.encrypted_content"],"prompt_cache_key":"0199d5a1-7d3c-7c70-8f2e-000000000000"}`)
	return b.Bytes()
}

func BenchmarkFields200KB(b *testing.B) {
	body := codexBody(200 << 10)
	if !json.Valid(body) {
		b.Fatal("the body is no JSON")
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		f := openai.NewRequestFields()
		for rest := body; len(rest) > 0; {
			n := min(32<<10, len(rest))
			f.Write(rest[:n])
			rest = rest[n:]
		}
		if r := openai.ReadRequest(f); !f.Done() || r.PromptCacheKey == "" {
			b.Fatal("not read")
		}
	}
}
