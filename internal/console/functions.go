package console

import (
	"html/template"
	"strings"
	"time"

	"codex-proxy/internal/console/figure"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

// functions are what the templates call.
func functions() template.FuncMap {
	return figure.Functions(template.FuncMap{
		"at": func(t time.Time) string {
			if t.IsZero() {
				return "–"
			}
			return t.UTC().Format("2006-01-02 15:04")
		},
		"safe":      terminal.Safe,
		"safeLines": terminal.SafeLines,
		"spent":     newMeter,
		"life": func(d time.Duration) string {
			if d%time.Hour == 0 {
				return figure.Plural(int64(d/time.Hour), "hour")
			}
			return figure.Plural(int64(d/time.Minute), "minute")
		},
		"verdict": func(cell string) string {
			switch cell {
			case "ok", "warn", "FAIL":
				return "verdict-" + strings.ToLower(cell)
			}
			return ""
		},
	})
}

// meter is how much of a budget is spent, in USD.
type meter struct {
	Share               string
	Spent, High, Budget float64
}

func newMeter(c ledger.Counts, budgetNanos int64) meter {
	const usd, warning = 1e9, 0.9
	budget := float64(budgetNanos) / usd
	return meter{figure.Share(c.CostNanos, budgetNanos), float64(c.CostNanos) / usd, warning * budget, budget}
}
