package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
	"codex-proxy/internal/sqlite"
)

// priceBook returns the price book in force: the built-in one, overridden by the
// settings file's [[price]] tables, overridden by the price file.
func (s *Settings) priceBook() (*ledger.Book, error) {
	book, err := ledger.BuiltinBook()
	if err == nil && s.priceTables != nil {
		book, err = book.With("the [[price]] tables of "+s.Config, s.priceTables)
	}
	if err == nil && s.Prices != "" {
		var raw []byte
		if raw, err = os.ReadFile(s.Prices); err == nil {
			book, err = book.With("the price file "+s.Prices, raw)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("price book: %w", err)
	}
	return book, nil
}

type priceCommand struct {
	List    priceListCommand    `cmd:"" help:"List the prices in force, in US dollars per million tokens."`
	Update  priceUpdateCommand  `cmd:"" help:"Check a price file, and show what it changes and how to use it."`
	Reprice priceRepriceCommand `cmd:"" help:"Rate the exchanges of a time anew, with the prices in force, and print the difference."`
}

type priceListCommand struct{ jsonFlag }

// priceRow is a price as it is printed: USD per million tokens.
type priceRow struct {
	Model       string      `json:"model"`
	From        string      `json:"from,omitempty"`
	Tier        string      `json:"tier"`
	AboveTokens int64       `json:"above_input_tokens,omitempty"`
	Input       json.Number `json:"input_usd_per_million"`
	CachedInput json.Number `json:"cached_input_usd_per_million"`
	Output      json.Number `json:"output_usd_per_million"`
}

func (cmd *priceListCommand) Run(c *console) error {
	book, err := c.settings.priceBook()
	if err != nil {
		return err
	}
	list := priceRows(book)
	if cmd.JSON {
		return printSafeJSON(c.stdout, map[string]any{"edition": book.Edition(), "prices": list})
	}
	if _, err := fmt.Fprintf(c.stdout, "Price book %s, in US dollars per million tokens\n\n", book.Edition()); err != nil {
		return err
	}
	return printTable(c.stdout, []string{"MODEL", "TIER", "FROM", "INPUT", "CACHED INPUT", "OUTPUT"}, rows(list, func(r priceRow) []string {
		tier := r.Tier
		if r.AboveTokens > 0 {
			tier += fmt.Sprintf(" above %s input tokens", grouped(r.AboveTokens))
		}
		return []string{r.Model, tier, r.From, r.Input.String(), r.CachedInput.String(), r.Output.String()}
	}))
}

func priceRows(book *ledger.Book) []priceRow {
	var list []priceRow
	for _, price := range book.Prices() {
		names := make([]string, 0, len(price.Tiers))
		for name := range price.Tiers {
			names = append(names, name)
		}
		sort.Slice(names, func(i, k int) bool {
			return (names[i] == "standard") != (names[k] == "standard") && names[i] == "standard" || names[k] != "standard" && names[i] < names[k]
		})
		for _, name := range names {
			tier := price.Tiers[name]
			list = append(list, newPriceRow(price, name, 0, tier.Rates))
			if tier.Above > 0 {
				list = append(list, newPriceRow(price, name, tier.Above, tier.LongContext))
			}
		}
	}
	return list
}

func newPriceRow(price ledger.Price, tier string, above int64, r ledger.Rates) priceRow {
	return priceRow{
		Model: price.Model, From: day(price.From), Tier: tier, AboveTokens: above,
		Input: perMillion(r.Input), CachedInput: perMillion(r.CachedInput), Output: perMillion(r.Output),
	}
}

// perMillion prints USD picos per token as USD per million tokens, exactly.
func perMillion(picos int64) json.Number { return decimalNumber(picos, 6, 0) }

// decimalNumber prints n / 10^places exactly, with at least so many places kept.
func decimalNumber(n int64, places, keep int) json.Number {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	text := fmt.Sprintf("%0*d", places+1, n)
	whole, fraction := text[:len(text)-places], text[len(text)-places:]
	fraction = fraction[:keep] + strings.TrimRight(fraction[keep:], "0")
	if fraction != "" {
		fraction = "." + fraction
	}
	return json.Number(sign + whole + fraction)
}

// usdNumber prints USD nanos as USD, exactly.
func usdNumber(nanos int64) json.Number { return decimalNumber(nanos, 9, 2) }

// grouped prints a number with its thousands apart.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

type priceUpdateCommand struct {
	File string `arg:"" help:"Price file (TOML), in the form of the built-in one."`
}

func (cmd *priceUpdateCommand) Run(c *console) error {
	before, err := c.settings.priceBook()
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(cmd.File)
	if err != nil {
		return fmt.Errorf("read the price file: %w", err)
	}
	after, err := before.With("the price file "+cmd.File, raw)
	if err != nil {
		return err
	}
	old := map[string]priceRow{}
	for _, r := range priceRows(before) {
		old[fmt.Sprint(r.Model, r.From, r.Tier, r.AboveTokens)] = r
	}
	var changed [][]string
	for _, r := range priceRows(after) {
		was := old[fmt.Sprint(r.Model, r.From, r.Tier, r.AboveTokens)]
		if was == r {
			continue
		}
		from := "new"
		if was.Model != "" {
			from = fmt.Sprintf("%s / %s / %s", was.Input, was.CachedInput, was.Output)
		}
		changed = append(changed, []string{r.Model, r.Tier, r.From, from, fmt.Sprintf("%s / %s / %s", r.Input, r.CachedInput, r.Output)})
	}
	if len(changed) == 0 {
		_, err := fmt.Fprintln(c.stdout, "The file is well formed and changes no price.")
		return err
	}
	if err := printTable(c.stdout, []string{"MODEL", "TIER", "FROM", "WAS (INPUT / CACHED / OUTPUT)", "BECOMES"}, changed); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "\nThe file is well formed. To use it, set prices = %q in codex-proxy.toml (or --prices), restart the server,\nand rate what is past with 'codex-proxy price reprice FROM TO'.\n", cmd.File)
	return err
}

type priceRepriceCommand struct {
	From   string `arg:"" help:"First day (UTC), such as 2026-02-01."`
	To     string `arg:"" help:"Last day (UTC), inclusive."`
	DryRun bool   `help:"Print the difference and change nothing." env:"-"`
	jsonFlag
}

// changeRow is what a reprice changed for one model.
type changeRow struct {
	Model     string      `json:"model"`
	Exchanges int64       `json:"exchanges"`
	Old       json.Number `json:"old_cost_usd"`
	New       json.Number `json:"new_cost_usd"`
	Delta     json.Number `json:"difference_usd"`
	Unpriced  int64       `json:"unpriced"`
}

func (cmd *priceRepriceCommand) Run(c *console) error {
	from, to, err := dayRange(cmd.From, cmd.To, time.UTC, now())
	if err != nil {
		return err
	}
	book, err := c.settings.priceBook()
	if err != nil {
		return err
	}
	store, err := sqlite.OpenLedger(c.ctx, c.settings.ledgerFile())
	if err != nil {
		return err
	}
	defer store.Close()
	if !cmd.DryRun {
		// The archive is the truth: a rebuild repeats what is noted there.
		archive, err := openArchive(c)
		if err != nil {
			return err
		}
		if err := noteRepricing(c.ctx, archive, repricing{From: from, To: to, Edition: book.Edition(), Prices: book.Source()}); err != nil {
			return err
		}
	}
	changes, err := store.Reprice(c.ctx, from, to, func(e exchange.Exchange) exchange.Cost {
		return book.Rate(e.Model, e.Tier, e.Started, e.Usage)
	}, cmd.DryRun)
	if err != nil {
		return err
	}
	list := rows(changes, func(ch ledger.Change) changeRow {
		return changeRow{ch.Model, ch.Exchanges, usdNumber(ch.OldNanos), usdNumber(ch.NewNanos), usdNumber(ch.NewNanos - ch.OldNanos), ch.Unpriced}
	})
	if cmd.JSON {
		return printSafeJSON(c.stdout, map[string]any{"edition": book.Edition(), "dry_run": cmd.DryRun, "models": list})
	}
	verb := "Repriced"
	if cmd.DryRun {
		verb = "Would reprice"
	}
	if _, err := fmt.Fprintf(c.stdout, "%s %s to %s (UTC) with price book %s; costs in USD\n\n", verb, cmd.From, cmd.To, book.Edition()); err != nil {
		return err
	}
	return printTable(c.stdout, []string{"MODEL", "EXCHANGES", "OLD", "NEW", "DIFFERENCE", "STILL UNPRICED"}, rows(list, func(r changeRow) []string {
		return []string{r.Model, grouped(r.Exchanges), r.Old.String(), r.New.String(), r.Delta.String(), grouped(r.Unpriced)}
	}))
}

// repricing is the note of a reprice in the archive.
type repricing struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"` // exclusive
	Edition string    `json:"edition"`
	Prices  []string  `json:"prices"` // the book's TOML documents

	book *ledger.Book
}

// repricings is where the notes are kept; their names sort by time.
const repricings = "repricings/"

func noteRepricing(ctx context.Context, archive record.Archive, note repricing) error {
	raw, err := json.Marshal(note)
	if err != nil {
		return fmt.Errorf("note the repricing: %w", err)
	}
	key := repricings + uuid.Must(uuid.NewV7()).String() + ".json"
	if err := archive.Put(ctx, key, bytes.NewReader(raw), int64(len(raw))); err != nil {
		return fmt.Errorf("note the repricing: %w", err)
	}
	return nil
}

// readRepricings reads the notes, the oldest first.
func readRepricings(ctx context.Context, archive record.Archive) ([]repricing, error) {
	var notes []repricing
	for key, err := range archive.List(ctx, repricings) {
		if err != nil {
			return nil, err
		}
		note, err := readRepricing(ctx, archive, key)
		if err != nil {
			return nil, fmt.Errorf("read the repricing %s: %w", key, err)
		}
		notes = append(notes, note)
	}
	return notes, nil
}

func readRepricing(ctx context.Context, archive record.Archive, key string) (note repricing, err error) {
	reader, err := archive.Get(ctx, key)
	if err != nil {
		return note, err
	}
	defer reader.Close()
	raw, err := io.ReadAll(reader)
	if err == nil {
		err = json.Unmarshal(raw, &note)
	}
	if err == nil {
		note.book, err = ledger.ParseBook(note.Prices)
	}
	return note, err
}
