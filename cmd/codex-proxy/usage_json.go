package main

import (
	"io"
	"time"

	"codex-proxy/internal/ledger"
)

// printUsageJSON prints the report for programs.
func printUsageJSON(w io.Writer, q ledger.Query, report *ledger.Report, delays ledger.Delays) error {
	return printSafeJSON(w, map[string]any{
		"from": q.From.In(q.Zone).Format(time.DateOnly), "to": lastDay(q.To, q.Zone), "timezone": q.Zone.String(), "by": q.By,
		"records": report.Total.Records, "errors": report.Total.Errors,
		"rows":  rows(report.Rows, func(r ledger.Row) ledger.RowJSON { return r.JSON(q.By) }),
		"total": report.Total.JSON(""), "added_us": newAdded(delays),
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
