package figure

import (
	"fmt"
	"html/template"
	"maps"

	"codex-proxy/internal/ledger"
)

// Functions are what templates call to write numbers, with more of a package's own.
func Functions(more template.FuncMap) template.FuncMap {
	all := template.FuncMap{
		"int64":     func(n int) int64 { return int64(n) },
		"thousands": Thousands, "plural": Plural, "share": Share, "size": size,
		"usd": USD, "cost": Cost, "totalCost": TotalCost,
		"tokens": Tokens, "totalTokens": func(c ledger.Counts) string { return TotalTokens(c, c.Usage.Total, Thousands) },
		"duration": Duration, "micros": Micros,
	}
	maps.Copy(all, more)
	return all
}

// size is Size, of either kind of number that templates hold.
func size(n any) (string, error) {
	switch n := n.(type) {
	case int:
		return Size(int64(n)), nil
	case int64:
		return Size(n), nil
	}
	return "", fmt.Errorf("%v is no number of bytes", n)
}
