package numbers

import (
	"html/template"

	"codex-proxy/internal/console/figure"
	"codex-proxy/internal/terminal"
)

// functions are what the templates call.
func functions(edition string) template.FuncMap {
	return figure.Functions(template.FuncMap{
		"safe":   terminal.Safe,
		"both":   func(s stream, f form) map[string]any { return map[string]any{"Stream": s, "Form": f} },
		"static": func(name string) string { return staticPath + "/" + name + "?v=" + edition },
	})
}

// show writes a metric's value for people.
func (m metric) show(g *group) string {
	switch {
	case m.Unit == "usd":
		return figure.TotalCost(g.Counts)
	case m.Unit == "tokens":
		return figure.TotalTokens(g.Counts, m.value(g), figure.Thousands)
	}
	return figure.Thousands(m.value(g))
}

// plot is a metric's value for a chart: USD, or how many there are.
func (m metric) plot(value int64) float64 {
	if m.Unit == "usd" {
		return float64(value) / 1e9
	}
	return float64(value)
}
