package simulated

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"

	"codex-proxy/internal/openai"
)

// script is one whole answer of /v1/responses, ready to be sent.
type script struct {
	events []event
	// response is the final response object, encoded: the answer without a stream.
	response []byte
	id       string
}

// write makes the script of an answer to a call.
func (s *Server) write(c *call, answer Answer) script {
	if answer.synthetic != nil {
		return answer.synthetic.script(s, c, answer)
	}
	now := c.conversation()
	items := answer.items(now.shell)
	return newScript(s.opening(c, answer), items, s.usage(c, now.size, answer, items), &answer.Fault)
}

// opening is the response object around an answer, before anything was said.
func (s *Server) opening(c *call, answer Answer) response {
	return response{
		ID:                 newID("resp_"),
		Object:             "response",
		CreatedAt:          s.options.Now().Unix(),
		Status:             "in_progress",
		Model:              cmp.Or(answer.Model, snapshot(c.model)),
		Output:             []item{},
		ParallelToolCalls:  true,
		PreviousResponseID: orNull(c.previousID),
		PromptCacheKey:     orNull(c.cacheKey),
		Reasoning:          map[string]string{},
		ServiceTier:        cmp.Or(answer.ServiceTier, answeredTier(c.serviceTier)),
		Temperature:        1,
		ToolChoice:         "auto",
		Tools:              []struct{}{},
		TopP:               1,
		Truncation:         "disabled",
	}
}

// answeredTier is the tier that serves what was asked for: OpenAI never answers
// "auto".
func answeredTier(asked string) string {
	if asked == "" || asked == "auto" {
		return "default"
	}
	return asked
}

// items are the output items of an answer.
func (a *Answer) items(shape shell) []item {
	items := []item{}
	if a.compaction {
		return append(items, item{ID: newID("cmp_"), Type: "compaction", EncryptedContent: encrypted("compaction")})
	}
	if a.Reasoning != "" {
		items = append(items, item{
			ID: newID("rs_"), Type: "reasoning",
			Summary: []part{summaryText(a.Reasoning)}, EncryptedContent: encrypted(a.Reasoning),
		})
	}
	if a.Text != "" {
		items = append(items, item{
			ID: newID("msg_"), Type: "message", Status: "completed", Role: "assistant",
			Content: []part{outputText(a.Text)},
		})
	}
	for _, call := range a.Calls {
		call = call.resolve(shape)
		made := item{Status: "completed", CallID: newID("call_"), Name: call.Name}
		if call.Input != "" {
			made.ID, made.Type, made.Input = newID("ctc_"), "custom_tool_call", &call.Input
		} else {
			made.ID, made.Type, made.Arguments = newID("fc_"), "function_call", &call.Arguments
		}
		items = append(items, made)
	}
	return items
}

// encrypted is believable encrypted content: opaque, the same for the same text, and
// much longer than that, which sums it up.
func encrypted(text string) string {
	source := sourceOf(text)
	size := 600 + 8*len(text)
	data := make([]byte, 0, size+8)
	data = append(data, 0x80) // as a Fernet token begins
	for len(data) < size {
		data = binary.BigEndian.AppendUint64(data, source.Uint64())
	}
	return base64.URLEncoding.EncodeToString(data)
}

// usage is what the answer reports: what it was told to, or an estimate.
func (s *Server) usage(c *call, size int64, answer Answer, items []item) openai.Usage {
	if answer.Usage != nil {
		return *answer.Usage
	}
	u := openai.Usage{Input: tokens(size)}
	u.Cached = s.cache.cached(c.cacheKey, u.Input)
	for _, it := range items {
		switch it.Type {
		case "reasoning":
			u.Reasoning += tokens(int64(len(it.EncryptedContent)))
		case "message":
			u.Output += tokens(int64(len(it.Content[0].Text)))
		default:
			u.Output += 20
		}
	}
	u.Output += u.Reasoning
	u.Total = u.Input + u.Output
	return u
}

// newScript writes the events: the response begins, each item grows, the
// response ends, as it should or as the fault wants.
func newScript(frame response, items []item, used openai.Usage, fault *Fault) script {
	b := &builder{}
	b.add(wireEvent{Type: "response.created", Response: &frame})
	b.add(wireEvent{Type: "response.in_progress", Response: &frame})
	for i := range items {
		b.item(i, items[i])
	}

	last := frame
	last.Status, last.Output, last.Usage = "completed", items, &usage{used}
	name := "response.completed"
	switch fault.Break {
	case BreakFailed:
		e := fault.apiError()
		name = "response.failed"
		last.Status, last.Output, last.Usage = "failed", []item{}, nil
		last.Error = &responseFail{Code: e.code, Message: e.message}
		b.cut(fault.After)
	case BreakIncomplete:
		name = "response.incomplete"
		last.Status, last.IncompleteDetails = "incomplete", &incomplete{Reason: "max_output_tokens"}
		if fault.After > 0 {
			b.cut(fault.After)
		}
	case BreakNoUsage:
		last.Usage = nil
	}
	b.add(wireEvent{Type: name, Response: &last})
	return script{events: b.events, response: marshal(last), id: frame.ID}
}

// builder numbers and encodes events.
type builder struct {
	events []event
}

func (b *builder) add(e wireEvent) {
	e.SequenceNumber = len(b.events)
	b.events = append(b.events, event{name: e.Type, data: marshal(e)})
}

// cut drops all events after the first n.
func (b *builder) cut(n int) {
	b.events = b.events[:min(n, len(b.events))]
}

// item writes the events in which an item comes to be.
func (b *builder) item(index int, it item) {
	begun := it
	if it.Status != "" {
		begun.Status = "in_progress"
	}
	empty, zero := "", 0
	at := wireEvent{ItemID: it.ID, OutputIndex: &index}
	switch it.Type {
	case "message":
		begun.Content = []part{}
		b.begin(index, begun)
		blank, text := outputText(""), it.Content[0].Text
		at.ContentIndex = &zero
		b.add(at.with("response.content_part.added", func(e *wireEvent) { e.Part = &blank }))
		for _, word := range words(text) {
			b.add(at.with("response.output_text.delta", func(e *wireEvent) {
				e.Delta, e.Logprobs, e.Obfuscation = &word, []struct{}{}, padding(len(word))
			}))
		}
		b.add(at.with("response.output_text.done", func(e *wireEvent) { e.Text, e.Logprobs = &text, []struct{}{} }))
		b.add(at.with("response.content_part.done", func(e *wireEvent) { e.Part = &it.Content[0] }))
	case "reasoning":
		begun.Summary = []part{}
		b.begin(index, begun)
		blank, text := summaryText(""), it.Summary[0].Text
		at.SummaryIndex = &zero
		b.add(at.with("response.reasoning_summary_part.added", func(e *wireEvent) { e.Part = &blank }))
		for _, word := range words(text) {
			b.add(at.with("response.reasoning_summary_text.delta", func(e *wireEvent) {
				e.Delta, e.Obfuscation = &word, padding(len(word))
			}))
		}
		b.add(at.with("response.reasoning_summary_text.done", func(e *wireEvent) { e.Text = &text }))
		b.add(at.with("response.reasoning_summary_part.done", func(e *wireEvent) { e.Part = &it.Summary[0] }))
	case "function_call":
		begun.Arguments = &empty
		b.begin(index, begun)
		b.add(at.with("response.function_call_arguments.delta", func(e *wireEvent) { e.Delta = it.Arguments }))
		b.add(at.with("response.function_call_arguments.done", func(e *wireEvent) { e.Arguments = it.Arguments }))
	case "custom_tool_call":
		begun.Input = &empty
		b.begin(index, begun)
		b.add(at.with("response.custom_tool_call_input.delta", func(e *wireEvent) { e.Delta = it.Input }))
		b.add(at.with("response.custom_tool_call_input.done", func(e *wireEvent) { e.Input = it.Input }))
	default:
		b.begin(index, begun)
	}
	b.add(wireEvent{Type: "response.output_item.done", OutputIndex: &index, Item: &it})
}

func (b *builder) begin(index int, it item) {
	b.add(wireEvent{Type: "response.output_item.added", OutputIndex: &index, Item: &it})
}

// with returns a copy of the event with another type and what set adds.
func (e wireEvent) with(kind string, set func(*wireEvent)) wireEvent {
	e.Type = kind
	set(&e)
	return e
}

// padding is what OpenAI adds to deltas so that their sizes tell nothing.
func padding(word int) string {
	const letters = "kV3mQ9xZt7RbLw2Y"
	return letters[:max(0, len(letters)-word)%len(letters)]
}
