package main

import (
	"encoding/json"
	"fmt"
	"os"

	"codex-proxy/internal/ledger"
)

// priceBook returns the price book in force.
func (s *Settings) priceBook() (*ledger.Book, error) { return s.priceBookWith(s.Prices) }

// priceBookWith returns the built-in price book, overridden by the settings
// file's [[price]] tables, overridden by a price file if one is named.
func (s *Settings) priceBookWith(file string) (*ledger.Book, error) {
	book, err := ledger.BuiltinBook()
	if err == nil && s.priceTables != nil {
		book, err = book.With("the [[price]] tables of "+s.Config, s.priceTables)
	}
	if err == nil && file != "" {
		var raw []byte
		if raw, err = os.ReadFile(file); err == nil {
			book, err = book.With("the price file "+file, raw)
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
	CacheWrite  json.Number `json:"cache_write_usd_per_million"`
	Output      json.Number `json:"output_usd_per_million,omitempty"` // none for embeddings
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
	return printTable(c.stdout, []string{"MODEL", "TIER", "FROM", "INPUT", "CACHED INPUT", "CACHE WRITE", "OUTPUT"}, rows(list, func(r priceRow) []string {
		return []string{r.Model, r.tier(), r.From, r.Input.String(), r.CachedInput.String(), r.CacheWrite.String(), r.Output.String()}
	}))
}

func priceRows(book *ledger.Book) []priceRow {
	var list []priceRow
	for _, price := range book.Prices() {
		for _, name := range ledger.Tiers {
			tier, ok := price.Tiers[name]
			if !ok {
				continue
			}
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
		Input: perMillion(r.Input), CachedInput: perMillion(r.CachedInput), CacheWrite: perMillion(r.CacheWrite), Output: perMillion(r.Output),
	}
}
