package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/terminal"
)

// recordCommand looks things up in the archive.
type recordCommand struct {
	List   recordListCommand   `cmd:"" help:"List exchanges, the newest first."`
	Show   recordShowCommand   `cmd:"" help:"Show one exchange: who, when, what it cost, and the conversation."`
	Search recordSearchCommand `cmd:"" help:"Search what was sent and answered for a text."`
	Export recordExportCommand `cmd:"" help:"Write one row an exchange as Parquet, for Athena and DuckDB."`
	Origin recordOriginCommand `cmd:"" help:"Who said this? Finds where an error that a developer saw came from."`
}

// recordDays are the days of the records that a command looks at.
type recordDays struct {
	From string `help:"First day (UTC), such as 2026-02-16. By default 30 days before the last." env:"-" placeholder:"DAY"`
	To   string `help:"Last day (UTC), inclusive. By default today." env:"-" placeholder:"DAY"`
}

// filter returns the records of the days.
func (d *recordDays) filter(now time.Time) (record.Filter, error) {
	const lookBack = 30 // days
	today := now.UTC().Truncate(24 * time.Hour)
	last, err := recordDay("--to", d.To, today)
	if err != nil {
		return record.Filter{}, err
	}
	first, err := recordDay("--from", d.From, last.AddDate(0, 0, -lookBack))
	if err != nil {
		return record.Filter{}, err
	}
	if last.Before(first) {
		return record.Filter{}, misuse("--from %s is after --to %s", first.Format(time.DateOnly), last.Format(time.DateOnly))
	}
	return record.Filter{First: first, Last: last}, nil
}

func recordDay(flag, text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		return otherwise, nil
	}
	day, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return time.Time{}, misuse("%s %q is not a day: write it as 2026-02-16", flag, text)
	}
	return day, nil
}

// recordPeriod names the days of a filter.
func recordPeriod(f record.Filter) string {
	first, last := f.First.Format(time.DateOnly), f.Last.Format(time.DateOnly)
	if first == last {
		return "on " + first + " (UTC)"
	}
	return "from " + first + " to " + last + " (UTC)"
}

// printSafeJSON prints a value as JSON that cannot drive a terminal either: what
// could is escaped, which means the same to a program.
func printSafeJSON(w io.Writer, value any) error {
	text, err := safeJSON(value, "")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text+"\n")
	return err
}

// safeJSON is a value as JSON, every line but the first behind a prefix.
func safeJSON(value any, prefix string) (string, error) {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent(prefix, "  ")
	if err := encoder.Encode(value); err != nil {
		return "", fmt.Errorf("encode as JSON: %w", err)
	}
	return escapeJSON(strings.TrimSuffix(out.String(), "\n")), nil
}

// escapeJSON writes the characters that terminal.SafeLines would replace as
// JSON escapes. JSON has such characters inside strings only.
func escapeJSON(text string) string {
	if terminal.SafeLines(text) == text {
		return text
	}
	var out strings.Builder
	for _, char := range text {
		if s := string(char); terminal.SafeLines(s) == s {
			out.WriteRune(char)
		} else {
			fmt.Fprintf(&out, `\u%04x`, char)
		}
	}
	return out.String()
}

// terminalWidth is the width in columns of the terminal that w is, and false
// when w is none.
func terminalWidth(w io.Writer) (int, bool) {
	file, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(file.Fd()) {
		return 0, false
	}
	width, _, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// recordTokens is the total tokens of an exchange for a person: unknown is not
// zero.
func recordTokens(u exchange.Usage) string {
	switch u.State {
	case exchange.UsageMissing:
		return "unknown"
	case exchange.UsageEstimated:
		return "~" + thousands(u.Total)
	case exchange.UsageExact:
		return thousands(u.Total)
	}
	return "-"
}

// recordCost is the cost of an exchange for a person, in USD.
func recordCost(c exchange.Cost) string {
	switch c.State {
	case exchange.CostUnpriced:
		return "unpriced"
	case exchange.CostPriced:
		// Hundredths of a cent, as one exchange often costs less than a cent.
		const unit = 100_000
		units := (c.Nanos + unit/2) / unit
		if units == 0 && c.Nanos > 0 {
			return "<$0.0001"
		}
		return fmt.Sprintf("$%d.%04d", units/10_000, units%10_000)
	}
	return "-"
}

// thousands writes a number with its digits in groups of three.
func thousands(n int64) string {
	digits := fmt.Sprint(n)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// oneLine is text as one line, its white space folded.
func oneLine(text string) string { return strings.Join(strings.FieldsFunc(text, unicode.IsSpace), " ") }

// shorten returns at most the given number of characters of text.
func shorten(text string, characters int) string {
	runes := []rune(text)
	if len(runes) <= characters {
		return text
	}
	return string(runes[:max(0, characters-1)]) + "…"
}
