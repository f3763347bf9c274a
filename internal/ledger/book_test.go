package ledger_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/openai"
)

var noon = time.Date(2026, 5, 16, 12, 0, 0, 0, time.UTC)

func builtin(t testing.TB) *ledger.Book {
	t.Helper()
	book, err := ledger.BuiltinBook()
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// with returns the book that a document's overrides make.
func with(t testing.TB, book *ledger.Book, document string) *ledger.Book {
	t.Helper()
	book, err := book.With("a test", []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// used is usage as OpenAI says it: cached is part of input, reasoning of output.
func used(input, cached, output, reasoning int64) exchange.Usage {
	return exchange.Usage{
		Usage: openai.Usage{Input: input, Cached: cached, Output: output, Reasoning: reasoning, Total: input + output},
		State: exchange.UsageExact,
	}
}

// costs checks what an exchange at noon costs; unpriced is -1.
func costs(t *testing.T, book *ledger.Book, model, tier string, usage exchange.Usage, want int64) {
	t.Helper()
	costsAt(t, book, model, tier, noon, usage, want)
}

func costsAt(t *testing.T, book *ledger.Book, model, tier string, at time.Time, usage exchange.Usage, want int64) {
	t.Helper()
	cost := exchange.Cost{State: exchange.CostPriced, Nanos: want, Book: book.Edition()}
	if want == unpriced {
		cost.State, cost.Nanos = exchange.CostUnpriced, 0
	}
	if diff := cmp.Diff(cost, book.Rate(model, tier, at, usage)); diff != "" {
		t.Errorf("%q at tier %q (-want +got):\n%s", model, tier, diff)
	}
}

const unpriced = -1

func TestCachedTokensAreChargedOnceAndReasoningIsNotAdded(t *testing.T) {
	// 2,000 tokens at 1,250 nanos, 8,000 at 125 and 1,000 at 10,000.
	costs(t, builtin(t), "gpt-5.1-codex", "", used(10_000, 8_000, 1_000, 0), 13_500_000)
	costs(t, builtin(t), "gpt-5.1-codex", "", used(10_000, 8_000, 1_000, 900), 13_500_000)
	costs(t, builtin(t), "gpt-5.1-codex", "", used(10_000, 0, 0, 0), 12_500_000)
	costs(t, builtin(t), "gpt-5.1-codex", "", used(10_000, 10_000, 0, 0), 1_250_000)
	costs(t, builtin(t), "gpt-5.1-codex", "", used(0, 0, 0, 0), 0)
}

func TestATierHasItsOwnPrices(t *testing.T) {
	usage := used(10_000, 8_000, 1_000, 100)
	for tier, want := range map[string]int64{
		"": 13_500_000, "auto": 13_500_000, "default": 13_500_000, "standard": 13_500_000,
		"flex": 6_750_000, "batch": 6_750_000, "priority": 27_000_000, "fast": 27_000_000,
		"scale": unpriced, "Priority": unpriced, "flex ": unpriced,
	} {
		costs(t, builtin(t), "gpt-5.1", tier, usage, want)
	}
	costs(t, builtin(t), "gpt-5.1-codex", "flex", usage, unpriced) // the model is known, its tier is not
}

func TestALongContextIsPricedWholeFromTheFirstTokenAboveTheStep(t *testing.T) {
	costs(t, builtin(t), "gpt-5.4", "", used(272_000, 200_000, 10, 0), 72_000*2_500+200_000*250+10*15_000)
	costs(t, builtin(t), "gpt-5.4", "", used(272_001, 200_000, 10, 0), 72_001*5_000+200_000*500+10*22_500)
	costs(t, builtin(t), "gpt-5.4", "priority", used(272_001, 0, 0, 0), 272_001*5_000) // a tier without the step
}

func TestADatedPriceHoldsFromItsDayOn(t *testing.T) {
	book := with(t, builtin(t), `
		[[price]]
		model = "gpt-9"
		from = 2026-03-01
		standard = { input = "2", output = "4" }
		[[price]]
		model = "gpt-9"
		from = 2026-02-01
		standard = { input = "1", output = "2" }
		flex = { input = "0.5", output = "1" }`)
	million := used(1_000_000, 0, 0, 0)
	for at, want := range map[string]int64{
		"2026-01-31T23:59:59.999999999Z": unpriced,
		"2026-02-01T00:00:00Z":           1e9,
		"2026-02-28T23:59:59Z":           1e9,
		"2026-03-01T00:30:00+01:00":      1e9, // the day is UTC's
		"2026-03-01T00:00:00Z":           2e9,
	} {
		moment, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		costsAt(t, book, "gpt-9", "", moment, million, want)
	}
	costsAt(t, book, "gpt-9", "flex", time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), million, unpriced)
}

func TestASnapshotCostsWhatItsModelCosts(t *testing.T) {
	usage := used(1_000_000, 0, 0, 0)
	for model, want := range map[string]int64{
		"gpt-5.1-codex-2025-11-13": 1.25e9,
		"gpt-5.1-codex-latest":     1.25e9,
		"gpt-5.1-codex-mini":       0.25e9,
		"gpt-4o":                   2.5e9,
		"gpt-4o-2024-08-06":        2.5e9,
		"gpt-4o-2024-05-13":        5e9, // has prices of its own
		"gpt-5.1-codex-foo":        unpriced,
		"gpt-5.1-codex-2025-11":    unpriced,
		"gpt-5.1-codex-20251113":   unpriced,
		"gpt-5.1-codex-":           unpriced,
		"GPT-5.1-codex":            unpriced,
		"ft:gpt-4o:example":        unpriced,
		"-2024-05-13":              unpriced,
		"":                         unpriced,
	} {
		costs(t, builtin(t), model, "", usage, want)
	}
}

func TestWhatIsNotKnownIsUnpricedAndNotFree(t *testing.T) {
	book := builtin(t)
	usage := used(10_000, 8_000, 1_000, 0)
	for state, want := range map[exchange.UsageState]exchange.Cost{
		exchange.UsageNone:      {State: exchange.CostNone},
		exchange.UsageMissing:   {State: exchange.CostUnpriced, Book: book.Edition()},
		"":                      {State: exchange.CostUnpriced, Book: book.Edition()},
		exchange.UsageEstimated: {State: exchange.CostPriced, Nanos: 13_500_000, Book: book.Edition()},
	} {
		usage.State = state
		if diff := cmp.Diff(want, book.Rate("gpt-5.1-codex", "", noon, usage)); diff != "" {
			t.Errorf("usage %q (-want +got):\n%s", state, diff)
		}
	}
	costs(t, book, "text-embedding-3-small", "", used(1_000_000, 0, 0, 0), 20_000_000)
	costs(t, book, "text-embedding-3-small", "", used(1_000_000, 0, 1, 0), unpriced)
	costs(t, book, "gpt-5.1-codex", "", used(10, 11, 0, 0), unpriced)
	costs(t, book, "gpt-5.1-codex", "", used(10, 0, -1, 0), unpriced)
}

func TestACostIsRoundedOnceAndHalfToEven(t *testing.T) {
	book := with(t, builtin(t), `
		[[price]]
		model = "small"
		standard = { input = "0.0005", cached_input = "0.000001", output = "0.0005" }`)
	for usage, want := range map[exchange.Usage]int64{
		used(1, 0, 0, 0):         0, // 0.5
		used(3, 0, 0, 0):         2, // 1.5
		used(5, 0, 0, 0):         2, // 2.5
		used(1, 0, 1, 0):         1, // 0.5 + 0.5, not 0 + 0
		used(2, 1, 0, 0):         1, // 0.501
		used(499, 499, 0, 0):     0,
		used(2_500, 2_500, 0, 0): 2,
		used(2_501, 2_501, 0, 0): 3,
		used(3_500, 3_500, 0, 0): 4,
	} {
		costs(t, book, "small", "", usage, want)
	}
}

func TestACostBeyondCountingIsUnpriced(t *testing.T) {
	book := with(t, builtin(t), `
		[[price]]
		model = "dear"
		standard = { input = "999999", output = "999999" }`)
	costs(t, book, "dear", "", used(1<<33, 0, 0, 0), 999_999_000<<33)
	costs(t, book, "dear", "", used(1<<40, 0, 1<<40, 0), unpriced)
	costs(t, book, "dear", "", used(math.MaxInt64, 0, math.MaxInt64, 0), unpriced)
}

func TestAnOverrideReplacesAllOfAModelFromItsDayOn(t *testing.T) {
	dated := with(t, builtin(t), `
		[[price]]
		model = "gpt-5.1"
		from = 2026-03-01
		standard = { input = "7", output = "7" }`)
	million := used(1_000_000, 0, 0, 0)
	costsAt(t, dated, "gpt-5.1", "", time.Date(2026, 2, 28, 0, 0, 0, 0, time.UTC), million, 1.25e9)
	costs(t, dated, "gpt-5.1", "", million, 7e9)
	costs(t, dated, "gpt-5.1", "flex", million, unpriced)
	costs(t, dated, "gpt-5", "", million, 1.25e9)

	// An override for all time is not beaten by a date that it overrides.
	always := with(t, dated, `
		[[price]]
		model = "gpt-5.1"
		standard = { input = "3", output = "3" }`)
	costs(t, always, "gpt-5.1", "", million, 3e9)
	costs(t, dated, "gpt-5.1", "", million, 7e9) // a book never changes
	n := 0
	for _, price := range always.Prices() {
		if price.Model == "gpt-5.1" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the book lists %d prices of the model, want the one in force", n)
	}
}

func TestABookIsNamedAfterItsDocuments(t *testing.T) {
	const document = `
		[[price]]
		model = "gpt-9"
		standard = { input = "1", output = "1" }`
	base := builtin(t).Edition()
	if _, err := time.Parse(time.DateOnly, base); err != nil {
		t.Errorf("the built-in edition is no date: %v", err)
	}
	named := with(t, builtin(t), `edition = "contract-7"`+"\n"+document)
	if want := base + "+contract-7"; named.Edition() != want {
		t.Errorf("edition %q, want %q", named.Edition(), want)
	}
	one, other := with(t, builtin(t), document), with(t, builtin(t), document+" # changed")
	if one.Edition() == other.Edition() || !strings.HasPrefix(one.Edition(), base+"+") {
		t.Errorf("editions %q and %q, want two fingerprints after %s", one.Edition(), other.Edition(), base)
	}
}

func TestABookIsTheSameAfterItsSourceIsReadBack(t *testing.T) {
	book := with(t, with(t, builtin(t), `
		[[price]]
		model = "gpt-5.1"
		from = 2026-03-01
		standard = { input = "7", output = "7", long_context = { above = 5, input = "8", output = "9" } }`), `
		[[price]]
		model = "gpt-9"
		flex = { input = "1" }`)
	again, err := ledger.ParseBook(book.Source())
	if err != nil {
		t.Fatal(err)
	}
	if again.Edition() != book.Edition() {
		t.Errorf("edition %q, want %q", again.Edition(), book.Edition())
	}
	if diff := cmp.Diff(book.Prices(), again.Prices()); diff != "" {
		t.Errorf("prices (-want +got):\n%s", diff)
	}
}

func TestAMalformedPriceDocumentIsRefusedWhole(t *testing.T) {
	const good = `
[[price]]
model = "gpt-5.1"
standard = { input = "99", output = "99" }
`
	for name, c := range map[string]struct {
		document string
		says     []string
	}{
		"no TOML":           {`[[price]`, []string{"1| [[price]"}},
		"nothing":           {``, []string{"no [[price]]"}},
		"an unknown key":    {good + `cached = "1"`, []string{"unknown keys", `cached = "1"`}},
		"an unknown tier":   {good + `turbo = { input = "1", output = "1" }`, []string{"unknown keys", "turbo"}},
		"an unknown rate":   {"[[price]]\nmodel = \"a\"\nstandard = { input = \"1\", ouput = \"1\" }", []string{"unknown keys", "ouput"}},
		"a misspelt table":  {"[[prices]]\nmodel = \"a\"", []string{"unknown keys", "prices"}},
		"no model":          {good + "[[price]]\nstandard = { input = \"1\", output = \"1\" }", []string{"[[price]] 2", "names no model"}},
		"no prices":         {good + "[[price]]\nmodel = \"gpt-9\"", []string{`[[price]] 2 ("gpt-9")`, "has no prices"}},
		"no input":          {good + "[[price]]\nmodel = \"gpt-9\"\nflex = { output = \"1\" }", []string{`[[price]] 2 ("gpt-9")`, "flex: input is \"\""}},
		"a number":          {"[[price]]\nmodel = \"gpt-9\"\nstandard = { input = 1.25, output = \"1\" }", []string{"standard = { input = 1.25"}},
		"a negative price":  {priced("-1"), []string{`[[price]] 1 ("gpt-9")`, `output is "-1"`}},
		"an exponent":       {priced("1e3"), []string{`[[price]] 1 ("gpt-9")`, `output is "1e3"`}},
		"a decimal comma":   {priced("1,25"), []string{`[[price]] 1 ("gpt-9")`, `output is "1,25"`}},
		"a dollar sign":     {priced("$1"), []string{`[[price]] 1 ("gpt-9")`, `output is "$1"`}},
		"a fraction":        {priced("1/3"), []string{`[[price]] 1 ("gpt-9")`, `output is "1/3"`}},
		"too exact":         {priced("0.0000001"), []string{`[[price]] 1 ("gpt-9")`, `output is "0.0000001"`}},
		"too dear":          {priced("1000000"), []string{`[[price]] 1 ("gpt-9")`, `output is "1000000"`}},
		"an empty price":    {priced(""), []string{`[[price]] 1 ("gpt-9")`, `output is ""`}},
		"a line break":      {priced(`1\n`), []string{`[[price]] 1 ("gpt-9")`, `output is "1\n"`}},
		"a wrong date":      {good + "[[price]]\nmodel = \"gpt-9\"\nfrom = 2026-02-30\nstandard = { input = \"1\" }", []string{"from = 2026-02-30"}},
		"a time":            {good + "[[price]]\nmodel = \"gpt-9\"\nfrom = 2026-02-01T00:00:00Z\nstandard = { input = \"1\" }", []string{"from = 2026-02-01T00:00:00Z"}},
		"twice the same":    {good + good, []string{`[[price]] 2 ("gpt-5.1")`, "same model and date"}},
		"a step at nothing": {"[[price]]\nmodel = \"gpt-9\"\nflex = { input = \"1\", long_context = { input = \"1\" } }", []string{`[[price]] 1 ("gpt-9")`, "flex: long_context: above"}},
		"a step of nothing": {"[[price]]\nmodel = \"gpt-9\"\nflex = { input = \"1\", long_context = { above = 5 } }", []string{`[[price]] 1 ("gpt-9")`, "flex: long_context: input"}},
		"an escape":         {good + "[[price]]\nmodel = \"\\u001b[2J\"", []string{`[[price]] 2 ("\x1b[2J")`}},
	} {
		t.Run(name, func(t *testing.T) {
			book := builtin(t)
			before := book.Prices()
			got, err := book.With("the price file p.toml", []byte(c.document))
			if err == nil {
				t.Fatalf("accepted as %q", got.Edition())
			}
			for _, text := range append(c.says, "the price file p.toml") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the error does not say %q:\n%v", text, err)
				}
			}
			if diff := cmp.Diff(before, book.Prices()); diff != "" {
				t.Errorf("the book has changed:\n%s", diff)
			}
		})
	}
}

// priced is a document with one price of output.
func priced(output string) string {
	return "[[price]]\nmodel = \"gpt-9\"\nstandard = { input = \"1\", output = \"" + output + "\" }"
}

func FuzzAPriceDocumentIsReadOrRefused(f *testing.F) {
	f.Add(priced("1.25"))
	f.Add("[[price]]\nmodel = \"gpt-9\"\nfrom = 2026-02-01\nflex = { input = \"1\", long_context = { above = 5, input = \"2\" } }")
	f.Fuzz(func(t *testing.T, document string) {
		book, err := (&ledger.Book{}).With("a test", []byte(document))
		if err != nil {
			return
		}
		again, err := ledger.ParseBook(book.Source())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(book.Prices(), again.Prices()); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
}
