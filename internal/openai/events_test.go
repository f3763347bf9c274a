package openai_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/openai"
)

// referenceEvents takes a stream apart the plain way: held whole, line by line.
// It returns the data of each event.
func referenceEvents(text string) (events []string) {
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	lines := strings.Split(text, "\n")
	var data []string
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			if data != nil {
				events = append(events, strings.Join(data, "\n"))
			}
			data = nil
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		if field == "data" {
			data = append(data, strings.TrimPrefix(value, " "))
		}
	}
	return events
}

// FuzzEvents compares with the reference, and one chunk with many.
func FuzzEvents(f *testing.F) {
	for _, s := range streams(f) {
		f.Add(s.text, 3)
		f.Add(strings.ReplaceAll(s.text, "\n", "\r\n"), 40)
	}
	f.Add("\ufeffdata: {\"type\":\"error\",\ndata\ndata:\"message\":\"x\"}\n:\n\n\r\rdata: [DONE] \r\n\r\n", 1)
	f.Fuzz(func(t *testing.T, text string, size int) {
		if size <= 0 {
			size = 1
		}
		whole, parts, frames := openai.WatchEvents(), openai.WatchEvents(), openai.WatchFrames()
		whole.Write([]byte(text))
		for rest := []byte(text); len(rest) > 0; {
			n := min(size, len(rest))
			parts.Write(rest[:n])
			rest = rest[n:]
		}
		if diff := cmp.Diff(whole.Answer(), parts.Answer()); diff != "" || whole.Terminal() != parts.Terminal() {
			t.Fatalf("%q in chunks of %d (-whole +parts):\n%s", text, size, diff)
		}
		if strings.Contains(text, "event") || strings.Contains(text, "DONE") {
			return // frames have neither
		}
		for _, data := range referenceEvents(text) {
			frames.Frame([]byte(data))
		}
		if diff := cmp.Diff(frames.Answer(), whole.Answer()); diff != "" || whole.Terminal() != frames.Terminal() {
			t.Fatalf("%q (-reference +got):\n%s", text, diff)
		}
	})
}

// longStream is a believable answer of n text deltas, with its whole output once
// more in its last event.
func longStream(n int) []byte {
	var b bytes.Buffer
	event := func(eventType, rest string) {
		fmt.Fprintf(&b, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%d,%s}\n\n", eventType, eventType, b.Len(), rest)
	}
	event("response.created", `"response":{"id":"resp_1","status":"in_progress","instructions":"`+strings.Repeat("Be brief. ", 2000)+`","model":"gpt-5.1-codex","service_tier":"auto","usage":null}`)
	for range n {
		event("response.output_text.delta", `"item_id":"msg_0123456789abcdef0123456789abcdef","output_index":1,"content_index":0,"delta":" token","logprobs":[],"obfuscation":"9aXhB2kQ"`)
	}
	output := `"content":[{"type":"output_text","annotations":[],"text":"` + strings.Repeat(" token", n) + `"}]`
	event("response.output_item.done", `"item":{"type":"message",`+output+`}`)
	event("response.completed", `"response":{"id":"resp_1","status":"completed","model":"gpt-5.1-codex","output":[{"type":"message",`+output+`}],"service_tier":"default","usage":{"input_tokens":900,"input_tokens_details":{"cached_tokens":100},"output_tokens":1000,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1900}}`)
	return b.Bytes()
}

func TestALastEventOfMegabytesIsNotHeld(t *testing.T) {
	text := longStream(100_000)
	allocated := testing.AllocsPerRun(1, func() {
		w := openai.WatchEvents()
		for rest := text; len(rest) > 0; {
			n := min(16<<10, len(rest))
			w.Write(rest[:n])
			rest = rest[n:]
		}
		if a := w.Answer(); !w.Terminal() || a.Usage.Total != 1900 || a.OutputBytes != 600_000 {
			t.Fatalf("terminal %v, answer %+v", w.Terminal(), a)
		}
	})
	if allocated > 100 {
		t.Errorf("%v allocations for a stream of %d bytes", allocated, len(text))
	}
}

func TestAnIdleWatcherIsSmall(t *testing.T) {
	text := longStream(5)
	text = text[:bytes.Index(text, []byte("event: response.completed"))]
	watchers := make([]openai.Watcher, 1000)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range watchers {
		watchers[i] = openai.WatchEvents()
		watchers[i].Write(text)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (after.HeapAlloc - before.HeapAlloc) / uint64(len(watchers)); each > 1500 {
		t.Errorf("each takes %d bytes", each)
	}
	runtime.KeepAlive(watchers)
}

func TestErrorsAreShapedAsOpenAIShapesThem(t *testing.T) {
	// The messages hold what must be escaped and what should stay readable.
	const message = "No \"gpt-9\" for <alice@example.com> & team:\n\x1b[31m ask \u2028"
	body := openai.ErrorBody("invalid_request_error", "", message)
	if want := `{"error":{"message":"No \"gpt-9\" for <alice@example.com> & team:\n\u001b[31m ask \u2028","type":"invalid_request_error","param":null,"code":null}}`; string(body) != want {
		t.Errorf("ErrorBody:\n%s, want\n%s", body, want)
	}
	w := openai.WatchJSON()
	w.Write(openai.ErrorBody("t", "c", message))
	if a := w.Answer(); !w.Terminal() || a.ErrorMessage != message || a.ErrorType != "t" || a.ErrorCode != "c" {
		t.Errorf("read back: %+v", a)
	}

	limit := openai.UsageLimitBody("Spent.", time.Unix(1795500000, 0))
	if want := `{"error":{"message":"Spent.","type":"usage_limit_reached","resets_at":1795500000}}`; string(limit) != want {
		t.Errorf("UsageLimitBody: %s, want %s", limit, want)
	}
	if limit := openai.UsageLimitBody("Too fast.", time.Time{}); string(limit) != `{"error":{"message":"Too fast.","type":"usage_limit_reached"}}` {
		t.Errorf("UsageLimitBody without an end: %s", limit)
	}
	frame := openai.ErrorFrame(429, map[string]string{"x-request-id": "req_1"}, limit)
	if want := `{"type":"error","status":429,"error":{"message":"Spent.","type":"usage_limit_reached","resets_at":1795500000},"headers":{"x-request-id":"req_1"}}`; string(frame) != want {
		t.Errorf("ErrorFrame: %s, want %s", frame, want)
	}
	if frame := openai.ErrorFrame(400, nil, []byte("no JSON")); string(frame) != `{"type":"error","status":400,"error":null}` {
		t.Errorf("ErrorFrame of no JSON: %s", frame)
	}

	events, frames := openai.WatchEvents(), openai.WatchFrames()
	events.Write(openai.FailedEvent("invalid_prompt", message))
	frames.Frame(openai.FailedFrame("invalid_prompt", message))
	for _, a := range []openai.Answer{events.Answer(), frames.Answer()} {
		if a.Event != "response.failed" || !a.Failed() || a.ErrorCode != "invalid_prompt" || a.ErrorMessage != message || a.Status != "failed" || a.ID == "" {
			t.Errorf("failed event read back: %+v", a)
		}
	}
	if !json.Valid(openai.FailedFrame("\xff", "\xff")) {
		t.Error("bytes that are not UTF-8 make invalid JSON")
	}
}

func BenchmarkEvents(b *testing.B) {
	text := longStream(2000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		w := openai.WatchEvents()
		for rest := text; len(rest) > 0; {
			n := min(4<<10, len(rest))
			w.Write(rest[:n])
			rest = rest[n:]
		}
		if !w.Terminal() {
			b.Fatal("not read")
		}
	}
}

// BenchmarkEventDelta is the cost of one event of the kind most streams are made of.
func BenchmarkEventDelta(b *testing.B) {
	text := longStream(1)
	delta := text[bytes.Index(text, []byte("event: response.output_text.delta")):]
	delta = delta[:bytes.Index(delta, []byte("\n\n"))+2]
	w := openai.WatchEvents()
	b.SetBytes(int64(len(delta)))
	b.ReportAllocs()
	for b.Loop() {
		w.Write(delta)
	}
}
