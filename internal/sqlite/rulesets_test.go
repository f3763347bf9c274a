package sqlite

import (
	"path/filepath"
	"testing"

	"codex-proxy/internal/redaction"
	"codex-proxy/internal/redaction/redactiontest"
)

func TestRuleSetsKeepTheStoresContract(t *testing.T) {
	redactiontest.Run(t, func(t *testing.T) func() redaction.History {
		path := filepath.Join(t.TempDir(), "developers.db")
		return func() redaction.History { return openDevelopers(t, path) } // each with its own connections
	})
}
