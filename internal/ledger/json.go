package ledger

import (
	"encoding/json"

	"codex-proxy/internal/exchange"
)

// CountsJSON is Counts as programs are told them. Tokens and costs of which nothing is
// known are null; Unpriced and Missing say of how many exchanges they lack.
type CountsJSON struct {
	Requests         int64        `json:"requests"`
	InputTokens      *int64       `json:"input_tokens"`
	CachedTokens     *int64       `json:"cached_tokens"`
	CacheWriteTokens *int64       `json:"cache_write_tokens"`
	OutputTokens     *int64       `json:"output_tokens"`
	ReasoningTokens  *int64       `json:"reasoning_tokens"`
	TotalTokens      *int64       `json:"total_tokens"`
	CostUSD          *json.Number `json:"cost_usd"`
	Errors           int64        `json:"errors"`
	ErrorsOpenAI     int64        `json:"errors_openai"`
	ErrorsProxy      int64        `json:"errors_proxy"`
	ErrorsClient     int64        `json:"errors_client"`
	Refused          int64        `json:"refused"`
	Warmups          int64        `json:"warmups"`
	Unpriced         int64        `json:"unpriced"`
	Estimated        int64        `json:"estimated"`
	Missing          int64        `json:"missing_usage"`
	// Secrets count those that came anew, each once for an exchange.
	SecretsReported int64 `json:"secrets_reported"`
	SecretsRedacted int64 `json:"secrets_redacted"`
	SecretsBlocked  int64 `json:"secrets_blocked"`
}

// JSON returns the counts as programs are told them.
func (c Counts) JSON() CountsJSON {
	told := CountsJSON{
		Requests: c.Requests, Errors: c.Errors, ErrorsOpenAI: c.ErrorsBy.OpenAI, ErrorsProxy: c.ErrorsBy.Proxy, ErrorsClient: c.ErrorsBy.Client,
		Refused: c.Refused, Warmups: c.Warmups, Unpriced: c.Unpriced, Estimated: c.Estimated, Missing: c.Missing,
		SecretsReported: c.Secrets.Reported, SecretsRedacted: c.Secrets.Redacted, SecretsBlocked: c.Secrets.Blocked,
	}
	if !c.TokensUnknown() {
		u := c.Usage
		told.InputTokens, told.CachedTokens, told.CacheWriteTokens, told.OutputTokens = &u.Input, &u.Cached, &u.CacheWrite, &u.Output
		told.ReasoningTokens, told.TotalTokens = &u.Reasoning, &u.Total
	}
	if !c.CostUnknown() {
		cost := exchange.USD(c.CostNanos)
		told.CostUSD = &cost
	}
	return told
}
