package sqlite

import (
	"path/filepath"
	"testing"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/ledger/ledgertest"
)

func TestTheLedgerIsListed(t *testing.T) {
	ledgertest.RunBrowse(t, func(t *testing.T) ledgertest.BrowseStore {
		return openLedger(t, filepath.Join(t.TempDir(), "ledger.db"))
	})
}

func BenchmarkBrowseMillionRows(b *testing.B) {
	store := openLedger(b, filepath.Join(b.TempDir(), "ledger.db"))
	if _, err := store.Rebuild(b.Context(), func(yield func(exchange.Exchange, error) bool) {
		for n := 0; n < 1_000_000 && yield(benchExchange(n), nil); n++ {
		}
	}); err != nil {
		b.Fatal(err)
	}
	for name, q := range map[string]ledger.SessionQuery{
		"sessions":                   {Limit: 51},
		"sessions of one developer":  {Limit: 51, Developer: "developer-007@example.com"},
		"sessions with a rare model": {Limit: 51, Model: "none"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Sessions(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, q := range map[string]ledger.ExchangeQuery{
		"exchanges":                  {Limit: 101},
		"exchanges of one developer": {Limit: 101, Developer: "developer-007@example.com"},
		"exchanges of one session":   {Limit: 501, Session: "0199a213-81c0-7800-8aa1-000000000777"},
		"exchanges that failed":      {Limit: 101, Outcome: exchange.Failed},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Exchanges(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
