package main

import (
	"encoding/json"
	"io"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// usageRow is a group of the report in JSON. Tokens and costs of which nothing
// is known are null; Unpriced and Missing say of how many exchanges they lack.
type usageRow struct {
	Developer string `json:"developer,omitempty"`
	Team      string `json:"team,omitempty"`
	Model     string `json:"model,omitempty"`
	Day       string `json:"day,omitempty"`
	Session   string `json:"session,omitempty"`

	Requests         int64            `json:"requests"`
	InputTokens      *int64           `json:"input_tokens"`
	CachedTokens     *int64           `json:"cached_tokens"`
	CacheWriteTokens *int64           `json:"cache_write_tokens"`
	OutputTokens     *int64           `json:"output_tokens"`
	ReasoningTokens  *int64           `json:"reasoning_tokens"`
	TotalTokens      *int64           `json:"total_tokens"`
	CostUSD          *json.Number     `json:"cost_usd"`
	Models           map[string]int64 `json:"models"`
	Errors           int64            `json:"errors"`
	Refused          int64            `json:"refused"`
	Warmups          int64            `json:"warmups"`
	Unpriced         int64            `json:"unpriced"`
	Estimated        int64            `json:"estimated"`
	Missing          int64            `json:"missing_usage"`
	SecretsReported  int64            `json:"secrets_reported"` // those that came anew, each once for an exchange
	SecretsRedacted  int64            `json:"secrets_redacted"`
	SecretsBlocked   int64            `json:"secrets_blocked"`
}

func newUsageRow(by ledger.By, r ledger.Row) usageRow {
	row := usageRow{
		Requests: r.Requests, Models: r.Models, Errors: r.Errors, Refused: r.Refused, Warmups: r.Warmups,
		Unpriced: r.Unpriced, Estimated: r.Estimated, Missing: r.Missing,
		SecretsReported: r.Secrets.Reported, SecretsRedacted: r.Secrets.Redacted, SecretsBlocked: r.Secrets.Blocked,
	}
	if !r.TokensUnknown() {
		u := r.Usage
		row.InputTokens, row.CachedTokens, row.CacheWriteTokens, row.OutputTokens = &u.Input, &u.Cached, &u.CacheWrite, &u.Output
		row.ReasoningTokens, row.TotalTokens = &u.Reasoning, &u.Total
	}
	if !r.CostUnknown() {
		cost := exchange.USD(r.CostNanos)
		row.CostUSD = &cost
	}
	switch by {
	case ledger.ByDeveloper:
		row.Developer = r.Key
	case ledger.ByTeam:
		row.Team = r.Key
	case ledger.ByModel:
		row.Model = r.Key
	case ledger.ByDay:
		row.Day = r.Key
	case ledger.BySession:
		row.Session = r.Key
	}
	return row
}

// printUsageJSON prints the report for programs.
func printUsageJSON(w io.Writer, q ledger.Query, report *ledger.Report) error {
	return printSafeJSON(w, map[string]any{
		"from": q.From.In(q.Zone).Format(time.DateOnly), "to": lastDay(q.To, q.Zone), "timezone": q.Zone.String(), "by": q.By,
		"records": report.Total.Records, "errors": report.Total.Errors,
		"rows":  rows(report.Rows, func(r ledger.Row) usageRow { return newUsageRow(q.By, r) }),
		"total": newUsageRow("", report.Total),
	})
}
