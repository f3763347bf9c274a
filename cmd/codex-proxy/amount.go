package main

import (
	"encoding/json"
	"strconv"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// perMillion prints USD picos per token as USD per million tokens, exactly; no
// price is empty.
func perMillion(picos int64) json.Number {
	if picos == ledger.NoPrice {
		return ""
	}
	return exchange.Decimal(picos, 6, 0)
}

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
