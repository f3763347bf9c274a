package simulated

import (
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"strings"

	"codex-proxy/internal/openai"
)

// The types here are OpenAI's own JSON, as the Responses API writes it. Fields
// that only some kinds have are left out where they are nil; an empty list that
// belongs there is not nil.

// event is one event of a stream, encoded.
type event struct {
	name string // the SSE event's name; empty in chat completions
	data []byte
	// stamp is where data has room for the time of sending; 0 is nowhere.
	stamp int
}

// wireEvent is an event of /v1/responses.
type wireEvent struct {
	Type           string        `json:"type"`
	SequenceNumber int           `json:"sequence_number"`
	Response       *response     `json:"response,omitzero"`
	ItemID         string        `json:"item_id,omitzero"`
	OutputIndex    *int          `json:"output_index,omitzero"`
	ContentIndex   *int          `json:"content_index,omitzero"`
	SummaryIndex   *int          `json:"summary_index,omitzero"`
	Item           *item         `json:"item,omitzero"`
	Part           *part         `json:"part,omitzero"`
	Delta          *string       `json:"delta,omitzero"`
	Text           *string       `json:"text,omitzero"`
	Arguments      *string       `json:"arguments,omitzero"`
	Input          *string       `json:"input,omitzero"`
	Logprobs       []struct{}    `json:"logprobs,omitzero"`
	Obfuscation    string        `json:"obfuscation,omitzero"`
	Error          *responseFail `json:"error,omitzero"`
}

// response is the object that the first and last events carry, and that an
// answer without a stream is.
type response struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	CreatedAt          int64             `json:"created_at"`
	Status             string            `json:"status"`
	Background         bool              `json:"background"`
	Error              *responseFail     `json:"error"`
	IncompleteDetails  *incomplete       `json:"incomplete_details"`
	Instructions       *string           `json:"instructions"`
	MaxOutputTokens    *int64            `json:"max_output_tokens"`
	Model              string            `json:"model"`
	Output             []item            `json:"output"`
	ParallelToolCalls  bool              `json:"parallel_tool_calls"`
	PreviousResponseID *string           `json:"previous_response_id"`
	PromptCacheKey     *string           `json:"prompt_cache_key"`
	Reasoning          map[string]string `json:"reasoning"`
	ServiceTier        string            `json:"service_tier"`
	Store              bool              `json:"store"`
	Temperature        float64           `json:"temperature"`
	ToolChoice         string            `json:"tool_choice"`
	Tools              []struct{}        `json:"tools"`
	TopP               float64           `json:"top_p"`
	Truncation         string            `json:"truncation"`
	Usage              *usage            `json:"usage"`
	User               *string           `json:"user"`
	Metadata           struct{}          `json:"metadata"`
}

type responseFail struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type incomplete struct {
	Reason string `json:"reason"`
}

// item is one item of the output.
type item struct {
	ID               string  `json:"id"`
	Type             string  `json:"type"`
	Status           string  `json:"status,omitzero"`
	Content          []part  `json:"content,omitzero"`
	Role             string  `json:"role,omitzero"`
	Summary          []part  `json:"summary,omitzero"`
	EncryptedContent string  `json:"encrypted_content,omitzero"`
	Arguments        *string `json:"arguments,omitzero"`
	Input            *string `json:"input,omitzero"`
	CallID           string  `json:"call_id,omitzero"`
	Name             string  `json:"name,omitzero"`
}

// part is one part of a message's content or of a reasoning summary.
type part struct {
	Type        string     `json:"type"`
	Annotations []struct{} `json:"annotations,omitzero"`
	Logprobs    []struct{} `json:"logprobs,omitzero"`
	Text        string     `json:"text"`
}

func outputText(text string) part {
	return part{Type: "output_text", Annotations: []struct{}{}, Logprobs: []struct{}{}, Text: text}
}

func summaryText(text string) part {
	return part{Type: "summary_text", Text: text}
}

// usage is openai.Usage in the words of the Responses API.
type usage struct {
	openai.Usage
}

func (u usage) MarshalJSON() ([]byte, error) {
	var wire struct {
		InputTokens        int64 `json:"input_tokens"`
		InputTokensDetails struct {
			CachedTokens int64 `json:"cached_tokens"`
		} `json:"input_tokens_details"`
		OutputTokens        int64 `json:"output_tokens"`
		OutputTokensDetails struct {
			ReasoningTokens int64 `json:"reasoning_tokens"`
		} `json:"output_tokens_details"`
		TotalTokens int64 `json:"total_tokens"`
	}
	wire.InputTokens = u.Input
	wire.InputTokensDetails.CachedTokens = u.Cached
	wire.OutputTokens = u.Output
	wire.OutputTokensDetails.ReasoningTokens = u.Reasoning
	wire.TotalTokens = u.Total
	return json.Marshal(wire)
}

// tokens estimates how many tokens so many bytes are.
func tokens(bytes int64) int64 { return (bytes + 3) / 4 }

// newID returns a new id with the prefix that OpenAI gives its kind.
func newID(prefix string) string {
	var raw [24]byte
	for i := 0; i < len(raw); i += 8 {
		bits := rand.Uint64()
		for j := range 8 {
			raw[i+j] = byte(bits >> (8 * j))
		}
	}
	return prefix + hex.EncodeToString(raw[:])
}

// snapshot is the dated model that answers when an undated one is asked for.
// The Codex models answer by their own name.
func snapshot(model string) string {
	switch model {
	case "gpt-5.1":
		return "gpt-5.1-2025-11-13"
	case "gpt-5":
		return "gpt-5-2025-08-07"
	case "gpt-5-mini":
		return "gpt-5-mini-2025-08-07"
	case "gpt-4.1":
		return "gpt-4.1-2025-04-14"
	case "gpt-4o":
		return "gpt-4o-2024-08-06"
	case "gpt-4o-mini":
		return "gpt-4o-mini-2024-07-18"
	default:
		return model
	}
}

// words cuts a text into pieces that end where a word does, as a model streams
// it. Joined, they are the text.
func words(text string) []string {
	var pieces []string
	for text != "" {
		end := strings.IndexAny(text[1:], " \n") + 1
		if end == 0 {
			end = len(text)
		}
		pieces = append(pieces, text[:end])
		text = text[end:]
	}
	return pieces
}
