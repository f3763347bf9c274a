package openai

// Usage is what one answer says it used, in tokens. Cached is part of Input and
// Reasoning is part of Output: neither is added again.
type Usage struct {
	Input     int64 `json:"input_tokens"`
	Cached    int64 `json:"cached_tokens"`
	Output    int64 `json:"output_tokens"`
	Reasoning int64 `json:"reasoning_tokens"`
	Total     int64 `json:"total_tokens"`
}

// Add returns the sum of u and v.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		Input:     u.Input + v.Input,
		Cached:    u.Cached + v.Cached,
		Output:    u.Output + v.Output,
		Reasoning: u.Reasoning + v.Reasoning,
		Total:     u.Total + v.Total,
	}
}
