package numbers

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
)

// BenchmarkOverviewOfAMillion makes pages over a million exchanges by 200
// developers in 60 days, who work from midnight to 08:20 UTC: of the time that is
// named, and as much before.
func BenchmarkOverviewOfAMillion(b *testing.B) {
	const million, turns, developers, rangeDays = 1_000_000, 20, 200, 60
	f := newFixture(b)
	first := now.Truncate(24*time.Hour).AddDate(0, 0, 1-rangeDays)
	if _, err := f.ledger.Rebuild(b.Context(), func(yield func(exchange.Exchange, error) bool) {
		for n := range million {
			session, turn := n/turns, n%turns
			at := first.AddDate(0, 0, session/developers%rangeDays).Add(time.Duration(session*7919%30_000)*time.Second + time.Duration(turn*130)*time.Second)
			who := session % developers
			e := spent(at, fmt.Sprintf("developer-%03d@example.com", who), fmt.Sprintf("team-%02d", who%12), []string{"gpt-5.1-codex", "gpt-5.1-codex-mini", "gpt-5.2"}[session%3], 10)
			e.Session = fmt.Sprint(session)
			if n%40 == 0 {
				e.Outcome, e.ErrorOrigin = exchange.Failed, exchange.OriginOpenAI
			}
			if !yield(e, nil) {
				return
			}
		}
	}); err != nil {
		b.Fatal(err)
	}
	for _, query := range []string{
		"", "range=today", "range=30d", "range=30d&by=developer", "range=30d&zone=Asia/Tokyo",
		"from=2026-01-18&to=2026-03-18&compare=no", "range=30d&developer=developer-007@example.com", "range=30d&team=team-07", "range=30d&model=gpt-5.2",
	} {
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				if w := f.get("/console/overview?" + query); w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
