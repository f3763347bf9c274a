package ledger

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the built-in prices
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"codex-proxy/internal/exchange"
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
	// Tiers are the prices by service tier: standard, flex, priority, batch.
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
// is a million picos. Published prices go below a nano per token.
type Rates struct{ Input, CachedInput, Output int64 }

// tiers are the service tiers that can have prices.
var tiers = []string{"standard", "flex", "priority", "batch"}

// document is the form of a price file.
type document struct {
	Edition string      `toml:"edition"`
	Price   []priceForm `toml:"price"`
}

type priceForm struct {
	Model    string         `toml:"model"`
	From     toml.LocalDate `toml:"from"`
	Standard *tierForm      `toml:"standard"`
	Flex     *tierForm      `toml:"flex"`
	Priority *tierForm      `toml:"priority"`
	Batch    *tierForm      `toml:"batch"`
}

type ratesForm struct {
	Input       string  `toml:"input"`
	CachedInput *string `toml:"cached_input"`
	Output      string  `toml:"output"`
}

type tierForm struct {
	ratesForm
	LongContext *struct {
		ratesForm
		Above int64 `toml:"above"`
	} `toml:"long_context"`
}

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
// b. name says where the document is from, for errors. If anything in it is
// wrong, none of it is used.
func (b *Book) With(name string, raw []byte) (*Book, error) {
	var form document
	decoder := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields()
	if err := decoder.Decode(&form); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return nil, fmt.Errorf("read %s: unknown keys:\n%s", name, strict.String())
		}
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	merged := &Book{edition: form.Edition, prices: map[string][]Price{}, source: append(append([]string(nil), b.source...), string(raw))}
	if merged.edition == "" {
		sum := sha256.Sum256(raw)
		merged.edition = strings.Trim(b.edition+"+"+hex.EncodeToString(sum[:4]), "+")
	}
	for model, prices := range b.prices {
		merged.prices[model] = append([]Price(nil), prices...)
	}
	for i, p := range form.Price {
		price, err := p.parse()
		if err != nil {
			return nil, fmt.Errorf("read %s: price %d (%s): %w", name, i+1, p.Model, err)
		}
		// A stable sort keeps an override behind what it overrides.
		list := append(merged.prices[price.Model], price)
		sort.SliceStable(list, func(i, k int) bool { return list[i].From.Before(list[k].From) })
		merged.prices[price.Model] = list
	}
	return merged, nil
}

func (p priceForm) parse() (Price, error) {
	if p.Model == "" {
		return Price{}, errors.New("it names no model")
	}
	price := Price{Model: p.Model, Tiers: map[string]Tier{}}
	if p.From != (toml.LocalDate{}) {
		price.From = p.From.AsTime(time.UTC)
	}
	for i, form := range []*tierForm{p.Standard, p.Flex, p.Priority, p.Batch} {
		if form == nil {
			continue
		}
		var tier Tier
		var err error
		if tier.Rates, err = form.parse(); err == nil && form.LongContext != nil {
			if tier.Above = form.LongContext.Above; tier.Above <= 0 {
				err = errors.New("long_context needs above, a number of tokens")
			} else {
				tier.LongContext, err = form.LongContext.parse()
			}
		}
		if err != nil {
			return Price{}, fmt.Errorf("%s: %w", tiers[i], err)
		}
		price.Tiers[tiers[i]] = tier
	}
	if len(price.Tiers) == 0 {
		return Price{}, errors.New("it has no prices: give at least standard = { input = \"…\", output = \"…\" }")
	}
	return price, nil
}

func (f ratesForm) parse() (r Rates, err error) {
	if r.Input, err = picos("input", f.Input); err != nil {
		return Rates{}, err
	}
	r.CachedInput = r.Input
	if f.CachedInput != nil {
		if r.CachedInput, err = picos("cached_input", *f.CachedInput); err != nil {
			return Rates{}, err
		}
	}
	if f.Output != "" { // embeddings have none
		r.Output, err = picos("output", f.Output)
	}
	return r, err
}

// decimal is a price in USD per million tokens, exact to a pico per token.
var decimal = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6})?$`)

func picos(what, text string) (int64, error) {
	if !decimal.MatchString(text) {
		return 0, fmt.Errorf("%s is %q: write US dollars per million tokens as text, such as \"1.25\"", what, text)
	}
	dollars, _ := new(big.Rat).SetString(text) // the pattern allows nothing else
	return new(big.Rat).Mul(dollars, big.NewRat(1e6, 1)).Num().Int64(), nil
}

// Edition names the book: the date of the built-in prices, and a fingerprint of
// what overrides them.
func (b *Book) Edition() string { return b.edition }

// Source returns the documents that the book was made of, for ParseBook.
func (b *Book) Source() []string { return b.source }

// Prices returns every price, by model and then by date.
func (b *Book) Prices() []Price {
	var all []Price
	for _, prices := range b.prices {
		all = append(all, prices...)
	}
	sort.SliceStable(all, func(i, k int) bool {
		if all[i].Model != all[k].Model {
			return all[i].Model < all[k].Model
		}
		return all[i].From.Before(all[k].From)
	})
	return all
}

// Rate prices the usage of an exchange that began at the given time. Cached
// tokens are part of the input and are charged once, at the cached price;
// reasoning is part of the output. An unknown model or tier, and usage that
// nobody knows, is unpriced.
func (b *Book) Rate(model, tier string, at time.Time, usage exchange.Usage) exchange.Cost {
	if usage.State == exchange.UsageNone {
		return exchange.Cost{State: exchange.CostNone}
	}
	unpriced := exchange.Cost{State: exchange.CostUnpriced, Book: b.edition}
	if usage.State == exchange.UsageMissing {
		return unpriced
	}
	found, ok := b.find(model, tier, at)
	if !ok {
		return unpriced
	}
	rates := found.Rates
	if found.Above > 0 && usage.Input > found.Above {
		rates = found.LongContext
	}
	total := new(big.Int)
	for _, part := range []struct{ tokens, rate int64 }{
		{usage.Input - usage.Cached, rates.Input},
		{usage.Cached, rates.CachedInput},
		{usage.Output, rates.Output},
	} {
		total.Add(total, new(big.Int).Mul(big.NewInt(part.tokens), big.NewInt(part.rate)))
	}
	nanos, ok := roundToNanos(total)
	if !ok {
		return unpriced
	}
	return exchange.Cost{State: exchange.CostPriced, Nanos: nanos, Book: b.edition}
}

// roundToNanos rounds picos to nanos, half to even, once per exchange.
func roundToNanos(picos *big.Int) (nanos int64, ok bool) {
	quotient, rest := new(big.Int).QuoRem(picos, big.NewInt(1000), new(big.Int))
	if !quotient.IsInt64() || quotient.Sign() < 0 {
		return 0, false
	}
	nanos = quotient.Int64()
	if r := rest.Int64(); r > 500 || r == 500 && nanos%2 == 1 {
		nanos++
	}
	return nanos, true
}

// find returns the price in force for a model at a tier.
func (b *Book) find(model, tier string, at time.Time) (Tier, bool) {
	switch tier {
	case "", "auto", "default":
		tier = "standard"
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
