package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// benchCarrying is benchExchange where every tenth session has brought two
// secrets with its first turn, and sends them again with each later one.
func benchCarrying(n int) exchange.Exchange {
	e := benchExchange(n)
	if session, turn := n/benchTurns, n%benchTurns; session%10 == 0 {
		for i := range 2 {
			e.Findings = append(e.Findings, exchange.Finding{
				Rule: []string{"github-token", "password"}[i], Fingerprint: fmt.Sprintf("%016x%016x", session%3000*2654435761+i, session%3000),
				Mode: []exchange.FindingMode{exchange.Redacted, exchange.Reported}[i], Path: "input[17].output", New: turn == 0,
			})
		}
	}
	return e
}

func BenchmarkIncidentsOfMillionExchanges(b *testing.B) {
	const million = 1_000_000
	store := openLedger(b, filepath.Join(b.TempDir(), "ledger.db"))
	if _, err := store.Rebuild(b.Context(), func(yield func(exchange.Exchange, error) bool) {
		for n := 0; n < million && yield(benchCarrying(n), nil); n++ {
		}
	}); err != nil {
		b.Fatal(err)
	}
	day := benchStart.AddDate(0, 0, 7)
	for _, c := range []struct {
		name string
		q    ledger.IncidentQuery
	}{
		{"all", ledger.IncidentQuery{}},
		{"all days", ledger.IncidentQuery{From: benchStart, To: benchStart.AddDate(0, 0, benchDays+1)}},
		{"a month", ledger.IncidentQuery{From: benchStart, To: benchStart.AddDate(0, 1, 0)}},
		{"a day", ledger.IncidentQuery{From: day, To: day.AddDate(0, 0, 1)}},
		{"one developer", ledger.IncidentQuery{Developer: "developer-010@example.com"}},
		{"left", ledger.IncidentQuery{Mode: exchange.Reported}},
		{"a fingerprint", ledger.IncidentQuery{Fingerprint: fmt.Sprintf("%016x", 10*2654435761)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var incidents []ledger.Incident
			for b.Loop() {
				var err error
				if incidents, err = store.Incidents(b.Context(), c.q); err != nil || len(incidents) == 0 {
					b.Fatalf("%d incidents, %v", len(incidents), err)
				}
			}
			b.ReportMetric(float64(len(incidents)), "incidents")
		})
	}
	b.Run("sightings", func(b *testing.B) {
		for b.Loop() {
			for _, err := range store.Sightings(b.Context(), fmt.Sprintf("%016x%016x", 10*2654435761, 10)) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
