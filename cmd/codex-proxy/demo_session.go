package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/simulated"
)

// sampleSession is a conversation that a sample developer has with Codex, which
// sends it as Codex does over HTTP: each request resends all that came before. What
// OpenAI answers is the story's.
type sampleSession struct {
	who    *sampleDeveloper
	id     string
	model  string
	token  string
	scenes []scene // those yet to come
	turn   string  // the id of the turn that the developer's last prompt began

	openai *simulated.Server
	input  []json.RawMessage
	calls  []gjson.Result // those whose output comes next
	take   *take          // how long the exchange takes; nil is as long as it does
}

// newSession begins a conversation. It is on stage until it leaves.
func newSession(who *sampleDeveloper, token, story string, n int, at time.Time) *sampleSession {
	thing := who.things[n%len(who.things)]
	words := append([]string{"{{repo}}", who.repo, "{{thing}}", thing, "{{ticket}}", fmt.Sprintf("(%s-%d)", strings.ToUpper(who.team[:4]), 380+7*n)}, secretWords[who.team]...)
	words = append(words, "{{date}}", at.Format(time.DateOnly))
	replacer := strings.NewReplacer(words...)
	s := &sampleSession{
		who: who, id: exchange.NewID(at), model: who.models[n%len(who.models)], token: token,
		scenes: readStory(story, replacer), openai: simulated.New(simulated.Options{}),
	}
	if s.isCode() {
		s.add(codexItem{Type: "additional_tools", Role: "developer", Tools: tools(true)})
		s.say("developer", demoFile("instructions.md", replacer))
	}
	s.say("user", demoFile("agents.md", replacer))
	return s
}

// isCode reports whether the model calls its tools by writing JavaScript, as the
// current ones do.
func (s *sampleSession) isCode() bool { return strings.HasPrefix(s.model, "gpt-6") }

// ServeHTTP answers as OpenAI.
func (s *sampleSession) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.take != nil {
		w = s.take.watch(w, r)
	}
	s.openai.ServeHTTP(w, r)
}

// codexItem is an item of a request's input, its fields in Codex's order.
type codexItem struct {
	Type    string `json:"type"`
	Role    string `json:"role,omitzero"`
	Content []any  `json:"content,omitzero"`
	CallID  string `json:"call_id,omitzero"`
	Output  any    `json:"output,omitzero"`
	Tools   []any  `json:"tools,omitzero"`
}

type codexText struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func (s *sampleSession) add(item codexItem) { s.input = append(s.input, mustJSON(item)) }

func (s *sampleSession) say(role, text string, more ...any) {
	content := append([]any{codexText{"input_text", text}}, more...)
	s.add(codexItem{Type: "message", Role: role, Content: content})
}

// begin puts into the conversation what is new in the next scene.
func (s *sampleSession) begin(at time.Time) {
	for i, l := range s.scenes[0].asked {
		text := l.text
		if l.kind == "user" {
			s.turn = exchange.NewID(at)
			var picture []any
			if l.head == "image" {
				picture = append(picture, map[string]string{"type": "input_image", "image_url": chart(), "detail": "high"})
			}
			s.say("user", strings.TrimSpace(text), picture...)
			continue
		}
		seconds, status := l.took()
		call := s.calls[i]
		item := codexItem{Type: call.Get("type").Str + "_output", CallID: call.Get("call_id").Str}
		switch call.Get("name").Str {
		case "exec":
			item.Output = []codexText{{"input_text", fmt.Sprintf("Script completed\nWall time %.1f seconds\nOutput:\n", seconds)}, {"input_text", text}}
		case "apply_patch":
			item.Output = string(mustJSON(map[string]any{"output": text, "metadata": map[string]any{"exit_code": status, "duration_seconds": seconds}}))
		default:
			item.Output = fmt.Sprintf("Wall time: %.4f seconds\nProcess exited with code %d\nOutput:\n%s", seconds, status, text)
		}
		s.add(item)
	}
}

// took is for how many seconds a tool ran, and its exit status.
func (l line) took() (seconds float64, status int) {
	_, _ = fmt.Sscanf(l.head, "%f exit %d", &seconds, &status) // most end with 0, unsaid
	return seconds, status
}

// answer is what the model says in the next scene.
func (s *sampleSession) answer() simulated.Answer {
	var a simulated.Answer
	for _, l := range s.scenes[0].said {
		switch l.kind {
		case "think":
			a.Reasoning = strings.TrimSpace(l.text)
		case "say":
			a.Text = strings.TrimSpace(l.text)
		case "run":
			a.Calls = append(a.Calls, simulated.Call{Command: l.head})
		case "patch":
			call := simulated.Call{Name: "apply_patch", Input: l.text}
			if s.isCode() {
				call = simulated.Call{Name: "exec", Input: "const patch = " + string(mustJSON(l.text)) + ";\ntext(await tools.apply_patch(patch));\n"}
			}
			a.Calls = append(a.Calls, call)
		}
	}
	return a
}

// codexRequest is the body of a request, its fields in Codex's order.
type codexRequest struct {
	Model          string            `json:"model"`
	Instructions   string            `json:"instructions,omitzero"`
	Input          []json.RawMessage `json:"input"`
	Tools          []any             `json:"tools,omitzero"`
	ToolChoice     string            `json:"tool_choice"`
	ParallelCalls  bool              `json:"parallel_tool_calls"`
	Reasoning      map[string]string `json:"reasoning"`
	Store          bool              `json:"store"`
	Stream         bool              `json:"stream"`
	Include        []string          `json:"include"`
	PromptCacheKey string            `json:"prompt_cache_key"`
	Text           map[string]string `json:"text"`
	ClientMetadata map[string]string `json:"client_metadata"`
}

// request is the next one, to a proxy at an address.
func (s *sampleSession) request(ctx context.Context, address, model string) (*http.Request, error) {
	metadata := string(mustJSON(map[string]any{
		"session_id": s.id, "thread_id": s.id, "turn_id": s.turn, "window_id": s.id + ":0", "request_kind": "turn", "thread_source": "user",
		"sandbox": s.who.client.sandbox, "sandbox_mode": "workspace-write", "model": model, "reasoning_effort": "medium",
	}))
	body := codexRequest{
		Model: model, Input: s.input, ToolChoice: "auto", Reasoning: map[string]string{"effort": "medium", "summary": "auto"},
		Stream: true, Include: []string{"reasoning.encrypted_content"}, PromptCacheKey: s.id, Text: map[string]string{"verbosity": "low"},
		ClientMetadata: map[string]string{"session_id": s.id, "turn_id": s.turn, "x-codex-turn-metadata": metadata},
	}
	if !s.isCode() {
		body.Instructions, body.Tools = demoFile("instructions.md", strings.NewReplacer()), tools(false)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/responses", bytes.NewReader(mustJSON(body)))
	if err != nil {
		return nil, fmt.Errorf("build a sample request: %w", err)
	}
	request.Header = http.Header{
		"Authorization": {"Bearer " + s.token}, "Content-Type": {"application/json"}, "Accept": {"text/event-stream"},
		"Session-Id": {s.id}, "Thread-Id": {s.id}, "X-Client-Request-Id": {s.id}, "X-Codex-Window-Id": {s.id + ":0"},
		"X-Codex-Turn-Metadata": {metadata}, "Originator": {s.who.client.originator}, "User-Agent": {s.who.client.agent},
	}
	return request, nil
}

// send sends the next request and reads the answer, or only so many of its events, and
// reports whether it came whole. Only then the conversation has gone on.
func (s *sampleSession) send(ctx context.Context, address, model string, most int) (whole bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := s.request(ctx, address, model)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, fmt.Errorf("send a sample request: %w", err)
	}
	defer response.Body.Close()
	output := s.read(response.Body, most)
	if output == nil {
		return false, nil
	}
	s.calls = nil
	for _, item := range output {
		s.input = append(s.input, json.RawMessage(item.Raw))
		if strings.HasSuffix(item.Get("type").Str, "_call") {
			s.calls = append(s.calls, item)
		}
	}
	s.scenes = s.scenes[1:]
	return true, nil
}

// read reads an answer, or so many of its events, and returns what it says; nil if it
// did not come to its end.
func (s *sampleSession) read(answer io.Reader, most int) (output []gjson.Result) {
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, 1<<20)
	events, name := 0, ""
	for lines.Scan() && events < most {
		if is, found := strings.CutPrefix(lines.Text(), "event: "); found {
			name = is
		}
		if data, found := strings.CutPrefix(lines.Text(), "data: "); found && name == "response.completed" {
			output = gjson.Get(data, "response.output").Array()
		}
		if lines.Text() == "" {
			events++
			s.take.hear()
		}
	}
	return output
}

// tools are the definitions of Codex's tools and of the organisation's own, as a model
// takes them that writes JavaScript, or another.
func tools(code bool) []any {
	spaces := map[string][]any{}
	var names []string
	for entry := range strings.Lines(demoFile("tools.txt", strings.NewReplacer())) {
		name, rest, _ := strings.Cut(strings.TrimSpace(entry), ": ")
		space, name, _ := strings.Cut(name, ".")
		if code && name == "exec_command" {
			continue // which the script awaits
		}
		fields := strings.Split(rest, " | ")
		properties, required := map[string]any{}, []string{}
		for i, field := range fields[1:] {
			parameter, means, _ := strings.Cut(field, ": ")
			properties[parameter] = map[string]string{"type": "string", "description": means}
			if i == 0 {
				required = append(required, parameter)
			}
		}
		if spaces[space] == nil {
			names = append(names, space)
		}
		spaces[space] = append(spaces[space], map[string]any{
			"type": "function", "name": name, "description": fields[0], "strict": false,
			"parameters": map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false},
		})
	}
	own := map[string]any{"type": "custom", "name": "apply_patch", "description": "Edits files by a patch between *** Begin Patch and *** End Patch.", "format": map[string]string{"type": "text"}}
	if code {
		own = map[string]any{"type": "custom", "name": "exec", "description": "Runs JavaScript that may await the tools below, such as tools.exec_command({cmd}) and tools.apply_patch(text). Only what text() is called with is returned.", "format": map[string]string{"type": "text"}}
	}
	all := append([]any{own}, spaces["functions"]...)
	for _, space := range names[1:] {
		all = append(all, map[string]any{"type": "namespace", "name": space, "description": "The organisation's " + strings.ReplaceAll(space, "_", " ") + ".", "tools": spaces[space]})
	}
	return all
}

// mustJSON encodes what the demo makes itself, as Codex does: < and > stay.
func mustJSON(value any) json.RawMessage {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}
