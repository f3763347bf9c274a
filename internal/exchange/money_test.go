package exchange

import "testing"

func TestAmountsAreReadAndWrittenExactly(t *testing.T) {
	for text, nanos := range map[string]int64{"0": 0, "12.50": 12_500_000_000, "0.000000001": 1, "999999999.999999999": 999_999_999_999_999_999} {
		got, err := ParseUSD(text)
		if err != nil || got != nanos {
			t.Errorf("%s is %d nanos, want %d, %v", text, got, nanos, err)
		}
		if again, err := ParseUSD(USD(nanos).String()); err != nil || again != nanos {
			t.Errorf("%s is written as %s", text, USD(nanos))
		}
	}
	for _, text := range []string{"", "-1", "1e3", "1,50", " 1", "1.", ".5", "1234567890", "0.0000000001", "cheap"} {
		if nanos, err := ParseUSD(text); err == nil {
			t.Errorf("%q is taken for %d nanos", text, nanos)
		}
	}
}
