package console

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
)

// functions are what the templates call.
func functions() template.FuncMap {
	return template.FuncMap{
		"at": func(t time.Time) string {
			if t.IsZero() {
				return "–"
			}
			return t.UTC().Format("2006-01-02 15:04")
		},
		"usd":       func(nanos int64) string { return exchange.USD(nanos).String() },
		"thousands": thousands,
		"plural":    func(n int, word string) string { return plural(int64(n), word) },
		"plural64":  plural,
		"share": func(part, whole int64) string {
			if whole == 0 {
				return "0 %"
			}
			return fmt.Sprintf("%d %%", part*100/whole)
		},
		"duration": func(d time.Duration) string {
			if d%time.Hour == 0 {
				return plural(int64(d/time.Hour), "hour")
			}
			return plural(int64(d/time.Minute), "minute")
		},
		"verdict": func(cell string) string {
			switch cell {
			case "ok", "warn", "FAIL":
				return "verdict-" + strings.ToLower(cell)
			}
			return ""
		},
	}
}

func plural(n int64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return thousands(n) + " " + word + "s"
}

// thousands writes a number with commas.
func thousands(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
