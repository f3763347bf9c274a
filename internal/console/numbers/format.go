package numbers

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

// functions are what the templates call.
func functions(edition string) template.FuncMap {
	return template.FuncMap{
		"thousands": thousands, "safe": terminal.Safe, "cost": totalCost, "tokens": totalTokens,
		"share": share, "duration": duration,
		"both":   func(s stream, f form) map[string]any { return map[string]any{"Stream": s, "Form": f} },
		"static": func(name string) string { return staticPath + "/" + name + "?v=" + edition },
	}
}

// thousands writes a number with its digits in groups of three.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0 && digits[at-1] != '-'; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// compact writes a number in at most five characters.
func compact(n int64) string {
	for _, scale := range []struct {
		least  float64
		suffix string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if float64(n) >= scale.least {
			if scale.suffix == "k" {
				scale.least = 1e3
			}
			return strconv.FormatFloat(float64(n)/scale.least, 'f', 1, 64) + scale.suffix
		}
	}
	return thousands(n)
}

// usd is an amount for people, in cents unless it is less than one.
func usd(nanos int64) string {
	const cent = 10_000_000
	switch {
	case nanos > 0 && nanos < cent/100:
		return "< $0.0001"
	case nanos > 0 && nanos < cent:
		return fmt.Sprintf("$%.4f", float64(nanos)/1e9)
	}
	cents := (nanos + cent/2) / cent
	return fmt.Sprintf("$%s.%02d", thousands(cents/100), cents%100)
}

// totalCost is what several exchanges cost: unknown is not zero.
func totalCost(c ledger.Counts) string {
	if c.CostUnknown() {
		return "unpriced"
	}
	return usd(c.CostNanos)
}

// totalTokens is how many of a kind of tokens several exchanges used.
func totalTokens(c ledger.Counts, n int64) string {
	switch {
	case c.TokensUnknown():
		return "unknown"
	case c.Missing > 0:
		return "≥ " + thousands(n)
	case c.Estimated > 0:
		return "~" + thousands(n)
	}
	return thousands(n)
}

// share is a part of a whole in percent; "–" of nothing.
func share(part, whole int64) string {
	if whole <= 0 {
		return "–"
	}
	percent := 100 * float64(part) / float64(whole)
	if part > 0 && percent < 10 {
		return fmt.Sprintf("%.1f %%", percent)
	}
	return fmt.Sprintf("%.0f %%", percent)
}

// change is how much more there is than there was; empty where there was nothing.
func change(now, before int64) string {
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

// size is a number of bytes for people.
func size(bytes int64) string {
	for _, scale := range []struct {
		least int64
		unit  string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if bytes >= scale.least {
			return fmt.Sprintf("%.1f %s", float64(bytes)/float64(scale.least), scale.unit)
		}
	}
	return fmt.Sprintf("%d B", bytes)
}

// duration is a time for people.
func duration(d time.Duration) string {
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

// show writes a metric's value for people.
func (m metric) show(g *group) string {
	switch {
	case m.Unit == "usd":
		return totalCost(g.Counts)
	case m.Unit == "tokens":
		return totalTokens(g.Counts, m.value(g))
	}
	return thousands(m.value(g))
}

// plot is a metric's value for a chart: USD, or how many there are.
func (m metric) plot(value int64) float64 {
	if m.Unit == "usd" {
		return float64(value) / 1e9
	}
	return float64(value)
}

// costUSD is a cost for programs; nil when nothing is known of it.
func costUSD(c ledger.Counts) any {
	if c.CostUnknown() {
		return nil
	}
	return exchange.USD(c.CostNanos)
}
