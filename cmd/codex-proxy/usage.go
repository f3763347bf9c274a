package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
	"codex-proxy/internal/sqlite"
	"codex-proxy/internal/terminal"
)

type usageCommand struct {
	Report  usageReportCommand  `cmd:"" default:"withargs" help:"Report tokens and cost (the default)."`
	Rebuild usageRebuildCommand `cmd:"" help:"Recompute the ledger from the archive."`
}

type usageReportCommand struct {
	From      string `arg:"" optional:"" help:"First day, such as 2026-02-01; the first of this month if left out."`
	To        string `arg:"" optional:"" help:"Last day, inclusive; the first day if left out."`
	By        string `help:"What to group by." enum:"developer,team,model,day,session" default:"developer" env:"-"`
	Timezone  string `help:"Time zone of the days, such as Europe/Berlin." default:"UTC"`
	Developer string `help:"Only this developer's." env:"-"`
	Team      string `help:"Only this team's." env:"-"`
	Model     string `help:"Only this model's." env:"-"`
	CSV       string `name:"csv" help:"Write the report to this file as CSV." placeholder:"FILE" env:"-"`
	jsonFlag
}

// usageRow is a group of the report in JSON. Costs are in USD.
type usageRow struct {
	Developer string `json:"developer,omitempty"`
	Team      string `json:"team,omitempty"`
	Model     string `json:"model,omitempty"`
	Day       string `json:"day,omitempty"`
	Session   string `json:"session,omitempty"`

	Requests        int64            `json:"requests"`
	InputTokens     int64            `json:"input_tokens"`
	CachedTokens    int64            `json:"cached_tokens"`
	OutputTokens    int64            `json:"output_tokens"`
	ReasoningTokens int64            `json:"reasoning_tokens"`
	TotalTokens     int64            `json:"total_tokens"`
	CostUSD         json.Number      `json:"cost_usd"`
	Models          map[string]int64 `json:"models"`
	Errors          int64            `json:"errors"`
	Refused         int64            `json:"refused"`
	Warmups         int64            `json:"warmups"`
	Unpriced        int64            `json:"unpriced"`
	Estimated       int64            `json:"estimated"`
	Missing         int64            `json:"missing_usage"`
}

func newUsageRow(by ledger.By, r ledger.Row) usageRow {
	row := usageRow{
		Requests: r.Requests, InputTokens: r.Usage.Input, CachedTokens: r.Usage.Cached, OutputTokens: r.Usage.Output,
		ReasoningTokens: r.Usage.Reasoning, TotalTokens: r.Usage.Total, CostUSD: usdNumber(r.CostNanos), Models: r.Models,
		Errors: r.Errors, Refused: r.Refused, Warmups: r.Warmups, Unpriced: r.Unpriced, Estimated: r.Estimated, Missing: r.Missing,
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

func (cmd *usageReportCommand) Run(c *console) error {
	zone, err := time.LoadLocation(cmd.Timezone)
	if err != nil {
		return misuse("--timezone %q is no time zone: give a name such as UTC or Europe/Berlin", cmd.Timezone)
	}
	from, to, err := dayRange(cmd.From, cmd.To, zone, now())
	if err != nil {
		return err
	}
	store, err := sqlite.OpenLedger(c.ctx, c.settings.ledgerFile())
	if err != nil {
		return err
	}
	defer store.Close()
	query := ledger.Query{
		From: from, To: to, By: ledger.By(cmd.By), Zone: zone,
		Developer: cmd.Developer, Team: cmd.Team, Model: cmd.Model,
	}
	report, err := ledger.NewReport(c.ctx, store, query)
	if err != nil {
		return err
	}
	if cmd.CSV != "" {
		if err := writeCSV(cmd.CSV, cmd.By, report); err != nil {
			return err
		}
	}
	switch {
	case cmd.JSON:
		return printSafeJSON(c.stdout, map[string]any{
			"from": from.In(zone).Format(time.DateOnly), "to": to.In(zone).AddDate(0, 0, -1).Format(time.DateOnly), "timezone": zone.String(), "by": cmd.By,
			"records": report.Total.Records, "errors": report.Total.Errors,
			"rows":  rows(report.Rows, func(r ledger.Row) usageRow { return newUsageRow(query.By, r) }),
			"total": newUsageRow("", report.Total),
		})
	case cmd.CSV != "":
		_, err := fmt.Fprintf(c.stdout, "Wrote %d rows to %s.\n", len(report.Rows), terminal.Safe(cmd.CSV))
		return err
	default:
		return printUsage(c.stdout, query, report)
	}
}

// dayRange turns the days that a person gave into [from, to). Without any it is
// the current month so far; without the last it is the first one alone.
func dayRange(first, last string, zone *time.Location, now time.Time) (from, to time.Time, err error) {
	today := now.In(zone)
	if first == "" {
		from = time.Date(today.Year(), today.Month(), 1, 0, 0, 0, 0, zone)
		return from, time.Date(today.Year(), today.Month(), today.Day()+1, 0, 0, 0, 0, zone), nil
	}
	if last == "" {
		last = first
	}
	if from, err = time.ParseInLocation(time.DateOnly, first, zone); err != nil {
		return from, to, misuse("%q is no day: write it as 2026-02-16", first)
	}
	if to, err = time.ParseInLocation(time.DateOnly, last, zone); err != nil {
		return from, to, misuse("%q is no day: write it as 2026-02-16", last)
	}
	if to.Before(from) {
		return from, to, misuse("the last day, %s, is before the first, %s", last, first)
	}
	return from, to.AddDate(0, 0, 1), nil
}

// printUsage prints the report for people.
func printUsage(w io.Writer, q ledger.Query, report *ledger.Report) error {
	total := report.Total
	fmt.Fprintf(w, "%s to %s (%s): %s records processed, %s errors\n", q.From.In(q.Zone).Format(time.DateOnly),
		q.To.In(q.Zone).AddDate(0, 0, -1).Format(time.DateOnly), q.Zone, grouped(total.Records), grouped(total.Errors))
	if len(report.Rows) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was used in this time.")
		return err
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(table, "%s\tREQUESTS\tINPUT\tCACHED\tOUTPUT\tTOTAL\tCOST (USD)\t  MODELS\n", strings.ToUpper(string(q.By)))
	for _, r := range append(report.Rows, total) {
		key := terminal.Safe(r.Key)
		if key == "" {
			key = "(none)"
		}
		cost := usdNumber((r.CostNanos + 50_000) / 100_000 * 100_000).String()
		if r.Unpriced > 0 {
			cost = "≥ " + cost
		}
		// The key is the one column that reads from the left.
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t  %s\n", key, grouped(r.Requests), grouped(r.Usage.Input), grouped(r.Usage.Cached),
			grouped(r.Usage.Output), grouped(r.Usage.Total), cost, modelCounts(r.Models))
	}
	if err := leftAlignFirst(w, table); err != nil {
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
	} {
		if note.n > 0 {
			if _, err := fmt.Fprintf(w, "%s %s\n", grouped(note.n), note.text); err != nil {
				return err
			}
		}
	}
	return nil
}

// leftAlignFirst flushes a table whose columns are aligned to the right.
func leftAlignFirst(w io.Writer, table *tabwriter.Writer) error {
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
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

// writeCSV writes the report so that no cell is taken for a formula.
func writeCSV(path, by string, report *ledger.Report) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the CSV file: %w", err)
	}
	defer func() {
		if closed := file.Close(); err == nil {
			err = closed
		}
	}()
	w := csv.NewWriter(file)
	_ = w.Write([]string{by, "requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens", "cost_usd", "models", "errors", "refused", "unpriced", "estimated", "missing_usage"})
	for _, r := range report.Rows {
		line := []string{
			r.Key, fmt.Sprint(r.Requests), fmt.Sprint(r.Usage.Input), fmt.Sprint(r.Usage.Cached), fmt.Sprint(r.Usage.Output), fmt.Sprint(r.Usage.Reasoning),
			fmt.Sprint(r.Usage.Total), usdNumber(r.CostNanos).String(), modelCounts(r.Models),
			fmt.Sprint(r.Errors), fmt.Sprint(r.Refused), fmt.Sprint(r.Unpriced), fmt.Sprint(r.Estimated), fmt.Sprint(r.Missing),
		}
		_ = w.Write(rows(line, noFormula))
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return fmt.Errorf("write the CSV file: %w", err)
	}
	return nil
}

// noFormula keeps a spreadsheet from running what a cell holds.
func noFormula(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

type usageRebuildCommand struct{}

// Help is the long form of the command's help.
func (*usageRebuildCommand) Help() string {
	return "Reads every record, replaces the ledger with what they say, repeats the repricings that the archive notes, and prints what changed. It may run beside a server: new exchanges wait in its spool meanwhile."
}

func (cmd *usageRebuildCommand) Run(c *console) error {
	archive, err := openArchive(c)
	if err != nil {
		return err
	}
	notes, err := readRepricings(c.ctx, archive)
	if err != nil {
		return err
	}
	store, err := sqlite.OpenLedger(c.ctx, c.settings.ledgerFile())
	if err != nil {
		return err
	}
	defer store.Close()
	always := ledger.Query{From: time.Unix(0, 0), To: now().AddDate(100, 0, 0), By: ledger.ByDeveloper, Zone: time.UTC}
	before, err := ledger.NewReport(c.ctx, store, always)
	if err != nil {
		return err
	}
	count, err := store.Rebuild(c.ctx, func(yield func(exchange.Exchange, error) bool) {
		for e, err := range record.Exchanges(c.ctx, archive, record.Filter{First: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Last: now().AddDate(0, 0, 1)}) {
			if err != nil {
				yield(e, fmt.Errorf("read the archive: %w", err))
				return
			}
			for _, note := range notes {
				if !e.Started.Before(note.From) && e.Started.Before(note.To) && e.Cost.State != exchange.CostNone {
					e.Cost = note.book.Rate(e.Model, e.Tier, e.Started, e.Usage)
				}
			}
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("rebuild the ledger (nothing has changed): %w", err)
	}
	after, err := ledger.NewReport(c.ctx, store, always)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stdout, "Rebuilt the ledger from %s records.\n", grouped(int64(count)))
	if before.Total.Counts == after.Total.Counts {
		_, err = fmt.Fprintf(c.stdout, "It agrees with the one before: %s USD, %s tokens.\n", usdNumber(after.Total.CostNanos), grouped(after.Total.Usage.Total))
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "Before: %s records, %s USD, %s tokens.\nNow:    %s records, %s USD, %s tokens.\n",
		grouped(before.Total.Records), usdNumber(before.Total.CostNanos), grouped(before.Total.Usage.Total),
		grouped(after.Total.Records), usdNumber(after.Total.CostNanos), grouped(after.Total.Usage.Total))
	return err
}
