package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/terminal"
)

// jsonFlag is the flag of every command that lists or makes something.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print JSON." env:"-"`
}

// codexAddress is the setting by which developers reach the proxy.
type codexAddress struct {
	PublicURL string `name:"public-url" aliases:"url" help:"Address by which developers reach the proxy (also --url)." default:"http://127.0.0.1:8080" placeholder:"URL"`
}

// baseURL is the address as Codex is to be configured with.
func (a codexAddress) baseURL() (string, error) {
	u, err := url.Parse(a.PublicURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil || strings.ContainsAny(a.PublicURL, "\"\\") {
		return "", misuse("%q is not an address of the proxy: use one such as https://codex-proxy.example.com", a.PublicURL)
	}
	return strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), "/v1") + "/v1", nil
}

// now is the time as stores keep it.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// folded is the id that a person meant; one that cannot be is left for the
// store not to find.
func folded(id string) string {
	if parsed, err := developer.ParseID(id); err == nil {
		return parsed
	}
	return id
}

// explainMissing says what to do when a developer is not found.
func explainMissing(err error, id string) error {
	if errors.Is(err, developer.ErrNotFound) {
		return fmt.Errorf("there is no developer %s: 'codex-proxy developer list' shows all, 'codex-proxy developer add' adds one", terminal.Safe(id))
	}
	return err
}

// rows maps values to what is printed of each; never nil, so that JSON has [].
func rows[T, Row any](values []T, row func(T) Row) []Row {
	all := make([]Row, 0, len(values))
	for _, value := range values {
		all = append(all, row(value))
	}
	return all
}

// printTable prints aligned columns; what cells hold cannot drive the terminal.
func printTable(w io.Writer, header []string, cells [][]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range append([][]string{header}, cells...) {
		safe := rows(line, func(cell string) string {
			if cell == "" {
				return "-"
			}
			return terminal.Safe(cell)
		})
		if _, err := fmt.Fprintln(table, strings.Join(safe, "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
}

// printFields prints one thing, a line for each of its fields.
func printFields(w io.Writer, fields [][2]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, field := range fields {
		value := "-"
		if field[1] != "" {
			value = terminal.Safe(field[1])
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\n", field[0], value); err != nil {
			return err
		}
	}
	return table.Flush()
}

// moment is a time for people to read; empty for none.
func moment(at time.Time) string { return formatted(at, "2006-01-02 15:04 UTC") }

// day is a date for people to read; empty for none.
func day(at time.Time) string { return formatted(at, time.DateOnly) }

func formatted(at time.Time, layout string) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(layout)
}
