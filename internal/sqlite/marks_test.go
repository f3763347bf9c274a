package sqlite

import (
	"path/filepath"
	"testing"

	"codex-proxy/internal/ledger"
	"codex-proxy/internal/ledger/ledgertest"
)

func TestMarksKeepTheStoresContract(t *testing.T) {
	ledgertest.RunMarks(t, func(t *testing.T) ledger.Marks {
		store, err := OpenDevelopers(t.Context(), filepath.Join(t.TempDir(), "developers.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return store
	})
}
