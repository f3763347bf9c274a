package figure

import (
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/openai"
)

func TestNumbersAreWrittenForPeople(t *testing.T) {
	priced := ledger.Counts{CostNanos: 12_345_000_000, Records: 3, Requests: 3}
	for _, test := range []struct{ got, want string }{
		{Thousands(0), "0"},
		{Thousands(999), "999"},
		{Thousands(1_000), "1,000"},
		{Thousands(-1_234_567), "-1,234,567"},
		{Thousands(-123), "-123"},
		{Plural(1, "hit"), "1 hit"},
		{Plural(0, "hit"), "0 hits"},
		{Plural(2_000, "hit"), "2,000 hits"},
		{Compact(9_999), "9,999"},
		{Compact(10_000), "10.0k"},
		{Compact(1_250_000), "1.2M"},
		{Compact(3e9), "3.0G"},
		{Compact(2e12), "2.0T"},
		{USD(0), "$0.00"},
		{USD(1), "< $0.0001"},
		{USD(49_999), "< $0.0001"},
		{USD(50_000), "$0.0001"},
		{USD(14_500_000), "$0.0145"},
		{USD(999_949_999), "$0.9999"},
		{USD(999_950_000), "$1.00"},
		{USD(1_004_999_999), "$1.00"},
		{USD(1_005_000_000), "$1.01"},
		{USD(1_234_567_890_000_000), "$1,234,567.89"},
		{Share(0, 0), "–"},
		{Share(0, 3), "0 %"},
		{Share(1, 3), "33 %"},
		{Share(1, 300), "0.3 %"},
		{Share(3, 3), "100 %"},
		{Change(1, 0), ""},
		{Change(100, 100), "±0 %"},
		{Change(150, 100), "+50 %"},
		{Change(0, 100), "-100 %"},
		{Change(2_000, 100), "×20"},
		{Size(999), "999 B"},
		{Size(55_000), "55 KB"},
		{Size(1_200_000), "1.2 MB"},
		{Duration(430 * time.Microsecond), "0.4 ms"},
		{Duration(12 * time.Millisecond), "12 ms"},
		{Duration(4_200 * time.Millisecond), "4.2 s"},
		{Duration(90 * time.Second), "1 min 30 s"},
		{Duration(3*time.Hour + 5*time.Minute), "3 h 5 min"},
		{Micros(0), "–"},
		{Micros(2_000), "2.0 ms"},
		{TotalCost(priced), "$12.35"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func TestWhatIsNotKnownIsNeverZero(t *testing.T) {
	count := func(states ...exchange.Exchange) (c ledger.Counts) {
		for _, e := range states {
			c = c.Add(ledger.Count(e))
		}
		return c
	}
	of := func(usage exchange.UsageState, cost exchange.CostState) exchange.Exchange {
		e := exchange.Exchange{Outcome: exchange.Completed, Status: 200, Cost: exchange.Cost{State: cost}, Usage: exchange.Usage{State: usage}}
		if usage == exchange.UsageExact || usage == exchange.UsageEstimated {
			e.Usage.Usage = openai.Usage{Input: 900, Output: 100, Total: 1_000}
		}
		if cost == exchange.CostPriced {
			e.Cost.Nanos = 2_000_000_000
		}
		return e
	}
	exact, unpriced := of(exchange.UsageExact, exchange.CostPriced), of(exchange.UsageExact, exchange.CostUnpriced)
	estimated, missing := of(exchange.UsageEstimated, exchange.CostPriced), of(exchange.UsageMissing, exchange.CostUnpriced)
	tokens := func(c ledger.Counts) string { return TotalTokens(c, c.Usage.Total, Thousands) }
	for _, test := range []struct{ got, want string }{
		{Cost(exact.Cost), "$2.00"},
		{Cost(unpriced.Cost), "unpriced"},
		{Cost(exchange.Cost{}), "–"},
		{TotalCost(count(exact)), "$2.00"},
		{TotalCost(count(exact, unpriced)), "≥ $2.00"},
		{TotalCost(count(unpriced)), "unpriced"},
		{Tokens(exact.Usage, 1_000), "1,000"},
		{Tokens(estimated.Usage, 1_000), "~1,000"},
		{Tokens(missing.Usage, 0), "unknown"},
		{Tokens(exchange.Usage{State: exchange.UsageNone}, 0), "–"},
		{tokens(count(exact)), "1,000"},
		{tokens(count(exact, estimated)), "~2,000"},
		{tokens(count(exact, missing)), "≥ 1,000"},
		{tokens(count(missing)), "unknown"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}
