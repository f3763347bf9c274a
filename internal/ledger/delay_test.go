package ledger_test

import (
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

func TestAPercentileOfDelaysIsRightToATenth(t *testing.T) {
	delays := ledger.Delays{}
	for n := range 1000 { // 1 ms, 2 ms … 1 s
		delays.Count(exchange.Exchange{AddedMicros: int64(n+1) * 1000, Outcome: exchange.Completed})
	}
	delays.Count(exchange.Exchange{AddedMicros: 1e9, Outcome: exchange.Refused})
	delays.Count(exchange.Exchange{Outcome: exchange.ClientCancelled})
	for percent, want := range map[float64]time.Duration{50: 500 * time.Millisecond, 99: 990 * time.Millisecond} {
		got, ok := delays.Percentile(percent)
		if !ok || float64(got) < .88*float64(want) || float64(got) > 1.12*float64(want) {
			t.Errorf("%g %% stayed within %v, want about %v", percent, got, want)
		}
	}
	if _, ok := (ledger.Delays{}).Percentile(50); ok {
		t.Error("no delays at all have a percentile")
	}
}
