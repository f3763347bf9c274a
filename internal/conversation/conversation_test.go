package conversation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// asRead compares what entries say, and not where they came from.
var asRead = cmpopts.IgnoreFields(Entry{}, "Place", "CallID", "Images", "Sum")

func TestARequestIsReadWhateverItsForm(t *testing.T) {
	for name, test := range map[string]struct {
		body    string
		want    []Entry
		earlier int
	}{
		"a text": {
			body: `{"model":"m","instructions":"Be brief.","input":"hello"}`,
			want: []Entry{{Kind: Instructions, Text: "Be brief."}, {Kind: User, Text: "hello"}},
		},
		"nothing": {body: "", want: nil},
		"frames of a WebSocket": {
			body: `{"type":"response.create","generate":false,"input":[]}` + "\n" + `{"type":"response.create","input":[{"type":"custom_tool_call_output","call_id":"1","output":[{"type":"input_text","text":"{\"output\":\"ok\\n\"}"}]}]}` + "\n" + `{"type":"response.poke"}` + "\n",
			want: []Entry{{Kind: Output, Name: "custom_tool", Text: "ok"}, {Kind: Note, Text: "[response.poke, 24 B]"}},
		},
		"chat/completions": {
			body: `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"what is this?"},{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,AAAAAAA="}}]},
				{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"look","arguments":"{\"deep\":true}"}}]},{"role":"tool","tool_call_id":"1","content":"a cat"}]}`,
			want: []Entry{
				{Kind: Instructions, Name: "system", Text: "Be brief."},
				{Kind: User, Text: "what is this?\n[image, 5 B, image/jpeg]"},
				{Kind: Call, Name: "look", Text: "deep: true"},
				{Kind: Output, Name: "look", Text: "a cat"},
			},
			earlier: 3,
		},
		"types that are not known": {
			body: `{"input":[{"type":"additional_tools","tools":[{"type":"namespace","name":"files"},{"type":"web_search"}]},{"type":"dream","of":"sheep"},{"no":"type"},7,
				{"type":"message","role":"narrator","content":"Once"},{"type":"message","role":"user","content":[{"type":"smell","of":"rain"}]},{"type":"teleport_call","to":"Mars"}]}`,
			want: []Entry{
				{Kind: Note, Text: "[additional_tools, 59 B: files, web_search]"},
				{Kind: Note, Text: "[dream, 29 B]"},
				{Kind: Note, Text: "[item without a type, 13 B]"},
				{Kind: Note, Text: "[item without a type, 1 B]"},
				{Kind: Note, Name: "narrator", Text: "Once"},
				{Kind: User, Text: "[smell, 28 B]"},
				{Kind: Call, Name: "teleport", Text: "type: teleport_call\nto: Mars"},
			},
			earlier: 7,
		},
		"another JSON": {
			body: `{"name":"x"}`,
			want: []Entry{{Kind: Note, Text: "[request, 12 B]\nname: x"}},
		},
		"no JSON": {
			body: "--boundary\r\nfile",
			want: []Entry{{Kind: Note, Text: "[not readable as JSON, 16 B]\n--boundary\r\nfile"}},
		},
		"bytes that are no text": {
			body: "\x28\xb5\x2f\xfd",
			want: []Entry{{Kind: Note, Text: "[binary, 4 B]"}},
		},
		"JSON that broke off": {
			body: "{\"input\":\n[{\"role\":\"us",
			want: []Entry{{Kind: Note, Text: "[not readable as JSON, 22 B]\n{\"input\":\n[{\"role\":\"us"}},
		},
		"nested too deep": {
			body: strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
			want: []Entry{{Kind: Note, Text: "[not readable as JSON, 40 KB]\n" + strings.Repeat("[", 2000)}},
		},
	} {
		got := ReadRequest([]byte(test.body))
		if diff := cmp.Diff(Request{Entries: test.want, Earlier: test.earlier}, got, asRead); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAToolCallIsShownAsWhatItDoes(t *testing.T) {
	for call, want := range map[string]Entry{
		`{"type":"function_call","name":"shell","arguments":"{\"command\":[\"bash\",\"-lc\",\"ls | wc -l\"],\"timeout_ms\":1000}"}`: {Name: "shell", Text: "$ ls | wc -l\ntimeout_ms: 1000"},
		`{"type":"function_call","name":"exec_command","arguments":"{\"cmd\":\"ls\\npwd\"}"}`:                                       {Name: "exec_command", Text: "$ ls\n  pwd"},
		`{"type":"local_shell_call","action":{"type":"exec","command":["git","commit","-m","it's done"]}}`:                          {Name: "local_shell", Text: `$ git commit -m 'it'\''s done'`},
		`{"type":"custom_tool_call","name":"apply_patch","input":"*** Begin Patch\n"}`:                                              {Name: "apply_patch", Text: "*** Begin Patch\n"},
		`{"type":"function_call","name":"plan","arguments":"{\"steps\":[{\"a\":1,\"b\":\"x\\ny\"},\"two\"],\"none\":[]}"}`:          {Name: "plan", Text: "steps:\n  - a: 1\n    b:\n      x\n      y\n  - two\nnone: []"},
		`{"type":"function_call","namespace":"mail","name":"send","arguments":"{broken"}`:                                           {Name: "mail.send", Text: "{broken"},
		`{"type":"web_search_call","status":"completed","action":{"type":"search","query":"go"}}`:                                   {Name: "web_search", Text: "type: search\nquery: go"},
	} {
		want.Kind = Call
		got := ReadRequest([]byte(`{"input":[` + call + `]}`)).Entries
		if diff := cmp.Diff([]Entry{want}, got, asRead); diff != "" {
			t.Errorf("%s (-want +got):\n%s", call, diff)
		}
	}
}

func TestDataThatNobodyReadsIsNamed(t *testing.T) {
	for part, want := range map[string]string{
		`{"type":"input_image","image_url":"data:image/png;base64,` + strings.Repeat("A", 164_000) + `"}`: "[image, 123 KB, image/png]",
		`{"type":"input_image","image_url":"https://example.com/cat.png"}`:                                "[image, https://example.com/cat.png]",
		`{"type":"input_image","file_id":"file-1"}`:                                                       "[image, file-1]",
		`{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,AAAA"}`:         "[file, a.pdf, 3 B, application/pdf]",
		`{"type":"input_audio","input_audio":{"data":"` + strings.Repeat("A", 4000) + `"}}`:               "[audio, 3 KB]",
	} {
		got := ReadRequest([]byte(`{"input":[{"role":"user","content":[` + part + `]}]}`)).Entries
		if diff := cmp.Diff([]Entry{{Kind: User, Text: want}}, got, asRead); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want, diff)
		}
	}
	drawn := ReadRequest([]byte(`{"input":[{"type":"image_generation_call","id":"1","result":"` + strings.Repeat("A", 4000) + `"}]}`)).Entries
	if !strings.Contains(drawn[0].Text, "result: [4 KB without a space]") {
		t.Errorf("a drawn image is %q", drawn[0].Text)
	}
}

func TestAnAnswerIsReadWhateverItsForm(t *testing.T) {
	const added = `{"type":"response.output_item.added","output_index":0,"item":{"type":"message","role":"assistant"}}`
	for name, test := range map[string]struct {
		body string
		want []Entry
	}{
		"JSON": {
			body: `{"object":"response","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]}],"error":null}`,
			want: []Entry{{Kind: Assistant, Text: "hi"}},
		},
		"chat JSON": {
			body: `{"choices":[{"message":{"role":"assistant","content":"hi"}}]}`,
			want: []Entry{{Kind: Assistant, Text: "hi"}},
		},
		"chat events": {
			body: "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"h\"}}]}\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"i\"}}]}\n\n" +
				"data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"look\",\"arguments\":\"{\\\"a\\\"\"}}]}}]}\n\n" +
				"data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\":1}\"}}]}}]}\n\ndata: [DONE]\n\n",
			want: []Entry{{Kind: Assistant, Text: "hi"}, {Kind: Call, Name: "look", Text: "a: 1"}},
		},
		"an error": {
			body: `{"error":{"message":"no such model","type":"invalid_request_error","code":"model_not_found"}}`,
			want: []Entry{{Kind: Failure, Name: "model_not_found", Text: "no such model"}},
		},
		"text": {
			body: "The budget is spent.\n",
			want: []Entry{{Kind: Note, Name: "text", Text: "The budget is spent."}},
		},
		"another JSON": {
			body: `{"data":[{"id":"gpt-5"}]}`,
			want: []Entry{{Kind: Note, Name: "JSON", Text: "data:\n  - id: gpt-5"}},
		},
		"bytes that are no text": {
			body: "\x89PNG\r\n\x1a\n",
			want: []Entry{{Kind: Note, Text: "[binary, 7 B]"}},
		},
		"a failed event": {
			body: `data: {"type":"response.failed","response":{"error":{"code":"insufficient_quota","message":"spent"}}}`,
			want: []Entry{{Kind: Failure, Name: "insufficient_quota", Text: "spent"}},
		},
		"an error frame": {
			body: `{"type":"error","status":429,"error":{"type":"usage_limit_reached","message":"spent"}}`,
			want: []Entry{{Kind: Failure, Name: "usage_limit_reached", Text: "spent"}},
		},
		"an error event whose members stand in it": {
			body: "event: error\ndata: {\"type\":\"error\",\"code\":\"boom\",\"message\":\"sorry\"}\n\n",
			want: []Entry{{Kind: Failure, Name: "boom", Text: "sorry"}},
		},
		"an incomplete one": {
			body: added + "\n" + `{"type":"response.output_text.delta","output_index":0,"delta":"so far"}` + "\n" + `{"type":"response.incomplete","response":{"incomplete_details":{"reason":"max_output_tokens"}}}`,
			want: []Entry{{Kind: Assistant, Text: "so far"}, {Kind: Failure, Text: "the answer is incomplete: max_output_tokens"}},
		},
		"items at the end alone": {
			body: `data: {"type":"response.completed","response":{"output":[{"role":"assistant","content":"hi"}]}}`,
			want: []Entry{{Kind: Assistant, Text: "hi"}},
		},
		"cut within an event": {
			body: "data: " + added + "\n\ndata: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"so far\"}\n\ndata: {\"type\":\"resp",
			want: []Entry{{Kind: Assistant, Text: "so far", Cut: true}, {Kind: Note, Cut: true, Text: "cut off here: the stream ended before the answer was complete (in the middle of an event, after 13 B of it)"}},
		},
		"cut within a call": {
			body: `{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","name":"shell"}}` + "\n" + `{"type":"response.function_call_arguments.delta","output_index":0,"delta":"{\"cmd\":\"rm"}`,
			want: []Entry{{Kind: Call, Name: "shell", Text: `{"cmd":"rm`, Cut: true}, {Kind: Note, Cut: true, Text: "cut off here: the stream ended before the answer was complete"}},
		},
		"an item of a type that is not known": {
			body: `{"type":"response.output_item.done","output_index":0,"item":{"type":"dream","of":"sheep"}}` + "\n" + `{"type":"response.completed","response":{}}`,
			want: []Entry{{Kind: Note, Text: "[dream, 29 B]"}},
		},
	} {
		if diff := cmp.Diff(test.want, ReadResponse([]byte(test.body)), asRead); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestShowKnowsWhatCodexPrints holds the table that was measured with the real
// Codex.
func TestShowKnowsWhatCodexPrints(t *testing.T) {
	failed := func(code string) string {
		return `data: {"type":"response.failed","response":{"error":{"code":"` + code + `","message":"MESSAGE"}}}` + "\n\n"
	}
	const plainError = `{"error":{"message":"MESSAGE"}}`
	for _, test := range []struct {
		status int
		body   string
		want   string
	}{
		{400, "Take it out.\n", "Take it out."},
		{400, plainError, plainError},
		{401, plainError, "unexpected status 401 Unauthorized: MESSAGE"},
		{500, plainError, "We're currently experiencing high demand, which may cause temporary errors."},
		{502, "no way", "unexpected status 502 Bad Gateway: no way"},
		{503, plainError, "unexpected status 503 Service Unavailable: MESSAGE"},
		{503, `{"error":{"code":"slow_down","message":"MESSAGE"}}`, "rate limit exceeded: MESSAGE"},
		{503, `{"error":{"code":"server_is_overloaded"}}`, "Selected model is at capacity. Please try a different model."},
		{429, plainError, "exceeded retry limit, last status: 429 Too Many Requests"},
		{429, `{"error":{"type":"usage_limit_reached"}}`, "You've hit your usage limit. Ask Carol., or try again at …"},
		{200, failed("invalid_prompt"), "MESSAGE"},
		{200, failed("insufficient_quota"), "Quota exceeded. Check your plan and billing details."},
		{200, failed("surprise"), "stream disconnected before completion: MESSAGE"},
		{101, `{"type":"error","error":{"message":"MESSAGE"}}`, "stream disconnected before completion: MESSAGE"},
		{200, "data: {}\n\n", ""},
	} {
		shown, isError := Show(test.status, "Ask Carol.", []byte(test.body), false)
		if shown.Text != test.want || isError != (test.want != "") {
			t.Errorf("%d %s is shown as %q, want %q", test.status, test.body, shown.Text, test.want)
		}
	}
	if shown, _ := Show(200, "", []byte("data: {}\n\n"), true); !shown.Says("Stream disconnected\n  before completion") {
		t.Errorf("a broken stream is shown as %q", shown.Text)
	}
}

func FuzzAnyBytesCanBeRead(f *testing.F) {
	f.Add([]byte(`{"input":[{"type":"function_call","arguments":"{\"command\":[\"a\"]}"},{"type":"x_output","output":[{"text":"{}"}]}]}`))
	f.Add([]byte("data: {\"type\":\"response.output_item.done\",\"item\":{\"type\":\"message\"}}\n\n"))
	f.Add([]byte("{\"choices\":[{\"delta\":{\"tool_calls\":[{}]}}]}\n{\"type\":\"error\"}"))
	f.Fuzz(func(_ *testing.T, body []byte) {
		ReadRequest(body)
		ReadResponse(body)
		Show(200, "", body, true)
	})
}
