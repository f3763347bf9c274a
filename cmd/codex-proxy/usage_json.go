package main

import (
	"encoding/json"
	"io"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// usageRow is a group of the report in JSON. Unpriced and Missing say of how many
// exchanges its amounts lack.
type usageRow struct {
	Developer string `json:"developer,omitempty"`
	Team      string `json:"team,omitempty"`
	Model     string `json:"model,omitempty"`
	Day       string `json:"day,omitempty"`
	Session   string `json:"session,omitempty"`

	Requests int64 `json:"requests"`
	amounts
	Models          map[string]int64 `json:"models"`
	Errors          int64            `json:"errors"`
	ErrorsOpenAI    int64            `json:"errors_openai"` // of the errors, those that OpenAI said
	ErrorsProxy     int64            `json:"errors_proxy"`
	ErrorsClient    int64            `json:"errors_client"`
	Refused         int64            `json:"refused"`
	Warmups         int64            `json:"warmups"`
	Unpriced        int64            `json:"unpriced"`
	Estimated       int64            `json:"estimated"`
	Missing         int64            `json:"missing_usage"`
	SecretsReported int64            `json:"secrets_reported"` // those that came anew, each once for an exchange
	SecretsRedacted int64            `json:"secrets_redacted"`
	SecretsBlocked  int64            `json:"secrets_blocked"`
}

// amounts are tokens and what they cost in JSON, null where nothing is known of them.
type amounts struct {
	InputTokens      *int64       `json:"input_tokens"`
	CachedTokens     *int64       `json:"cached_tokens"`
	CacheWriteTokens *int64       `json:"cache_write_tokens"`
	OutputTokens     *int64       `json:"output_tokens"`
	ReasoningTokens  *int64       `json:"reasoning_tokens"`
	TotalTokens      *int64       `json:"total_tokens"`
	CostUSD          *json.Number `json:"cost_usd"`
}

func newAmounts(c ledger.Counts) (a amounts) {
	if !c.TokensUnknown() {
		u := c.Usage
		a.InputTokens, a.CachedTokens, a.CacheWriteTokens, a.OutputTokens = &u.Input, &u.Cached, &u.CacheWrite, &u.Output
		a.ReasoningTokens, a.TotalTokens = &u.Reasoning, &u.Total
	}
	if !c.CostUnknown() {
		cost := exchange.USD(c.CostNanos)
		a.CostUSD = &cost
	}
	return a
}

func newUsageRow(by ledger.By, r ledger.Row) usageRow {
	row := usageRow{
		Requests: r.Requests, amounts: newAmounts(r.Counts), Models: r.Models, Refused: r.Refused, Warmups: r.Warmups,
		Errors: r.Errors, ErrorsOpenAI: r.ErrorsBy.OpenAI, ErrorsProxy: r.ErrorsBy.Proxy, ErrorsClient: r.ErrorsBy.Client,
		Unpriced: r.Unpriced, Estimated: r.Estimated, Missing: r.Missing,
		SecretsReported: r.Secrets.Reported, SecretsRedacted: r.Secrets.Redacted, SecretsBlocked: r.Secrets.Blocked,
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
func printUsageJSON(w io.Writer, q ledger.Query, report *ledger.Report, delays ledger.Delays) error {
	return printSafeJSON(w, map[string]any{
		"from": q.From.In(q.Zone).Format(time.DateOnly), "to": lastDay(q.To, q.Zone), "timezone": q.Zone.String(), "by": q.By,
		"records": report.Total.Records, "errors": report.Total.Errors,
		"rows":  rows(report.Rows, func(r ledger.Row) usageRow { return newUsageRow(q.By, r) }),
		"total": newUsageRow("", report.Total), "added_us": newAdded(delays),
	})
}

// added is the time that the proxy added to exchanges, in microseconds: half of them
// stayed within P50.
type added struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
}

// newAdded returns nil where there is nothing to tell of.
func newAdded(delays ledger.Delays) *added {
	p50, ok := delays.Percentile(50)
	if !ok {
		return nil
	}
	p99, _ := delays.Percentile(99)
	return &added{p50.Microseconds(), p99.Microseconds()}
}
