package exchange

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
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

var usdPattern = regexp.MustCompile(`^([0-9]{1,9})(?:\.([0-9]{1,9}))?$`)

// ParseUSD reads an amount of USD such as 12.50, exactly, as USD nanos.
func ParseUSD(text string) (nanos int64, err error) {
	parts := usdPattern.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is no amount of USD: use one such as 12.50, with at most 9 digits on either side of the point", text)
	}
	return strconv.ParseInt(parts[1]+(parts[2] + "000000000")[:9], 10, 64)
}
