package ledger

import (
	"crypto/sha256"
	_ "embed" // the built-in prices
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
)

//go:embed prices.toml
var builtin []byte

// Book is a price book: what a token costs, by model, tier and date. It is safe
// for concurrent use.
type Book struct {
	edition string
	prices  map[string][]Price // by model, from the oldest to the newest
	source  []string           // the documents that it was made of
}

// Price is what a model costs from a date on.
type Price struct {
	Model string
	// From is the UTC day from which the price holds; zero means always.
	From time.Time
	// Tiers are the prices by service tier, one of the package's Tiers.
	Tiers map[string]Tier
}

// Tier is what a model costs at one service tier.
type Tier struct {
	Rates
	// LongContext replaces the rates of an exchange whose input is above Above
	// tokens; Above is 0 when there is no such step.
	LongContext Rates
	Above       int64
}

// Rates are prices in USD picos (1e-12 USD) per token; 1 USD per million tokens
// is a million picos. Published prices go below a nano per token. CachedInput is
// for input read from the prompt cache, CacheWrite for input written to it.
type Rates struct{ Input, CachedInput, CacheWrite, Output int64 }

// NoPrice is the output's price of a model that has none, such as one for
// embeddings. Output that it gives nevertheless is unpriced, not free.
const NoPrice = -1

// Tiers are the service tiers that can have prices.
var Tiers = []string{"standard", "flex", "priority", "batch", "ultrafast"}

// BuiltinBook returns the price book that comes with the program.
func BuiltinBook() (*Book, error) { return (&Book{}).With("the built-in prices", builtin) }

// ParseBook returns a book made of documents alone, as Source returned them.
func ParseBook(documents []string) (*Book, error) {
	book := &Book{}
	var err error
	for _, text := range documents {
		if book, err = book.With("a price document", []byte(text)); err != nil {
			return nil, err
		}
	}
	return book, nil
}

// With returns a book in which the prices of a TOML document override those of
// b: an entry replaces all that b says of its model from the entry's date on.
// name says where the document is from, for errors. If anything in it is wrong,
// none of it is used.
func (b *Book) With(name string, raw []byte) (*Book, error) {
	edition, prices, err := parseDocument(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if edition == "" {
		sum := sha256.Sum256(raw)
		edition = hex.EncodeToString(sum[:4])
	}
	merged := &Book{
		edition: strings.TrimPrefix(b.edition+"+"+edition, "+"),
		prices:  maps.Clone(b.prices),
		source:  append(slices.Clone(b.source), string(raw)),
	}
	if merged.prices == nil {
		merged.prices = map[string][]Price{}
	}
	slices.SortStableFunc(prices, func(p, q Price) int { return p.From.Compare(q.From) })
	for _, price := range prices {
		older := slices.Clone(merged.prices[price.Model])
		older = slices.DeleteFunc(older, func(p Price) bool { return !p.From.Before(price.From) })
		merged.prices[price.Model] = append(older, price)
	}
	return merged, nil
}

// Edition names the book: the editions of its documents, joined by "+". That of
// a document that names none is a fingerprint.
func (b *Book) Edition() string { return b.edition }

// Source returns the documents that the book was made of, for ParseBook.
func (b *Book) Source() []string { return b.source }

// Prices returns every price, by model and then by date.
func (b *Book) Prices() []Price {
	var all []Price
	for _, model := range slices.Sorted(maps.Keys(b.prices)) {
		all = append(all, b.prices[model]...)
	}
	return all
}

// Rate prices the usage of an exchange that began at the given time. Tokens read
// from the prompt cache, and those written to it, are part of the input and are
// charged once, at their own price;
// reasoning is part of the output. An unknown model or tier, and usage that
// nobody knows, is unpriced.
func (b *Book) Rate(model, tier string, at time.Time, usage exchange.Usage) exchange.Cost {
	if usage.State == exchange.UsageNone {
		return exchange.Cost{State: exchange.CostNone}
	}
	if usage.State == exchange.UsageExact || usage.State == exchange.UsageEstimated {
		if price, ok := b.find(model, tier, at); ok {
			if nanos, ok := price.nanos(usage.Usage); ok {
				return exchange.Cost{State: exchange.CostPriced, Nanos: nanos, Book: b.edition}
			}
		}
	}
	return exchange.Cost{State: exchange.CostUnpriced, Book: b.edition}
}

// nanos returns what usage costs; ok is false when a part of it has no price or
// can't be.
func (t Tier) nanos(usage openai.Usage) (nanos int64, ok bool) {
	rates := t.Rates
	if t.Above > 0 && usage.Input > t.Above {
		rates = t.LongContext
	}
	total := new(big.Int)
	for _, part := range []struct{ tokens, rate int64 }{
		{usage.Input - usage.Cached - usage.CacheWrite, rates.Input},
		{usage.Cached, rates.CachedInput},
		{usage.CacheWrite, rates.CacheWrite},
		{usage.Output, rates.Output},
	} {
		if part.tokens < 0 || part.tokens > 0 && part.rate == NoPrice {
			return 0, false
		}
		total.Add(total, new(big.Int).Mul(big.NewInt(part.tokens), big.NewInt(part.rate)))
	}
	return roundToNanos(total)
}

// roundToNanos rounds picos to nanos, half to even, once per exchange.
func roundToNanos(picos *big.Int) (nanos int64, ok bool) {
	quotient, rest := new(big.Int).QuoRem(picos, big.NewInt(1000), new(big.Int))
	if r := rest.Int64(); r > 500 || r == 500 && quotient.Bit(0) == 1 {
		quotient.Add(quotient, big.NewInt(1))
	}
	return quotient.Int64(), quotient.IsInt64()
}

// find returns the price in force for a model at a tier.
func (b *Book) find(model, tier string, at time.Time) (Tier, bool) {
	switch tier {
	case "", "auto", "default":
		tier = "standard"
	case "fast": // a request may say so; a whole answer says priority
		tier = "priority"
	}
	for _, name := range names(model) {
		prices := b.prices[name]
		for i := len(prices) - 1; i >= 0; i-- {
			if !prices[i].From.After(at) {
				found, ok := prices[i].Tiers[tier]
				return found, ok
			}
		}
	}
	return Tier{}, false
}

// snapshot ends the name of a model's dated snapshot, or of its newest one.
var snapshot = regexp.MustCompile(`-(\d{4}-\d{2}-\d{2}|latest)$`)

// names returns the names under which a model may be priced, the longest first.
// Only the date of a snapshot is dropped: another suffix, such as -mini, makes
// another model with other prices.
func names(model string) []string {
	if end := snapshot.FindStringIndex(model); end != nil {
		return []string{model, model[:end[0]]}
	}
	return []string{model}
}
