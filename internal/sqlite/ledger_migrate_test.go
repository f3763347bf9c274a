package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/openai"
)

func TestALedgerOfTheFirstVersionKeepsItsRowsAndTakesMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	first, err := Open(t.Context(), path, ledgerMigrations[:1], Own)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	err = first.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `
			INSERT INTO exchanges VALUES ('one', ?1, ?1, 'alice@example.com', '', '', '', '', 'POST', '/v1/responses', 'http', 0,
				'gpt-5.1', 'gpt-5.1', '', 500, 'failed', '', 'overloaded', 'openai', '', 10, 8, 1, 0, 11, 'exact', 500, 'priced', 'old', 0, 0, 0, 0, 1500);
			INSERT INTO sums VALUES (?2, 'alice@example.com', '', '', 'gpt-5.1', 1, 1, 0, 0, 1, 10, 8, 1, 0, 11, 500, 0, 0, 0)`,
			start.UnixMicro(), quarter(start))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	store := openLedger(t, path)
	second := exchange.Exchange{
		ID: "two", Started: start, Developer: "alice@example.com", Model: "gpt-5.1", Outcome: exchange.Completed,
		Usage:    exchange.Usage{State: exchange.UsageExact, Usage: openai.Usage{Input: 10, CacheWrite: 3, Output: 1, Total: 11}},
		Cost:     exchange.Cost{State: exchange.CostPriced, Nanos: 700},
		Findings: []exchange.Finding{{Rule: "github-token", Fingerprint: "aa11", Mode: exchange.Redacted, New: true}},
	}
	if err := store.Add(t.Context(), []exchange.Exchange{{ID: "one", Started: start}, second}); err != nil {
		t.Fatal(err)
	}
	query := ledger.Query{From: start, To: start.AddDate(0, 0, 1), By: ledger.ByDeveloper, Zone: time.UTC}
	report, err := ledger.NewReport(t.Context(), store, query)
	if err != nil {
		t.Fatal(err)
	}
	want := ledger.Counts{
		Records: 2, Requests: 2, Errors: 1, ErrorsBy: ledger.Origins{OpenAI: 1}, CostNanos: 1200,
		Usage:   openai.Usage{Input: 20, Cached: 8, CacheWrite: 3, Output: 2, Total: 22},
		Secrets: ledger.Secrets{Redacted: 1},
	}
	if report.Total.Counts != want {
		t.Errorf("the report adds up to %+v, want %+v", report.Total.Counts, want)
	}
	delays, err := store.Delays(t.Context(), "", query.From, query.To)
	if within, ok := delays.Percentile(50); err != nil || !ok || within < time.Millisecond || within > 2*time.Millisecond {
		t.Errorf("the delays of before are %v, %v, want one of 1.5 ms", delays, err)
	}
	// Repricing reads every column of the old row too.
	changes, err := store.Reprice(t.Context(), query.From, query.To, func(e exchange.Exchange) exchange.Cost {
		return exchange.Cost{State: exchange.CostPriced, Nanos: e.Usage.Input + 100*e.Usage.CacheWrite}
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	if len(changes) != 1 || changes[0].NewNanos != 10+310 {
		t.Errorf("repricing would change %+v, want one model at 320 nanos", changes)
	}
}
