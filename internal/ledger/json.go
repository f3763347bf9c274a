package ledger

import (
	"encoding/json"

	"codex-proxy/internal/exchange"
)

// UseJSON is what exchanges used and how they ended, as programs are told it: Counts
// without secrets. Tokens and costs of which nothing is known are null; Unpriced and
// Missing say of how many exchanges they lack.
type UseJSON struct {
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
}

// Use returns what the exchanges used, for sums that know nothing of secrets.
func (c Counts) Use() UseJSON {
	told := UseJSON{
		Requests: c.Requests, Errors: c.Errors, ErrorsOpenAI: c.ErrorsBy.OpenAI, ErrorsProxy: c.ErrorsBy.Proxy, ErrorsClient: c.ErrorsBy.Client,
		Refused: c.Refused, Warmups: c.Warmups, Unpriced: c.Unpriced, Estimated: c.Estimated, Missing: c.Missing,
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

// CountsJSON is Counts as programs are told them.
type CountsJSON struct {
	UseJSON
	// Secrets count those that came anew, each once for an exchange.
	SecretsReported int64 `json:"secrets_reported"`
	SecretsRedacted int64 `json:"secrets_redacted"`
	SecretsBlocked  int64 `json:"secrets_blocked"`
}

// JSON returns the counts as programs are told them.
func (c Counts) JSON() CountsJSON {
	return CountsJSON{c.Use(), c.Secrets.Reported, c.Secrets.Redacted, c.Secrets.Blocked}
}

// RowJSON is a Row as programs are told it.
type RowJSON struct {
	// One of these names the group.
	Developer string `json:"developer,omitempty"`
	Team      string `json:"team,omitempty"`
	Model     string `json:"model,omitempty"`
	Day       string `json:"day,omitempty"`
	Session   string `json:"session,omitempty"`

	CountsJSON
	Models map[string]int64 `json:"models"`
}

// JSON returns a row of a report by something as programs are told it; the total is by
// nothing.
func (r Row) JSON(by By) RowJSON {
	told := RowJSON{CountsJSON: r.Counts.JSON(), Models: r.Models}
	switch by {
	case ByDeveloper:
		told.Developer = r.Key
	case ByTeam:
		told.Team = r.Key
	case ByModel:
		told.Model = r.Key
	case ByDay:
		told.Day = r.Key
	case BySession:
		told.Session = r.Key
	}
	return told
}
