// Package figure writes numbers as people read them on the console's pages, each
// kind in one way wherever it stands. What is not known is said to be so, and never
// written as 0.
package figure

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"codex-proxy/internal/conversation"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// none stands where there is nothing to tell.
const none = "–"

// Thousands writes a number with its digits in groups of three.
func Thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// Plural is a number of things.
func Plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Thousands(n) + " " + thing + "s"
}

// Compact writes a number in a few characters.
func Compact(n int64) string {
	for _, scale := range []struct {
		from, unit float64
		suffix     string
	}{{1e12, 1e12, "T"}, {1e9, 1e9, "G"}, {1e6, 1e6, "M"}, {1e4, 1e3, "k"}} {
		if float64(n) >= scale.from {
			return strconv.FormatFloat(float64(n)/scale.unit, 'f', 1, 64) + scale.suffix
		}
	}
	return Thousands(n)
}

// USD is an amount in USD nanos: in cents from a dollar on, and to a hundredth of a
// cent below, as one exchange often costs less than a cent.
func USD(nanos int64) string {
	const unit = 100_000 // a hundredth of a cent
	units := (nanos + unit/2) / unit
	switch {
	case nanos == 0:
		return "$0.00"
	case units == 0:
		return "< $0.0001"
	case units < 10_000:
		return fmt.Sprintf("$0.%04d", units)
	}
	cents := (nanos + 50*unit) / (100 * unit)
	return fmt.Sprintf("$%s.%02d", Thousands(cents/100), cents%100)
}

// Cost is what one exchange cost.
func Cost(c exchange.Cost) string {
	switch c.State {
	case exchange.CostPriced:
		return USD(c.Nanos)
	case exchange.CostUnpriced:
		return "unpriced"
	}
	return none
}

// TotalCost is what several exchanges cost, and at least that where some have no
// price.
func TotalCost(c ledger.Counts) string {
	switch {
	case c.CostUnknown():
		return "unpriced"
	case c.Unpriced > 0:
		return "≥ " + USD(c.CostNanos)
	}
	return USD(c.CostNanos)
}

// Tokens is a number of tokens of one exchange.
func Tokens(u exchange.Usage, n int64) string {
	switch u.State {
	case exchange.UsageExact:
		return Thousands(n)
	case exchange.UsageEstimated:
		return "~" + Thousands(n)
	case exchange.UsageMissing:
		return "unknown"
	}
	return none
}

// TotalTokens is a number of tokens of several exchanges, written by write.
func TotalTokens(c ledger.Counts, n int64, write func(int64) string) string {
	switch {
	case c.TokensUnknown():
		return "unknown"
	case c.Missing > 0:
		return "≥ " + write(n)
	case c.Estimated > 0:
		return "~" + write(n)
	}
	return write(n)
}

// Share is a part of a whole, in percent.
func Share(part, whole int64) string {
	if whole <= 0 {
		return none
	}
	percent := 100 * float64(part) / float64(whole)
	if part > 0 && percent < 10 {
		return fmt.Sprintf("%.1f %%", percent)
	}
	return fmt.Sprintf("%.0f %%", percent)
}

// Change is how much more there is than there was; empty where there was nothing.
func Change(now, before int64) string {
	if before <= 0 {
		return ""
	}
	percent := math.Round(100 * float64(now-before) / float64(before))
	switch {
	case percent == 0:
		return "±0 %"
	case percent > 999:
		return fmt.Sprintf("×%.0f", float64(now)/float64(before))
	}
	return fmt.Sprintf("%+.0f %%", percent)
}

// Size is a number of bytes, as the command line writes it.
func Size(bytes int64) string { return conversation.Size(int(bytes)) }

// Duration is a length of time.
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// Micros is a length of time in microseconds, of which 0 is none.
func Micros(n int64) string {
	if n <= 0 {
		return none
	}
	return Duration(time.Duration(n) * time.Microsecond)
}
