package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/terminal"
)

type recordListCommand struct {
	recordDays
	jsonFlag

	Day       string `help:"One day (UTC), such as 2026-02-16, instead of --from and --to." env:"-" placeholder:"DAY"`
	Developer string `help:"Only this developer's." env:"-"`
	Session   string `help:"Only this Codex session's; its first or last 8 characters are enough." env:"-"`
	Model     string `help:"Only those that this model answered." env:"-"`
	Outcome   string `help:"Only those that ended so: completed, failed, upstream_error, client_cancelled, interrupted or refused." env:"-"`
	Limit     int    `help:"How many to list at most; 0 lists all." env:"-" default:"50"`
}

// recordRow is an exchange as record list prints it in JSON; a session and a
// model are there even when there is none.
type recordRow struct {
	exchange.Exchange

	Session string `json:"session"`
	Model   string `json:"model"`
}

func (r *recordListCommand) Run(c *console) error {
	filter, err := r.filter(time.Now())
	if err != nil {
		return err
	}
	archive, err := openArchive(c)
	if err != nil {
		return err
	}
	rows := []recordRow{}
	unread, more := 0, false
	for e, err := range record.Exchanges(c.ctx, archive, filter) {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if err != nil {
			unread++
			warn(c, err)
			continue
		}
		if more = r.Limit > 0 && len(rows) == r.Limit; more {
			break
		}
		rows = append(rows, recordRow{Exchange: e, Session: e.Session, Model: e.Model})
	}
	if r.JSON {
		err = printSafeJSON(c.stdout, rows)
	} else {
		err = r.print(c, filter, rows, more)
	}
	if err != nil {
		return err
	}
	return unreadError(unread)
}

func (r *recordListCommand) filter(now time.Time) (record.Filter, error) {
	if r.Day != "" {
		if r.From != "" || r.To != "" {
			return record.Filter{}, misuse("--day stands alone: give it, or --from and --to")
		}
		if _, err := recordDay("--day", r.Day, now); err != nil {
			return record.Filter{}, err
		}
		r.From, r.To = r.Day, r.Day
	}
	if r.Limit < 0 {
		return record.Filter{}, misuse("--limit %d is negative: 0 lists all", r.Limit)
	}
	switch o := exchange.Outcome(r.Outcome); o {
	case "", exchange.Completed, exchange.Failed, exchange.UpstreamError, exchange.ClientCancelled, exchange.Interrupted, exchange.Refused:
	default:
		return record.Filter{}, misuse("--outcome %q is none: completed, failed, upstream_error, client_cancelled, interrupted or refused", r.Outcome)
	}
	filter, err := r.recordDays.filter(now)
	filter.Developer, filter.Session, filter.Model, filter.Outcome = r.Developer, r.Session, r.Model, exchange.Outcome(r.Outcome)
	return filter, err
}

func (r *recordListCommand) print(c *console, filter record.Filter, rows []recordRow, more bool) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintf(c.stdout, "No exchange %s is on record.\n", recordPeriod(filter))
		return err
	}
	width, onTerminal := terminalWidth(c.stdout)
	if !onTerminal {
		width = 0
	}
	if err := writeRecordTable(c.stdout, rows, width); err != nil {
		return err
	}
	if more {
		_, err := fmt.Fprintf(c.stdout, "… the newest %d %s; --limit 0 lists all.\n", len(rows), recordPeriod(filter))
		return err
	}
	return nil
}

// recordColumn is one column of the list.
type recordColumn struct {
	title string
	right bool
	// least is the narrowest that the column may become; 0 keeps it whole.
	least int
	cell  func(e exchange.Exchange) string
	// narrow is the cell where the whole table would not fit the terminal; nil
	// when it is the same.
	narrow func(e exchange.Exchange) string
}

func recordColumns() []recordColumn {
	return []recordColumn{
		{
			title:  "id",
			cell:   func(e exchange.Exchange) string { return e.ID },
			narrow: func(e exchange.Exchange) string { return e.ID[max(0, len(e.ID)-12):] },
		},
		{
			title:  "started (UTC)",
			cell:   func(e exchange.Exchange) string { return e.Started.UTC().Format(time.DateTime) },
			narrow: func(e exchange.Exchange) string { return e.Started.UTC().Format("01-02 15:04") },
		},
		{title: "developer", least: 10, cell: func(e exchange.Exchange) string { return e.Developer }},
		{
			title:  "session",
			cell:   func(e exchange.Exchange) string { return e.Session },
			narrow: func(e exchange.Exchange) string { return e.Session[max(0, len(e.Session)-8):] },
		},
		{title: "model", least: 8, cell: func(e exchange.Exchange) string { return e.Model }},
		{title: "status", right: true, cell: func(e exchange.Exchange) string {
			if e.Status == 0 {
				return "-"
			}
			return fmt.Sprint(e.Status)
		}},
		{title: "outcome", least: 9, cell: func(e exchange.Exchange) string { return string(e.Outcome) }},
		{title: "tokens", right: true, cell: func(e exchange.Exchange) string { return recordTokens(e.Usage) }},
		{title: "cost", right: true, cell: func(e exchange.Exchange) string { return recordCost(e.Cost) }},
	}
}

// writeRecordTable writes the rows aligned. A width other than 0 is that of the
// terminal: where the table does not fit, ids are shortened to their end (which
// record show takes) and the rest is shortened too.
func writeRecordTable(w io.Writer, rows []recordRow, width int) error {
	columns := recordColumns()
	cells, widths := recordCells(columns, rows)
	if width > 0 && total(widths) > width {
		for i, column := range columns {
			if column.narrow != nil {
				columns[i].cell = column.narrow
				columns[i].title, _, _ = strings.Cut(column.title, " ")
			}
		}
		cells, widths = recordCells(columns, rows)
		for total(widths) > width && narrowWidest(columns, widths) {
		}
	}
	for _, row := range cells {
		var line strings.Builder
		for i, cell := range row {
			cell = shorten(cell, widths[i])
			gap := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if columns[i].right {
				line.WriteString(gap + cell)
			} else {
				line.WriteString(cell + gap)
			}
			line.WriteString(columnGap)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

const columnGap = "  "

// recordCells returns the table's cells, titles first, and the columns' widths.
func recordCells(columns []recordColumn, rows []recordRow) (cells [][]string, widths []int) {
	cells, widths = make([][]string, len(rows)+1), make([]int, len(columns))
	for i, column := range columns {
		cells[0] = append(cells[0], column.title)
		for n, row := range rows {
			cell := terminal.Safe(column.cell(row.Exchange))
			if cell == "" {
				cell = "-"
			}
			cells[n+1] = append(cells[n+1], cell)
		}
		for _, row := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	return cells, widths
}

// narrowWidest takes a character from the widest column that can spare one.
func narrowWidest(columns []recordColumn, widths []int) bool {
	widest := -1
	for i, column := range columns {
		if column.least > 0 && widths[i] > column.least && (widest < 0 || widths[i] > widths[widest]) {
			widest = i
		}
	}
	if widest < 0 {
		return false
	}
	widths[widest]--
	return true
}

// total is how wide a table of such columns is.
func total(widths []int) int {
	sum := len(columnGap) * (len(widths) - 1)
	for _, width := range widths {
		sum += width
	}
	return sum
}

// warn says on the standard error what went wrong without ending the command.
func warn(c *console, err error) {
	fmt.Fprintf(c.stderr, "codex-proxy: %s\n", terminal.Safe(err.Error()))
}

// unreadError fails a command that could not read all records, as its answer may
// not be whole.
func unreadError(unread int) error {
	switch unread {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("one record could not be read, so the answer may not be whole")
	}
	return fmt.Errorf("%d records could not be read, so the answer may not be whole", unread)
}
