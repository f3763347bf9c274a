package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// benchStart is the first of the days that the big ledger is about.
var benchStart = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)

const (
	benchDays, benchDevelopers = 60, 200
	benchTurns                 = 20 // of a session, about two minutes apart
)

// benchExchange is the nth exchange of a working organisation.
func benchExchange(n int) exchange.Exchange {
	session, turn := n/benchTurns, n%benchTurns
	developer := session % benchDevelopers
	// Sessions begin on every day, from 07:00 to 17:00.
	started := benchStart.AddDate(0, 0, session/benchDevelopers%benchDays).
		Add(7*time.Hour + time.Duration(session*7919%36_000)*time.Second + time.Duration(turn*130)*time.Second + time.Duration(n%1000)*time.Microsecond)
	e := exchange.Exchange{
		ID: exchange.NewID(started), Started: started, Ended: started.Add(20 * time.Second),
		Developer: fmt.Sprintf("developer-%03d@example.com", developer), Team: fmt.Sprintf("team-%02d", developer%12), TokenID: "0123456789ab",
		Session: fmt.Sprintf("0199a213-81c0-7800-8aa1-%012d", session), Client: "codex_cli_rs/0.169.0 (Debian 13.0.0; x86_64) xterm-256color",
		Method: "POST", Path: "/v1/responses", Transport: exchange.WebSocket,
		ModelAsked: "gpt-5.1-codex", Model: []string{"gpt-5.1-codex", "gpt-5.1-codex-mini", "gpt-5.2"}[session%3], Status: 200, Outcome: exchange.Completed,
		UpstreamRequestID: "req_0123456789abcdef0123456789abcdef", RequestBytes: 200_000, ResponseBytes: 20_000, DurationMicros: 20_000_000,
	}
	e.Usage.State = exchange.UsageExact
	e.Usage.Input, e.Usage.Cached, e.Usage.Output, e.Usage.Reasoning, e.Usage.Total = 10_000, 8_000, 1_000, 500, 11_000
	e.Cost = exchange.Cost{State: exchange.CostPriced, Nanos: 13_500_000, Book: "2026-05-01"}
	return e
}

func BenchmarkReportMillionRows(b *testing.B) {
	const million = 1_000_000
	store := openLedger(b, filepath.Join(b.TempDir(), "ledger.db"))
	if _, err := store.Rebuild(b.Context(), func(yield func(exchange.Exchange, error) bool) {
		for n := 0; n < million && yield(benchExchange(n), nil); n++ {
		}
	}); err != nil {
		b.Fatal(err)
	}
	var sums int64
	if err := store.db.Reader().QueryRowContext(b.Context(), `SELECT count(*) FROM sums`).Scan(&sums); err != nil {
		b.Fatal(err)
	}
	all := ledger.Query{From: benchStart, To: benchStart.AddDate(0, 0, benchDays+1), Zone: time.UTC}
	report := func(name string, q ledger.Query, want int64) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				report, err := ledger.NewReport(b.Context(), store, q)
				if err != nil {
					b.Fatal(err)
				}
				if n := report.Total.Records; n != want && want > 0 || n == 0 {
					b.Fatalf("%d records, want %d", n, want)
				}
			}
			b.ReportMetric(float64(sums), "sums")
		})
	}
	for _, by := range []ledger.By{ledger.ByDeveloper, ledger.ByTeam, ledger.ByModel, ledger.ByDay, ledger.BySession} {
		q := all
		q.By = by
		report("by="+string(by), q, million)
	}
	one := all
	one.By, one.Developer = ledger.ByDay, "developer-007@example.com"
	report("one developer by=day", one, million/benchDevelopers)
	one = all
	one.By, one.Model = ledger.ByDeveloper, "gpt-5.2"
	report("one model by=developer", one, 0)
	one = all
	one.By, one.From, one.To = ledger.ByDeveloper, benchStart.AddDate(0, 0, 7), benchStart.AddDate(0, 0, 8)
	report("one day by=developer", one, 0)
	b.Run("spent", func(b *testing.B) {
		for b.Loop() {
			if _, err := store.Spent(b.Context(), "developer-007@example.com", "", benchStart, benchStart.AddDate(0, 1, 0)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("spent by a team", func(b *testing.B) {
		for b.Loop() {
			if _, err := store.Spent(b.Context(), "", "team-07", benchStart, benchStart.AddDate(0, 1, 0)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	for _, batch := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			store := openLedger(b, filepath.Join(b.TempDir(), "ledger.db"))
			rows, n := make([]exchange.Exchange, batch), 0
			for b.Loop() {
				for i := range rows {
					rows[i] = benchExchange(n)
					n++
				}
				if err := store.Add(b.Context(), rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
