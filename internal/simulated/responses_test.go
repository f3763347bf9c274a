package simulated_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/gjson"

	"codex-proxy/internal/openai"
	"codex-proxy/internal/simulated"
)

const streamed = `{"model":"gpt-5.1","stream":true,"input":"hi"}`

func TestAStreamHasOpenAIsEventsInTheirOrder(t *testing.T) {
	sim, url := serve(t, simulated.Options{})
	sim.Play(simulated.Answer{
		Reasoning: "Hm.",
		Text:      "two words",
		Calls:     []simulated.Call{{Name: "look", Arguments: `{"at":"it"}`}, {Name: "patch", Input: "*** Begin"}},
	})

	answer := post(t, url+"/v1/responses", streamed)
	events := allEvents(t, answer)

	want := []string{
		"response.created",
		"response.in_progress",
		"response.output_item.added",
		"response.reasoning_summary_part.added",
		"response.reasoning_summary_text.delta",
		"response.reasoning_summary_text.done",
		"response.reasoning_summary_part.done",
		"response.output_item.done",
		"response.output_item.added",
		"response.content_part.added",
		"response.output_text.delta",
		"response.output_text.delta",
		"response.output_text.done",
		"response.content_part.done",
		"response.output_item.done",
		"response.output_item.added",
		"response.function_call_arguments.delta",
		"response.function_call_arguments.done",
		"response.output_item.done",
		"response.output_item.added",
		"response.custom_tool_call_input.delta",
		"response.custom_tool_call_input.done",
		"response.output_item.done",
		"response.completed",
	}
	if diff := cmp.Diff(want, names(events)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	for i, event := range events {
		if got := event.get("sequence_number").Int(); got != int64(i) {
			t.Errorf("event %d has sequence number %d", i, got)
		}
		if got := event.get("type").Str; got != event.name {
			t.Errorf("event %q says that it is %q", event.name, got)
		}
	}
	var types []string
	for _, item := range events[len(events)-1].get("response.output").Array() {
		types = append(types, item.Get("type").Str)
	}
	if diff := cmp.Diff([]string{"reasoning", "message", "function_call", "custom_tool_call"}, types); diff != "" {
		t.Errorf("output of the completed response (-want +got):\n%s", diff)
	}
	if got := answer.Header.Get("Openai-Model"); got != "gpt-5.1" {
		t.Errorf("openai-model is %q, want what was asked for", got)
	}
	if got := events[0].get("response.model").Str; got != "gpt-5.1-2025-11-13" {
		t.Errorf("the model is %q, want the dated one", got)
	}
	if id := answer.Header.Get("X-Request-Id"); !strings.HasPrefix(id, "req_") {
		t.Errorf("x-request-id is %q", id)
	}
}

func TestAnAnswerWithoutAStreamIsOneDocument(t *testing.T) {
	sim, url := serve(t, simulated.Options{Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	answer := simulated.Say("all <at> once")
	answer.Model, answer.ServiceTier = "gpt-5.1-codex-mini", "priority"
	answer.Usage = &openai.Usage{Input: 7, Cached: 3, Output: 5, Reasoning: 2, Total: 12}
	sim.Play(answer)

	document := whole(t, post(t, url+"/v1/responses", `{"model":"gpt-5.1-codex","input":"hi"}`))

	for path, want := range map[string]string{
		"object":                  "response",
		"created_at":              "1800000000",
		"status":                  "completed",
		"model":                   "gpt-5.1-codex-mini",
		"service_tier":            "priority",
		"output.0.content.0.text": "all <at> once",
		"usage.input_tokens":      "7",
		"usage.input_tokens_details.cached_tokens":     "3",
		"usage.output_tokens":                          "5",
		"usage.output_tokens_details.reasoning_tokens": "2",
		"usage.total_tokens":                           "12",
	} {
		if got := gjson.Get(document, path).String(); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestQueuedAnswersComeInOrderAndThenImprovisation(t *testing.T) {
	sim, url := serve(t, simulated.Options{})
	sim.Play(simulated.Say("first"), simulated.Say("second"))
	say := func(prompt string) string {
		document := whole(t, post(t, url+"/v1/responses", `{"model":"m","input":"`+prompt+`"}`))
		return gjson.Get(document, "output.#(type==message).content.0.text").Str
	}
	if got := []string{say("a"), say("a")}; got[0] != "first" || got[1] != "second" {
		t.Errorf("queued answers came as %q", got)
	}
	different := make(map[string]bool)
	for _, prompt := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		text := say(prompt)
		if text == "" || text != say(prompt) {
			t.Errorf("prompt %q is not answered the same each time: %q", prompt, text)
		}
		different[text] = true
	}
	if len(different) < 10 {
		t.Errorf("26 prompts got only %d different answers", len(different))
	}
}

func TestTheCacheGrowsWithTheConversation(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	ask := func(length int) gjson.Result {
		body := `{"model":"m","prompt_cache_key":"session","input":"` + strings.Repeat("x", length) + `"}`
		return gjson.Get(whole(t, post(t, url+"/v1/responses", body)), "usage")
	}
	first, second := ask(10_000), ask(20_000)
	if got := first.Get("input_tokens_details.cached_tokens").Int(); got != 0 {
		t.Errorf("the first call has %d cached tokens", got)
	}
	want := first.Get("input_tokens").Int() / 128 * 128
	if got := second.Get("input_tokens_details.cached_tokens").Int(); got != want {
		t.Errorf("the second call has %d cached tokens, want %d", got, want)
	}
	if in, out, total := second.Get("input_tokens").Int(), second.Get("output_tokens").Int(), second.Get("total_tokens").Int(); in+out != total || in < 5000 {
		t.Errorf("usage does not add up: %s", second.Raw)
	}
}

func TestACommandTakesTheShapeOfTheToolThatWasOffered(t *testing.T) {
	for name, test := range map[string]struct{ body, kind, tool, field, want string }{
		"functions": {
			`"tools":[{"type":"function","name":"exec_command"}],"input":"go"`,
			"function_call", "exec_command", "arguments", `{"cmd":"echo \"one\""}`,
		},
		"code": {
			`"input":[{"type":"additional_tools","tools":[{"type":"namespace","name":"functions","tools":[{"type":"custom","name":"exec"}]}]},{"type":"message","role":"user","content":"go"}]`,
			"custom_tool_call", "exec", "input", "const result = await tools.exec_command({cmd: \"echo \\\"one\\\"\"});\ntext(result.output);\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim, url := serve(t, simulated.Options{})
			sim.Play(simulated.Run(`echo "one"`))
			call := gjson.Get(whole(t, post(t, url+"/v1/responses", `{"model":"m",`+test.body+`}`)), "output.0")
			got := []string{call.Get("type").Str, call.Get("name").Str, call.Get(test.field).Str}
			if diff := cmp.Diff([]string{test.kind, test.tool, test.want}, got); diff != "" {
				t.Errorf("tool call (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPromptCanAskForATool(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	input := `{"type":"message","role":"user","content":[{"type":"input_text","text":"please simulate: tools"}]}`
	for turn := range 4 {
		output := gjson.Get(whole(t, post(t, url+"/v1/responses", `{"model":"m","input":[`+input+`]}`)), "output.0")
		want := "function_call"
		if turn == 3 {
			want = "message"
		}
		if got := output.Get("type").Str; got != want {
			t.Fatalf("turn %d is a %s, want a %s", turn, got, want)
		}
		input += "," + output.Raw + `,{"type":"function_call_output","call_id":"` + output.Get("call_id").Str + `","output":"done"}`
	}
}

func TestACompressedBodyIsUnderstoodAndKeptAsSent(t *testing.T) {
	sim, url := serve(t, simulated.Options{Keep: 1})
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := encoder.EncodeAll([]byte(`{"model":"gpt-5.1-codex","input":"hi"}`), nil)

	answer := post(t, url+"/v1/responses", string(sent), "Content-Encoding", "zstd")

	if got := gjson.Get(whole(t, answer), "model").Str; got != "gpt-5.1-codex" {
		t.Errorf("the model is %q", got)
	}
	if got := sim.Received()[0].Body; !bytes.Equal(got, sent) {
		t.Errorf("kept %d bytes, not the %d that were sent", len(got), len(sent))
	}
}

func TestBadCallsAreRefusedAsOpenAIDoes(t *testing.T) {
	_, url := serve(t, simulated.Options{Key: "sk-right"})
	const right = "Bearer sk-right"
	for name, test := range map[string]struct {
		method, path, body, authorization string
		status                            int
		code, message                     string
	}{
		"no key":         {"GET", "/v1/models", "", "", 401, "", "You didn't provide an API key"},
		"wrong key":      {"POST", "/v1/responses", streamed, "Bearer sk-0123456789abcdefgh", 401, "invalid_api_key", "Incorrect API key provided: sk-**************efgh"},
		"not JSON":       {"POST", "/v1/responses", "{", right, 400, "", "We could not parse the JSON body"},
		"no model":       {"POST", "/v1/responses", `{"input":"hi"}`, right, 400, "missing_required_parameter", "'model'"},
		"a lost answer":  {"POST", "/v1/responses", `{"model":"m","previous_response_id":"resp_1"}`, right, 400, "previous_response_not_found", "resp_1"},
		"unknown coding": {"POST", "/v1/responses", streamed, right, 400, "", "content-encoding"},
		"unknown path":   {"GET", "/v1/nowhere//x", "", right, 404, "", "Invalid URL (GET /v1/nowhere//x)"},
		"unknown model":  {"GET", "/v1/models/gpt-2", "", right, 404, "model_not_found", "gpt-2"},
		"no upgrade":     {"GET", "/v1/responses", "", right, 404, "", "Invalid URL"},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Authorization", test.authorization}
			if name == "unknown coding" {
				header = append(header, "Content-Encoding", "br")
			}
			answer := do(t, test.method, url+test.path, test.body, header...)
			body := whole(t, answer)
			if answer.StatusCode != test.status {
				t.Errorf("status %d, want %d", answer.StatusCode, test.status)
			}
			if got := gjson.Get(body, "error.code").Str; got != test.code {
				t.Errorf("code %q, want %q", got, test.code)
			}
			if got := gjson.Get(body, "error.message").Str; !strings.Contains(got, test.message) {
				t.Errorf("message %q, want it to hold %q", got, test.message)
			}
		})
	}
}

func TestASyntheticStreamHasEqualEventsAndTheTimeEachWasSent(t *testing.T) {
	stream := simulated.Stream(50, time.Microsecond, 400)
	_, url := serve(t, simulated.Options{Always: &stream})
	before := time.Now().UnixNano()

	events := allEvents(t, post(t, url+"/v1/responses", streamed))

	after, deltas := time.Now().UnixNano(), 0
	for i, event := range events {
		if got := event.get("sequence_number").Int(); got != int64(i) {
			t.Fatalf("event %d has sequence number %d", i, got)
		}
		if event.name != "response.output_text.delta" {
			continue
		}
		deltas++
		if len(event.data) != 400 || !gjson.Valid(event.data) {
			t.Errorf("event %d has %d bytes, want 400 of JSON: %s", i, len(event.data), event.data)
		}
		if sent := event.get("obfuscation").Int(); sent < before || sent > after {
			t.Errorf("event %d says that it was sent at %d, outside of %d to %d", i, sent, before, after)
		}
	}
	if last := events[len(events)-1]; deltas != 50 || last.name != "response.completed" || last.get("response.usage.output_tokens").Int() != 50 {
		t.Errorf("%d deltas, and the end is %s", deltas, last.data)
	}

	document := whole(t, post(t, url+"/v1/responses", `{"model":"m","input":"hi"}`))
	if got := len(gjson.Get(document, "output.0.content.0.text").Str); got != 50*400 {
		t.Errorf("the document's text has %d bytes, want %d", got, 50*400)
	}
}

func TestCompactKeepsWhatTheUserSaid(t *testing.T) {
	_, url := serve(t, simulated.Options{})
	body := `{"model":"m","input":[{"type":"message","role":"user","content":"first"},{"type":"reasoning"},{"type":"message","role":"user","content":"second"}]}`
	answer := post(t, url+"/v1/responses/compact", body)
	output := gjson.Get(whole(t, answer), "output")
	if answer.StatusCode != http.StatusOK || output.Get("#").Int() != 3 || output.Get("1.content").Str != "second" || output.Get("2.type").Str != "compaction" {
		t.Errorf("status %d, output %s", answer.StatusCode, output.Raw)
	}
}
