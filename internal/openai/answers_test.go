package openai_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"codex-proxy/internal/openai"
)

// stream is a recorded shape of an answer and what it says.
type stream struct {
	name   string
	text   string
	answer openai.Answer
}

func streams(t testing.TB) []stream {
	t.Helper()
	files, err := filepath.Glob("testdata/events/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no streams in testdata/events (%v)", err)
	}
	var all []stream
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := stream{name: strings.TrimSuffix(filepath.Base(file), ".txtar")}
		for _, part := range archive.Files {
			switch part.Name {
			case "stream":
				s.text = string(part.Data)
			case "answer.json":
				d := json.NewDecoder(strings.NewReader(string(part.Data)))
				d.DisallowUnknownFields()
				if err := d.Decode(&s.answer); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			}
		}
		all = append(all, s)
	}
	return all
}

func TestAStreamIsReadAsItIsMeant(t *testing.T) {
	for _, s := range streams(t) {
		t.Run(s.name, func(t *testing.T) {
			w := openai.WatchEvents()
			w.Write([]byte(s.text))
			if diff := cmp.Diff(s.answer, w.Answer()); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if want := s.answer.Event != ""; w.Terminal() != want {
				t.Errorf("Terminal() = %v, want %v", w.Terminal(), want)
			}
		})
	}
}

func TestLineEndsChunksAndAByteOrderMarkMakeNoDifference(t *testing.T) {
	for _, s := range streams(t) {
		for _, end := range []string{"\n", "\r\n", "\r"} {
			text := []byte("\ufeff" + strings.ReplaceAll(s.text, "\n", end))
			for _, size := range []int{1, 2, 3, 5, 7, 16, 31, 64, 100, 257, 512, 1000} {
				w := openai.WatchEvents()
				for rest := text; len(rest) > 0; {
					n := min(size, len(rest))
					chunk := append([]byte(nil), rest[:n]...)
					w.Write(chunk)
					clear(chunk) // it must have kept nothing of it
					rest = rest[n:]
				}
				if diff := cmp.Diff(s.answer, w.Answer()); diff != "" {
					t.Fatalf("%s with line ends %q in chunks of %d (-want +got):\n%s", s.name, end, size, diff)
				}
			}
		}
	}
}

func TestAnAnswerIsTerminalOnlyOnceItsLastEventIsWhole(t *testing.T) {
	for _, s := range streams(t) {
		if s.answer.Event == "" || s.answer.Failed() || s.name == "responses_garbage" {
			continue // none, or one before the last
		}
		w := openai.WatchEvents()
		before := strings.TrimSuffix(s.text, "\n")
		w.Write([]byte(before))
		if w.Terminal() {
			t.Errorf("%s: terminal before the blank line", s.name)
		}
		w.Write([]byte("\n"))
		if !w.Terminal() {
			t.Errorf("%s: not terminal after the blank line", s.name)
		}
	}
}

func TestFramesAreReadAsTheDataOfEventsIs(t *testing.T) {
	for _, s := range streams(t) {
		if !strings.HasPrefix(s.name, "responses_") {
			continue
		}
		whole, parts := openai.WatchFrames(), openai.WatchFrames()
		for line := range strings.Lines(s.text) {
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				continue
			}
			frame := []byte(strings.TrimSpace(data))
			whole.Frame(frame)
			for i := range frame {
				parts.Write(frame[i : i+1])
			}
			parts.EndFrame()
		}
		for _, w := range []*openai.Frames{whole, parts} {
			if diff := cmp.Diff(s.answer, w.Answer()); diff != "" || !w.Terminal() {
				t.Errorf("%s: terminal %v, answer (-want +got):\n%s", s.name, w.Terminal(), diff)
			}
		}
	}
}

func TestAnErrorFrameSaysWithWhatStatus(t *testing.T) {
	w := openai.WatchFrames()
	w.Frame([]byte(`{"type":"error","status":429,"error":{"type":"usage_limit_reached","message":"Spent.","resets_at":1795500000},"headers":{"x-request-id":"req_1"}}`))
	want := openai.Answer{Event: "error", ErrorType: "usage_limit_reached", ErrorMessage: "Spent.", ErrorStatus: 429}
	if diff := cmp.Diff(want, w.Answer()); diff != "" || !w.Terminal() || !w.Answer().Failed() {
		t.Errorf("terminal %v, answer (-want +got):\n%s", w.Terminal(), diff)
	}
}

func TestAJSONAnswerIsRead(t *testing.T) {
	usage := openai.Usage{Input: 30, Cached: 10, Output: 5, Reasoning: 2, Total: 35}
	for name, test := range map[string]struct {
		body   string
		want   openai.Answer
		failed bool
	}{
		"response": {
			body: `{"id":"resp_1","object":"response","status":"completed","error":null,"model":"gpt-5.1","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"service_tier":"default","usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":10},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":35}}` + "\n",
			want: openai.Answer{ID: "resp_1", Model: "gpt-5.1", Tier: "default", Status: "completed", Usage: usage, HasUsage: true, OutputBytes: 20},
		},
		"compaction": {
			body: `{"id":"resp_2","object":"response.compaction","output":[],"usage":{"input_tokens":30,"input_tokens_details":{"cached_tokens":10},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":35}}`,
			want: openai.Answer{ID: "resp_2", Usage: usage, HasUsage: true},
		},
		"chat completion": {
			body: `{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-5.1","choices":[{"index":0,"message":{"content":"Hello"}}],"usage":{"prompt_tokens":30,"completion_tokens":5,"total_tokens":35,"prompt_tokens_details":{"cached_tokens":10},"completion_tokens_details":{"reasoning_tokens":2}},"service_tier":"default"}`,
			want: openai.Answer{ID: "chatcmpl-1", Model: "gpt-5.1", Tier: "default", Usage: usage, HasUsage: true, OutputBytes: 5},
		},
		"embeddings": {
			body: `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.01,-2e-05]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}`,
			want: openai.Answer{Model: "text-embedding-3-small", Usage: openai.Usage{Input: 8, Total: 8}, HasUsage: true},
		},
		"error": {
			body:   `{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`,
			want:   openai.Answer{ErrorType: "invalid_request_error", ErrorCode: "invalid_api_key", ErrorMessage: "Incorrect API key provided."},
			failed: true,
		},
		"error with a number for a code": {
			body:   `{"error":{"message":"Bad gateway.","code":502}}`,
			want:   openai.Answer{ErrorCode: "502", ErrorMessage: "Bad gateway."},
			failed: true,
		},
		"error that is a string": {
			body:   `{"error":"not found"}`,
			want:   openai.Answer{ErrorMessage: "not found"},
			failed: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := openai.WatchJSON()
			last := strings.LastIndexByte(test.body, '}')
			w.Write([]byte(test.body[:last]))
			if w.Terminal() {
				t.Error("terminal before the closing brace")
			}
			w.Write([]byte(test.body[last:]))
			if diff := cmp.Diff(test.want, w.Answer()); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			if !w.Terminal() || w.Answer().Failed() != test.failed {
				t.Errorf("Terminal() = %v, Failed() = %v", w.Terminal(), w.Answer().Failed())
			}
		})
	}
}

func TestAJSONAnswerThatIsCutStillTellsWhatPassed(t *testing.T) {
	w := openai.WatchJSON()
	w.Write([]byte(`{"id":"resp_1","model":"gpt-5.1","output":[{"text":"half an ans`))
	want := openai.Answer{ID: "resp_1", Model: "gpt-5.1", OutputBytes: 11}
	if diff := cmp.Diff(want, w.Answer()); diff != "" || w.Terminal() {
		t.Errorf("terminal %v, answer (-want +got):\n%s", w.Terminal(), diff)
	}
}

func TestUsageAddsUp(t *testing.T) {
	u := openai.Usage{Input: 30, Cached: 10, CacheWrite: 15, Output: 5, Reasoning: 2, Total: 35}
	if got, want := u.Add(u), (openai.Usage{Input: 60, Cached: 20, CacheWrite: 30, Output: 10, Reasoning: 4, Total: 70}); got != want {
		t.Errorf("Add() = %+v, want %+v", got, want)
	}
}

func TestTokensWrittenToThePromptCacheAreRead(t *testing.T) {
	want := openai.Usage{Input: 30, Cached: 10, CacheWrite: 15, Output: 5, Total: 35}
	for _, usage := range []string{
		`{"input_tokens":30,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":15},"output_tokens":5,"total_tokens":35}`,
		`{"prompt_tokens":30,"prompt_tokens_details":{"cached_tokens":10,"cache_write_tokens":15},"completion_tokens":5,"total_tokens":35}`,
	} {
		w := openai.WatchJSON()
		w.Write([]byte(`{"id":"resp_1","usage":` + usage + `}`))
		if a := w.Answer(); !a.HasUsage || a.Usage != want {
			t.Errorf("usage %s was read as %+v, want %+v", usage, a.Usage, want)
		}
	}
}

func TestUsageThatMakesNoSenseIsUnknown(t *testing.T) {
	for _, usage := range []string{
		`null`, `{}`, `[]`, `"much"`, `{"type":"duration","seconds":3}`,
		`{"input_tokens":1}`,
		`{"input_tokens":-1,"output_tokens":1}`,
		`{"input_tokens":1.5,"output_tokens":1}`,
		`{"input_tokens":1e3,"output_tokens":1}`,
		`{"input_tokens":"1","output_tokens":1}`,
		`{"input_tokens":99999999999999999999,"output_tokens":1}`,
		`{"input_tokens":9000000000000000000,"output_tokens":9000000000000000000}`,
		`{"input_tokens":1,"output_tokens":1,"input_tokens_details":{"cached_tokens":2}}`,
		`{"input_tokens":1,"output_tokens":1,"input_tokens_details":{"cache_write_tokens":2}}`,
		`{"input_tokens":1,"output_tokens":1,"output_tokens_details":{"reasoning_tokens":2}}`,
		`{"input_tokens":1,"output_tokens":1,"total_tokens":-2}`,
	} {
		w := openai.WatchJSON()
		w.Write([]byte(`{"id":"resp_1","usage":` + usage + `}`))
		if a := w.Answer(); a.HasUsage || a.Usage != (openai.Usage{}) || !w.Terminal() {
			t.Errorf("usage %s was read as %+v", usage, a)
		}
	}
}

func TestTheTypeOfAFrameIsFoundWhereverItStands(t *testing.T) {
	for frame, want := range map[string]string{
		`{"type":"response.create","model":"gpt-5.1"}`:                             "response.create",
		"\n { \"type\" :\t\"response.create\" , \"input\" : [] }":                  "response.create",
		`{"input":[{"type":"message"}],"x":{"type":"y"},"type":"response.create"}`: "response.create",
		`{"t\u0079pe":"response\u002ecreate"}`:                                     "response.create",
		`{"type":null}`:                                                            "", `{}`: "", ``: "", `[]`: "", `pong`: "", `{"type":"response.cr`: "",
	} {
		if got := openai.FrameType([]byte(frame)); got != want {
			t.Errorf("FrameType(%s) = %q, want %q", frame, got, want)
		}
	}
}
