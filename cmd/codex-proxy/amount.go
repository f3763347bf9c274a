package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"codex-proxy/internal/ledger"
)

// perMillion prints USD picos per token as USD per million tokens, exactly; no
// price is empty.
func perMillion(picos int64) json.Number {
	if picos == ledger.NoPrice {
		return ""
	}
	return decimalNumber(picos, 6, 0)
}

// decimalNumber prints n / 10^places exactly, with at least so many places kept.
func decimalNumber(n int64, places, keep int) json.Number {
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

// usdNumber prints USD nanos as USD, exactly.
func usdNumber(nanos int64) json.Number { return decimalNumber(nanos, 9, 2) }

// grouped prints a number with its thousands apart.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}
