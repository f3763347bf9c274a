package sqlite

import (
	"crypto/rand"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/onboard/invite/invitetest"
)

func TestDevelopersOfTheFirstVersionKeepTheirsAndTakeInvitations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "developers.db")
	first, err := Open(t.Context(), path, developersMigrations[:1], Own)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO developers VALUES ('alice@example.com', 'Alice', 'default', 1, 1, 1)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	store := openDevelopers(t, path)
	code, sealed, err := invite.New(rand.Reader, "alice@example.com", time.Now(), time.Now().Add(time.Hour))
	if err == nil {
		_, err = store.AddInvitation(t.Context(), sealed, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	offer, err := store.Offer(t.Context(), code.Hash())
	if err != nil || offer.Holder.Name != "Alice" {
		t.Errorf("the offer is for %q, %v", offer.Holder.Name, err)
	}
}

func TestInvitationsKeepTheStoresContract(t *testing.T) {
	invitetest.Run(t, func(t *testing.T) invitetest.Store {
		return openDevelopers(t, filepath.Join(t.TempDir(), "developers.db"))
	})
}
