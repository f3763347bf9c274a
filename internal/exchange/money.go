package exchange

import (
	"encoding/json"
	"fmt"
	"strings"
)

// USD prints USD nanos as USD, exactly, with at least two places: "1.50".
func USD(nanos int64) json.Number { return Decimal(nanos, 9, 2) }

// Decimal prints n / 10^places exactly, with at least so many places kept.
func Decimal(n int64, places, keep int) json.Number {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	text := fmt.Sprintf("%0*d", places+1, n)
	whole, fraction := text[:len(text)-places], text[len(text)-places:]
	fraction = fraction[:keep] + strings.TrimRight(fraction[keep:], "0")
	if fraction != "" {
		fraction = "." + fraction
	}
	return json.Number(sign + whole + fraction)
}
