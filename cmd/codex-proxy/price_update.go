package main

import (
	"fmt"
	"strings"
)

type priceUpdateCommand struct {
	File string `arg:"" help:"Price file (TOML), in the form of the built-in one."`
}

func (cmd *priceUpdateCommand) Run(c *console) error {
	before, err := c.settings.priceBook()
	if err != nil {
		return err
	}
	after, err := c.settings.priceBookWith(cmd.File)
	if err != nil {
		return err
	}
	changed := priceChanges(priceRows(before), priceRows(after))
	if len(changed) == 0 {
		_, err := fmt.Fprintln(c.stdout, "The file is well formed and changes no price.")
		return err
	}
	if err := printTable(c.stdout, []string{"MODEL", "TIER", "FROM", "WAS (INPUT / CACHED / WRITTEN / OUTPUT)", "BECOMES"}, changed); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "\nThe file is well formed. To use it, set prices = %q in codex-proxy.toml (or --prices), restart the server,\nand rate what is past with 'codex-proxy price reprice FROM TO'.\n", cmd.File)
	return err
}

// priceChanges are the lines of what differs between two price lists: first what
// is another or new, then what is gone.
func priceChanges(before, after []priceRow) (lines [][]string) {
	old := map[string]priceRow{}
	for _, r := range before {
		old[r.name()] = r
	}
	for _, r := range after {
		was, known := old[r.name()]
		delete(old, r.name())
		switch {
		case !known:
			lines = append(lines, []string{r.Model, r.tier(), r.From, "new", r.rates()})
		case was != r:
			lines = append(lines, []string{r.Model, r.tier(), r.From, was.rates(), r.rates()})
		}
	}
	for _, r := range before {
		if _, gone := old[r.name()]; gone {
			lines = append(lines, []string{r.Model, r.tier(), r.From, r.rates(), "unpriced"})
		}
	}
	return lines
}

// name is what a price is of.
func (r priceRow) name() string { return strings.Join([]string{r.Model, r.From, r.tier()}, "\x00") }

// tier names the tier, and its step if the price is that of a long context.
func (r priceRow) tier() string {
	if r.AboveTokens == 0 {
		return r.Tier
	}
	return r.Tier + " above " + grouped(r.AboveTokens) + " input tokens"
}

func (r priceRow) rates() string {
	output := "-"
	if r.Output != "" {
		output = r.Output.String()
	}
	return fmt.Sprintf("%s / %s / %s / %s", r.Input, r.CachedInput, r.CacheWrite, output)
}
