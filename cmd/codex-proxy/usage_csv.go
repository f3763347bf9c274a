package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

// writeUsageCSV writes the report so that no cell is taken for a formula. What
// is not known is an empty cell.
func writeUsageCSV(path string, by ledger.By, report *ledger.Report) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the CSV file: %w", err)
	}
	w := csv.NewWriter(file)
	_ = w.Write([]string{ // what fails, Error says
		string(by), "requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens", "cost_usd",
		"models", "errors", "refused", "warmups", "unpriced", "estimated", "missing_usage",
		"secrets_reported", "secrets_redacted", "secrets_blocked",
	})
	for _, r := range report.Rows {
		_ = w.Write(rows(usageCells(r), noFormula))
	}
	w.Flush()
	if err := errors.Join(w.Error(), file.Close()); err != nil {
		return fmt.Errorf("write the CSV file: %w", err)
	}
	return nil
}

func usageCells(r ledger.Row) []string {
	tokens, cost := make([]string, 5), ""
	if !r.TokensUnknown() {
		u := r.Usage
		tokens = rows([]int64{u.Input, u.Cached, u.Output, u.Reasoning, u.Total}, decimalText)
	}
	if !r.CostUnknown() {
		cost = exchange.USD(r.CostNanos).String()
	}
	return slices.Concat([]string{terminal.Safe(r.Key), decimalText(r.Requests)}, tokens, []string{cost, modelCounts(r.Models)},
		rows([]int64{
			r.Errors, r.Refused, r.Warmups, r.Unpriced, r.Estimated, r.Missing,
			r.Secrets.Reported, r.Secrets.Redacted, r.Secrets.Blocked,
		}, decimalText))
}

func decimalText(n int64) string { return strconv.FormatInt(n, 10) }

// noFormula keeps a spreadsheet from running what a cell holds. Some look past
// white space at its beginning, and at full-width characters.
func noFormula(cell string) string {
	if strings.IndexAny(strings.TrimSpace(cell), "=+-@＝＋－＠") == 0 {
		return "'" + cell
	}
	return cell
}
