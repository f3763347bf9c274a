package ledger_test

import (
	"testing"
	"time"

	"codex-proxy/internal/ledger"
)

func TestABuiltinPriceIsWhatWasPublishedOnTheDay(t *testing.T) {
	// 2,000 tokens of input, 8,000 of cached input and 1,000 of output.
	usage := used(10_000, 8_000, 1_000, 100)
	for _, c := range []struct {
		model, tier, day string
		want             int64
	}{
		{"gpt-5.6-sol", "", "2026-08-20", 44_000_000},
		{"gpt-5.6-sol", "", "2026-08-21", 31_200_000},
		{"gpt-5.6", "", "2026-08-21", 31_200_000},
		{"gpt-5.6-sol", "priority", "2026-08-21", 62_400_000},
		{"gpt-5.6-terra", "", "2026-07-29", 22_000_000},
		{"gpt-5.6-terra", "", "2026-07-30", 17_600_000},
		{"gpt-5.6-luna", "", "2026-07-29", 8_800_000},
		{"gpt-5.6-luna", "", "2026-07-30", 1_760_000},
		{"gpt-6-sol", "", "2026-09-22", 15_600_000},
		{"gpt-6.1-sol-2026-09-29", "", "2026-10-13", 14_800_000},
		{"gpt-6.1-terra", "flex", "2026-10-26", 3_700_000},
		{"gpt-6.2-sol", "batch", "2026-11-17", 7_400_000},
		{"gpt-6.2-sol", "fast", "2026-11-17", 29_600_000},
		{"gpt-6.2-astra", "", "2026-11-17", 59_200_000},
		{"gpt-6.2-sol", "flex", "2026-11-17", unpriced},      // not published
		{"gpt-6.2-sol", "ultrafast", "2026-11-17", unpriced}, // not published for long contexts
		{"gpt-6.2", "", "2026-11-17", unpriced},
		{"gpt-6.2-luna", "", "2026-11-17", unpriced},
	} {
		at, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		costsAt(t, builtin(t), c.model, c.tier, at, usage, c.want)
	}
}

func TestABuiltinLongContextCostsTwiceTheInputAndHalfAgainTheOutput(t *testing.T) {
	steps := 0
	for _, price := range builtin(t).Prices() {
		for name, tier := range price.Tiers {
			if tier.Above == 0 {
				continue
			}
			steps++
			want := ledger.Rates{Input: 2 * tier.Input, CachedInput: 2 * tier.CachedInput, CacheWrite: 2 * tier.CacheWrite, Output: tier.Output * 3 / 2}
			if tier.LongContext != want || tier.Above != 272_000 {
				t.Errorf("%s at %s above %d costs %v, want %v above 272000", price.Model, name, tier.Above, tier.LongContext, want)
			}
		}
	}
	if steps == 0 {
		t.Error("no price has a step for long contexts")
	}
}

func TestInputWrittenToThePromptCacheIsChargedOnceAtItsOwnPrice(t *testing.T) {
	usage := used(10_000, 6_000, 1_000, 0)
	usage.CacheWrite = 3_000
	// 1,000 tokens at 2,000 nanos, 6,000 at 100, 3,000 at 2,500 and 1,000 at 10,000.
	costs(t, builtin(t), "gpt-6.2-sol", "", usage, 20_100_000)
	// A model whose writes have no price of their own charges them as input.
	costs(t, builtin(t), "gpt-5.1-codex", "", usage, 15_750_000)
	usage.CacheWrite = 4_001 // more input read and written than there was
	costs(t, builtin(t), "gpt-6.2-sol", "", usage, unpriced)
}

func TestATierThatOnlyAnOverridePricesIsPriced(t *testing.T) {
	book := with(t, builtin(t), `
		[[price]]
		model = "gpt-6.2-sol"
		ultrafast = { input = "6", cached_input = "0.3", output = "30" }`)
	costs(t, book, "gpt-6.2-sol", "ultrafast", used(10_000, 8_000, 1_000, 0), 44_400_000)
}
