package sqlite

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/ledger/ledgertest"
)

func openLedger(t testing.TB, path string) *Ledger {
	t.Helper()
	store, err := OpenLedger(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func TestTheLedgerKeepsTheStoresContract(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) ledger.Store {
		return openLedger(t, filepath.Join(t.TempDir(), "ledger.db"))
	})
}

func TestReportsWhileExchangesAreAddedAreNeverTorn(t *testing.T) {
	const writers, batches, batch = 4, 20, 10
	path := filepath.Join(t.TempDir(), "ledger.db")
	server, command := openLedger(t, path), openLedger(t, path)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()

	var adding, reporting sync.WaitGroup
	for writer := range writers {
		rows := ledgertest.Rows(uint64(writer), batches*batch)
		adding.Go(func() {
			for i := 0; i < len(rows); i += batch {
				// One that has waited too long for its turn is repeated, as by the spool.
				for server.Add(ctx, rows[i:i+batch]) != nil && ctx.Err() == nil {
				}
			}
		})
	}
	for _, by := range []ledger.By{ledger.ByDeveloper, ledger.ByDay, ledger.BySession} {
		reporting.Go(func() {
			before := int64(0)
			for before < writers*batches*batch && ctx.Err() == nil {
				report, err := ledger.NewReport(t.Context(), command, ledger.Query{From: ledgertest.Start, To: ledgertest.End, By: by, Zone: time.UTC})
				if err != nil {
					t.Error(err)
					return
				}
				n := report.Total.Records
				if n < before || n%batch != 0 {
					t.Errorf("a report by %s counts %d exchanges after %d, in batches of %d", by, n, before, batch)
				}
				before = n
			}
			if before != writers*batches*batch {
				t.Errorf("a report by %s counts %d exchanges at last, want %d", by, before, writers*batches*batch)
			}
		})
	}
	adding.Wait()
	reporting.Wait()
}

func TestALockedLedgerIsAnErrorAndNotAnEndlessWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	server, other := openLedger(t, path), openLedger(t, path)
	rows := ledgertest.Rows(1, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := other.db.Write(ctx, func(*sql.Tx) error {
		err := server.Add(ctx, rows)
		if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), "another process holds the database's lock") {
			t.Errorf("Add: %v, want to hear of the lock in time", err)
		}
		if spent, err := server.Spent(ctx, "alice@example.com", "", ledgertest.Start, ledgertest.End); err != nil || spent != 0 {
			t.Errorf("Spent: %d, %v; readers need no lock", spent, err)
		}
		// What is rated for a look only needs none either.
		_, err = server.Reprice(ctx, ledgertest.Start, ledgertest.End, func(e exchange.Exchange) exchange.Cost { return e.Cost }, true)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := server.Add(ctx, rows); err != nil {
		t.Errorf("Add after the lock is gone: %v", err)
	}
}

func TestARepriceReadsByTheIndex(t *testing.T) {
	store := openLedger(t, filepath.Join(t.TempDir(), "ledger.db"))
	rows, err := store.db.Reader().QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+selectPage, 0, "", 1, pageRows)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan.WriteString(detail + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(plan.String(), "USING INDEX exchanges_started") || strings.Contains(plan.String(), "TEMP B-TREE") {
		t.Errorf("the pages are not read in the order of the index:\n%s", plan.String())
	}
}
