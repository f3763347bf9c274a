package sqlite

import (
	"path/filepath"
	"testing"

	"codex-proxy/internal/console"
	"codex-proxy/internal/console/consoletest"
)

func TestTheConsoleKeepsTheStoresContract(t *testing.T) {
	consoletest.Run(t, func(t *testing.T) console.Store {
		return openDevelopers(t, filepath.Join(t.TempDir(), "developers.db"))
	})
}
