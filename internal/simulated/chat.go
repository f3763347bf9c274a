package simulated

import (
	"cmp"
	"net/http"
	"strings"

	"codex-proxy/internal/openai"
)

// chatCompletion is an answer of /v1/chat/completions, or one chunk of it.
type chatCompletion struct {
	ID          string       `json:"id"`
	Object      string       `json:"object"`
	Created     int64        `json:"created"`
	Model       string       `json:"model"`
	ServiceTier string       `json:"service_tier"`
	Choices     []chatChoice `json:"choices"`
	Usage       *chatUsage   `json:"usage,omitzero"`
}

type chatChoice struct {
	Index        int          `json:"index"`
	Message      *chatMessage `json:"message,omitzero"`
	Delta        *chatMessage `json:"delta,omitzero"`
	FinishReason *string      `json:"finish_reason"`
}

type chatMessage struct {
	Role    string  `json:"role,omitzero"`
	Content *string `json:"content,omitzero"`
}

type chatUsage struct {
	PromptTokens        int64         `json:"prompt_tokens"`
	CompletionTokens    int64         `json:"completion_tokens"`
	TotalTokens         int64         `json:"total_tokens"`
	PromptTokensDetails promptDetails `json:"prompt_tokens_details"`
}

type promptDetails struct {
	CachedTokens int64 `json:"cached_tokens"`
}

// chat answers POST /v1/chat/completions, with text only.
func (x *turn) chat() {
	c, answer, ok := x.modelCall()
	if !ok {
		return
	}
	if answer.synthetic != nil {
		answer.Text = strings.Repeat("word ", answer.synthetic.events)
	}
	now := c.conversation()
	used := x.usage(c, now.size, answer, answer.items(now.shell))
	whole := chatCompletion{
		ID:          newID("chatcmpl-"),
		Object:      "chat.completion",
		Created:     x.options.Now().Unix(),
		Model:       cmp.Or(answer.Model, snapshot(c.model)),
		ServiceTier: cmp.Or(answer.ServiceTier, answeredTier(c.serviceTier)),
	}
	if c.stream {
		x.stream(chatEvents(whole, answer.Text, used, c.usage, &answer.Fault), &answer.Fault)
		return
	}
	finish := finishReason(&answer.Fault)
	whole.Choices = []chatChoice{{Message: &chatMessage{Role: "assistant", Content: &answer.Text}, FinishReason: &finish}}
	if answer.Fault.Break != BreakNoUsage {
		whole.Usage = inChat(used)
	}
	x.document(http.StatusOK, marshal(whole), &answer.Fault)
}

// chatEvents are the chunks of a streamed chat completion. Usage comes in a
// chunk of its own, for those who asked.
func chatEvents(chunk chatCompletion, text string, used openai.Usage, withUsage bool, fault *Fault) []event {
	chunk.Object = "chat.completion.chunk"
	var events []event
	add := func(choices ...chatChoice) {
		chunk.Choices = choices
		events = append(events, event{data: marshal(chunk)})
	}
	empty := ""
	add(chatChoice{Delta: &chatMessage{Role: "assistant", Content: &empty}})
	for _, word := range words(text) {
		add(chatChoice{Delta: &chatMessage{Content: &word}})
	}
	if fault.Break == BreakFailed {
		events = events[:min(fault.After, len(events))]
		return append(events, event{data: marshal(map[string]any{"error": fault.apiError().object()})})
	}
	finish := finishReason(fault)
	add(chatChoice{Delta: &chatMessage{}, FinishReason: &finish})
	if withUsage && fault.Break != BreakNoUsage {
		chunk.Usage = inChat(used)
		chunk.Choices = []chatChoice{}
		events = append(events, event{data: marshal(chunk)})
	}
	return append(events, event{data: []byte("[DONE]")})
}

func finishReason(fault *Fault) string {
	if fault.Break == BreakIncomplete {
		return "length"
	}
	return "stop"
}

func inChat(u openai.Usage) *chatUsage {
	return &chatUsage{
		PromptTokens: u.Input, CompletionTokens: u.Output, TotalTokens: u.Total,
		PromptTokensDetails: promptDetails{CachedTokens: u.Cached},
	}
}
