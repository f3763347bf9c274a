package main

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

// printUsage prints the report for people.
func printUsage(w io.Writer, q ledger.Query, report *ledger.Report) error {
	total := report.Total
	if _, err := fmt.Fprintf(w, "%s to %s (%s): %s records processed, %s errors\n", q.From.In(q.Zone).Format(time.DateOnly),
		lastDay(q.To, q.Zone), q.Zone, grouped(total.Records), grouped(total.Errors)); err != nil {
		return err
	}
	if len(report.Rows) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was used in this time.")
		return err
	}
	// The column of secrets stands only where there are any.
	optional := func(cell string) []string {
		if total.Secrets.Total() == 0 {
			return nil
		}
		return []string{cell}
	}
	table := [][]string{slices.Concat(
		[]string{strings.ToUpper(string(q.By)), "REQUESTS", "INPUT", "CACHED", "OUTPUT", "TOTAL", "COST (USD)"},
		optional("SECRETS"), []string{"MODELS"},
	)}
	for _, r := range append(report.Rows, total) {
		key := terminal.Safe(r.Key)
		if key == "" {
			key = "(none)"
		}
		table = append(table, slices.Concat([]string{
			key, grouped(r.Requests), tokensCell(r.Counts, r.Usage.Input), tokensCell(r.Counts, r.Usage.Cached),
			tokensCell(r.Counts, r.Usage.Output), tokensCell(r.Counts, r.Usage.Total), costCell(r.Counts),
		}, optional(grouped(r.Secrets.Total())), []string{modelCounts(r.Models)}))
	}
	if _, err := io.WriteString(w, "\n"+aligned(table)+"\n"); err != nil {
		return err
	}
	for _, note := range []struct {
		n    int64
		text string
	}{
		{total.Unpriced, "unpriced: their model, tier or usage has no price ('codex-proxy price list'); they are not in the cost"},
		{total.Estimated, "estimated: their answers broke off before OpenAI said what they used"},
		{total.Missing, "without usage: OpenAI's answer did not say what they used"},
		{total.Refused, "refused by the proxy: not among the requests"},
		{total.Warmups, "WebSocket warm-ups: not among the requests"},
		{total.Secrets.Reported, "of the secrets left as found ('codex-proxy secrets list --mode report' lists them)"},
		{total.Secrets.Redacted, "of the secrets never left: placeholders did instead"},
		{total.Secrets.Blocked, "of the secrets never left: the requests were refused"},
	} {
		if note.n > 0 {
			if _, err := fmt.Fprintf(w, "%s %s\n", grouped(note.n), note.text); err != nil {
				return err
			}
		}
	}
	return nil
}

// tokensCell is a sum of tokens, and how well it is known.
func tokensCell(c ledger.Counts, tokens int64) string {
	if c.TokensUnknown() {
		return "unknown"
	}
	return knownAs(c.Missing > 0, c.Estimated > 0) + grouped(tokens)
}

// costCell is a cost in USD, and how well it is known.
func costCell(c ledger.Counts) string { return costIn("", c) }

// dollars is costCell with the sign of the currency.
func dollars(c ledger.Counts) string { return costIn("$", c) }

func costIn(sign string, c ledger.Counts) string {
	switch {
	case c.CostUnknown():
		return "unpriced"
	case c.CostNanos > 0 && c.CostNanos < 50_000 && c.Unpriced == 0:
		return "<" + sign + "0.0001"
	}
	const tenth = 100_000 // of a thousandth of a dollar, in nanos
	return knownAs(c.Unpriced > 0, c.Estimated > 0) + sign + exchange.Decimal((c.CostNanos+tenth/2)/tenth, 4, 4).String()
}

// knownAs marks a sum that lacks a part, or holds one that is estimated.
func knownAs(lacking, estimated bool) string {
	switch {
	case lacking:
		return "≥ "
	case estimated:
		return "~"
	}
	return ""
}

// aligned lays out a table: the first and the last column read from the left,
// the numbers between them end at the right.
func aligned(table [][]string) string {
	widths := make([]int, len(table[0]))
	for _, line := range table {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var out strings.Builder
	for _, line := range table {
		var text strings.Builder
		for i, cell := range line {
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 && i < len(line)-1 {
				cell, gap = gap+cell, ""
			}
			text.WriteString(cell + gap + columnGap)
		}
		out.WriteString(strings.TrimRight(text.String(), " ") + "\n")
	}
	return out.String()
}

// modelCounts prints models and how often each answered, the most frequent
// first.
func modelCounts(models map[string]int64) string {
	names := make([]string, 0, len(models))
	for name := range models {
		names = append(names, name)
	}
	sort.Slice(names, func(i, k int) bool {
		if models[names[i]] != models[names[k]] {
			return models[names[i]] > models[names[k]]
		}
		return names[i] < names[k]
	})
	return strings.Join(rows(names, func(name string) string {
		return fmt.Sprintf("%s (%s)", terminal.Safe(name), grouped(models[name]))
	}), ", ")
}
