package replay

import (
	"fmt"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// thousands writes a number with its digits in groups of three.
func thousands(n int64) string {
	digits := fmt.Sprint(n)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// plural is a number of things.
func plural(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return thousands(n) + " " + thing + "s"
}

// duration is a time for people.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
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

// micros is a time in microseconds for people; "–" for none.
func micros(n int64) string {
	if n <= 0 {
		return "–"
	}
	return duration(time.Duration(n) * time.Microsecond)
}

// usd is an amount for people. One exchange often costs less than a cent.
func usd(nanos int64) string {
	const unit = 100_000 // a hundredth of a cent
	units := (nanos + unit/2) / unit
	switch {
	case units == 0 && nanos > 0:
		return "< $0.0001"
	case units < 10_000:
		return fmt.Sprintf("$0.%04d", units)
	}
	return fmt.Sprintf("$%s.%02d", thousands(units/10_000), units%10_000/100)
}

// cost is what one exchange cost: unknown is not zero.
func cost(c exchange.Cost) string {
	switch c.State {
	case exchange.CostPriced:
		return usd(c.Nanos)
	case exchange.CostUnpriced:
		return "unpriced"
	}
	return "–"
}

// tokens is a count of tokens of one exchange: unknown is not zero.
func tokens(u exchange.Usage, n int64) string {
	switch u.State {
	case exchange.UsageExact:
		return thousands(n)
	case exchange.UsageEstimated:
		return "~" + thousands(n)
	case exchange.UsageMissing:
		return "unknown"
	}
	return "–"
}

// cachedShare is how much of the input OpenAI had in its cache.
func cachedShare(cached, input int64) string {
	if input <= 0 {
		return "–"
	}
	return fmt.Sprintf("%d %%", cached*100/input)
}

// totalCost is what several exchanges cost.
func totalCost(c ledger.Counts) string {
	switch {
	case c.CostUnknown():
		return "unpriced"
	case c.Unpriced > 0:
		return usd(c.CostNanos) + " and " + thousands(c.Unpriced) + " unpriced"
	}
	return usd(c.CostNanos)
}

// totalTokens is how many tokens several exchanges used.
func totalTokens(c ledger.Counts) string {
	switch {
	case c.TokensUnknown():
		return "unknown"
	case c.Missing > 0:
		return "≥ " + thousands(c.Usage.Total)
	case c.Estimated > 0:
		return "~" + thousands(c.Usage.Total)
	}
	return thousands(c.Usage.Total)
}

// speaker names who said the error of an exchange.
func speaker(o exchange.Origin) string {
	switch o {
	case exchange.OriginOpenAI:
		return "OpenAI"
	case exchange.OriginProxy:
		return "the proxy"
	case exchange.OriginClient:
		return "the client"
	case "":
		return ""
	}
	return string(o)
}

// outcomeWords says how an exchange ended.
func outcomeWords(o exchange.Outcome) string {
	switch o {
	case exchange.Completed:
		return "completed"
	case exchange.Failed:
		return "failed"
	case exchange.UpstreamError:
		return "broken off by OpenAI"
	case exchange.ClientCancelled:
		return "cancelled by the developer"
	case exchange.Interrupted:
		return "interrupted"
	case exchange.Refused:
		return "refused by the proxy"
	}
	return string(o)
}

// became says what became of a secret.
func became(m exchange.FindingMode) string {
	switch m {
	case exchange.Reported:
		return "left as it was"
	case exchange.Redacted:
		return "replaced by a placeholder"
	case exchange.Blocked:
		return "blocked"
	}
	return string(m)
}
