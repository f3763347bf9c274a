package numbers

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"
	"time"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

// overviewCSV writes one of the overview's tables: its groups, its groups by step,
// or its errors by step.
func (v *view) overviewCSV() error {
	o, err := v.read()
	if err != nil {
		return err
	}
	m, _ := findMetric(o.filter.Metric)
	var lines [][]string
	table := v.R.URL.Query().Get("table")
	switch table {
	case "groups":
		lines = append(lines, append([]string{string(o.filter.By)}, countColumns...))
		for _, key := range o.now.ranked(m) {
			lines = append(lines, append([]string{v.exported(o.filter, key)}, countCells(o.now.Groups[key])...))
		}
	case "steps":
		lines = append(lines, append([]string{"from", "to", string(o.filter.By)}, countColumns...))
		for i, begin := range o.period.Begins {
			for _, key := range o.now.ranked(m) {
				if g := o.now.Steps[i].Groups[key]; g != nil {
					lines = append(lines, append([]string{moment(begin), moment(o.period.end(i)), v.exported(o.filter, key)}, countCells(g)...))
				}
			}
		}
	case "errors":
		lines = append(lines, []string{"from", "to", "requests", "warmups", "errors", "errors_openai", "errors_proxy", "errors_client"})
		for i, begin := range o.period.Begins {
			t := &o.now.Steps[i].Total
			lines = append(lines, append([]string{moment(begin), moment(o.period.end(i))},
				decimals(t.Requests, t.Warmups, t.Errors, t.ErrorsBy.OpenAI, t.ErrorsBy.Proxy, t.ErrorsBy.Client)...))
		}
	default:
		return visit.BadRequest("There is no such table: they are groups, steps and errors.")
	}
	return v.csv("overview-"+table+"-"+o.filter.From+"-"+o.filter.To, lines)
}

// moment is a time for a spreadsheet, with the offset of its zone.
func moment(t time.Time) string { return t.Format(time.RFC3339) }

// exported is a group's name in a CSV file; of exchanges without one it is empty.
func (v *view) exported(f filter, key string) string {
	if f.By == ledger.ByDeveloper {
		key = v.name(key)
	}
	return terminal.Safe(key)
}

var countColumns = []string{
	"requests", "active_developers", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens", "cost_usd",
	"errors", "errors_openai", "errors_proxy", "errors_client", "refused", "warmups", "unpriced", "estimated", "missing_usage",
	"secrets_reported", "secrets_redacted", "secrets_blocked",
}

// countCells are the cells of countColumns. What is not known is an empty cell.
func countCells(g *group) []string {
	tokens, cost := make([]string, 5), ""
	if !g.TokensUnknown() {
		tokens = decimals(g.Usage.Input, g.Usage.Cached, g.Usage.Output, g.Usage.Reasoning, g.Usage.Total)
	}
	if !g.CostUnknown() {
		cost = exchange.USD(g.CostNanos).String()
	}
	cells := append(decimals(g.Requests, g.Developers()), tokens...)
	return append(append(cells, cost), decimals(
		g.Errors, g.ErrorsBy.OpenAI, g.ErrorsBy.Proxy, g.ErrorsBy.Client, g.Refused, g.Warmups, g.Unpriced, g.Estimated, g.Missing,
		g.Secrets.Reported, g.Secrets.Redacted, g.Secrets.Blocked)...)
}

func decimals(numbers ...int64) []string {
	cells := make([]string, len(numbers))
	for i, n := range numbers {
		cells[i] = strconv.FormatInt(n, 10)
	}
	return cells
}

// csv answers with a file in which no cell is taken for a formula.
func (v *view) csv(name string, lines [][]string) error {
	var file bytes.Buffer
	w := csv.NewWriter(&file)
	for _, line := range lines {
		for i := range line {
			line[i] = noFormula(line[i])
		}
		_ = w.Write(line) // Error tells
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	v.W.Header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	_, err := v.File("text/csv; charset=utf-8").Write(file.Bytes())
	return err
}

// noFormula keeps a spreadsheet from running what a cell holds. Some look past
// white space at its beginning, and at full-width characters.
func noFormula(cell string) string {
	if _, err := strconv.ParseFloat(cell, 64); err != nil && strings.IndexAny(strings.TrimSpace(cell), "=+-@＝＋－＠") == 0 {
		return "'" + cell
	}
	return cell
}
