package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// document is the form of a price file.
type document struct {
	Edition string      `toml:"edition"`
	Price   []priceForm `toml:"price"`
}

type priceForm struct {
	Model     string         `toml:"model"`
	From      toml.LocalDate `toml:"from"`
	Standard  *tierForm      `toml:"standard"`
	Flex      *tierForm      `toml:"flex"`
	Priority  *tierForm      `toml:"priority"`
	Batch     *tierForm      `toml:"batch"`
	Ultrafast *tierForm      `toml:"ultrafast"`
}

type ratesForm struct {
	Input       string  `toml:"input"`
	CachedInput *string `toml:"cached_input"`
	CacheWrite  *string `toml:"cache_write"`
	Output      *string `toml:"output"`
}

type tierForm struct {
	ratesForm
	LongContext *struct {
		ratesForm
		Above int64 `toml:"above"`
	} `toml:"long_context"`
}

// parseDocument reads a price file whole, or says which of its entries is wrong.
func parseDocument(raw []byte) (edition string, prices []Price, err error) {
	var form document
	if err := toml.NewDecoder(bytes.NewReader(raw)).DisallowUnknownFields().Decode(&form); err != nil {
		return "", nil, explain(err)
	}
	if len(form.Price) == 0 {
		return "", nil, errors.New("it has no [[price]]")
	}
	type start struct {
		model string
		from  time.Time
	}
	seen := map[start]bool{}
	for i, p := range form.Price {
		price, err := p.parse()
		if at := (start{price.Model, price.From}); err == nil {
			if seen[at] {
				err = errors.New("an entry before it is of the same model and date")
			}
			seen[at] = true
		}
		if err != nil {
			return "", nil, fmt.Errorf("[[price]] %d (%q): %w", i+1, p.Model, err)
		}
		prices = append(prices, price)
	}
	return form.Edition, prices, nil
}

// explain shows the lines that the TOML reader could not read.
func explain(err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		return fmt.Errorf("it has unknown keys:\n%s", strict.String())
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%w:\n%s", err, wrong.String())
	}
	return err
}

func (p priceForm) parse() (Price, error) {
	if p.Model == "" {
		return Price{}, errors.New("it names no model")
	}
	price := Price{Model: p.Model, Tiers: map[string]Tier{}}
	if p.From != (toml.LocalDate{}) {
		price.From = p.From.AsTime(time.UTC)
	}
	for i, form := range []*tierForm{p.Standard, p.Flex, p.Priority, p.Batch, p.Ultrafast} {
		if form == nil {
			continue
		}
		tier, err := form.parse()
		if err != nil {
			return Price{}, fmt.Errorf("%s: %w", Tiers[i], err)
		}
		price.Tiers[Tiers[i]] = tier
	}
	if len(price.Tiers) == 0 {
		return Price{}, errors.New("it has no prices: give at least standard = { input = \"…\", output = \"…\" }")
	}
	return price, nil
}

func (f *tierForm) parse() (tier Tier, err error) {
	if tier.Rates, err = f.ratesForm.parse(); err != nil || f.LongContext == nil {
		return tier, err
	}
	if tier.Above = f.LongContext.Above; tier.Above <= 0 {
		return tier, errors.New("long_context: above must be a number of tokens greater than 0")
	}
	if tier.LongContext, err = f.LongContext.parse(); err != nil {
		return tier, fmt.Errorf("long_context: %w", err)
	}
	return tier, nil
}

func (f ratesForm) parse() (r Rates, err error) {
	if r.Input, err = picos("input", f.Input); err != nil {
		return Rates{}, err
	}
	r.CachedInput, r.CacheWrite, r.Output = r.Input, r.Input, NoPrice
	if f.CachedInput != nil {
		if r.CachedInput, err = picos("cached_input", *f.CachedInput); err != nil {
			return Rates{}, err
		}
	}
	if f.CacheWrite != nil {
		if r.CacheWrite, err = picos("cache_write", *f.CacheWrite); err != nil {
			return Rates{}, err
		}
	}
	if f.Output != nil {
		r.Output, err = picos("output", *f.Output)
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
