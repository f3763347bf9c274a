package openai

// Usage is what one answer says it used, in tokens. Cached, which was read from
// the prompt cache, and CacheWrite, which was written to it, are parts of Input,
// and Reasoning is part of Output: none is added again.
type Usage struct {
	Input  int64 `json:"input_tokens"`
	Cached int64 `json:"cached_tokens"`
	// CacheWrite is 0 from models before gpt-5.6, which do not count it.
	CacheWrite int64 `json:"cache_write_tokens,omitempty"`
	Output     int64 `json:"output_tokens"`
	Reasoning  int64 `json:"reasoning_tokens"`
	Total      int64 `json:"total_tokens"`
}

// Add returns the sum of u and v.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		Input:      u.Input + v.Input,
		Cached:     u.Cached + v.Cached,
		CacheWrite: u.CacheWrite + v.CacheWrite,
		Output:     u.Output + v.Output,
		Reasoning:  u.Reasoning + v.Reasoning,
		Total:      u.Total + v.Total,
	}
}

// tokensLimit is beyond any count of tokens that one answer could have used.
const tokensLimit = 1 << 40

// usageShape holds the members of usage as the Responses API names them and, in
// the same order, as chat completions and embeddings do.
var usageShape = newShape([]string{
	"input_tokens",
	"input_tokens_details.cached_tokens",
	"input_tokens_details.cache_write_tokens",
	"output_tokens",
	"output_tokens_details.reasoning_tokens",
	"total_tokens",
	"prompt_tokens",
	"prompt_tokens_details.cached_tokens",
	"prompt_tokens_details.cache_write_tokens",
	"completion_tokens",
	"completion_tokens_details.reasoning_tokens",
})

// readUsage reads a usage object. ok is false when it does not say how many
// tokens were used, or says what can't be: unknown is not zero.
func readUsage(raw []byte) (u Usage, ok bool) {
	f := fieldsOf(usageShape)
	f.Write(raw)
	const responses, chat, total = 0, 6, 5
	api := responses
	if f.raw(responses) == nil {
		api = chat
	}
	ok = f.Done()
	count := func(slot int, required bool) int64 {
		n, is := f.integer(slot)
		absent := f.raw(slot) == nil || string(f.raw(slot)) == "null"
		if absent && required || !absent && (!is || n < 0 || n > tokensLimit) {
			ok = false
		}
		return n
	}
	u = Usage{
		Input:      count(api, true),
		Cached:     count(api+1, false),
		CacheWrite: count(api+2, false),
		Output:     count(api+3, api == responses), // embeddings have none
		Reasoning:  count(api+4, false),
		Total:      count(total, false),
	}
	if u.Total == 0 {
		u.Total = u.Input + u.Output
	}
	if !ok || u.Cached > u.Input || u.CacheWrite > u.Input || u.Reasoning > u.Output {
		return Usage{}, false
	}
	return u, true
}
