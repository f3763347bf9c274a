package sqlite

import (
	"crypto/rand"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
)

func TestDevelopersOfTheFirstVersionKeepTheirsAndTakeInvitations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "developers.db")
	first, err := Open(t.Context(), path, developersMigrations[:1])
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
	code, _ := addInvitation(t, store, time.Now())
	offer, err := store.Offer(t.Context(), code.Hash())
	if err != nil || offer.Holder.Name != "Alice" {
		t.Errorf("the offer is for %q, %v", offer.Holder.Name, err)
	}
}

func addInvitation(t *testing.T, store *Developers, now time.Time) (invite.Code, invite.Sealed) {
	t.Helper()
	code, sealed, err := invite.New(rand.Reader, "alice@example.com", now, now.Add(time.Hour))
	if err == nil {
		_, err = store.AddInvitation(t.Context(), sealed, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return code, sealed
}

func TestAnInvitationAndItsTokenAreKeptBothOrNeither(t *testing.T) {
	store := openDevelopers(t, filepath.Join(t.TempDir(), "developers.db"))
	addAlice(t, store)
	now := time.Now()
	code, sealed := addInvitation(t, store, now)
	_, taken, err := developer.Issue(rand.Reader, "alice@example.com", "", now, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.AddToken(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	// The token cannot be kept, so the invitation is still open.
	if err := store.Redeem(t.Context(), code.Hash(), taken); !errors.Is(err, developer.ErrExists) {
		t.Fatalf("Redeem: %v", err)
	}
	if offer, err := store.Offer(t.Context(), code.Hash()); err != nil || offer.State(now) != "open" {
		t.Errorf("the invitation is %s, %v", offer.State(now), err)
	}
	// Nor is a token kept where the invitation is another's, or no longer open.
	redeem := func(holder string) {
		t.Helper()
		_, fresh, err := developer.Issue(rand.Reader, holder, "", now, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Redeem(t.Context(), code.Hash(), fresh); !errors.Is(err, invite.ErrNotOpen) {
			t.Errorf("Redeem for %s: %v", holder, err)
		}
		if _, err := store.Token(t.Context(), fresh.ID); !errors.Is(err, developer.ErrNotFound) {
			t.Errorf("the token of %s is kept: %v", holder, err)
		}
	}
	redeem("bob")
	if _, err := store.CancelInvitation(t.Context(), sealed.ID, now); err != nil {
		t.Fatal(err)
	}
	redeem("alice@example.com")
}

func TestAnInvitationOfNobodyIsNotKept(t *testing.T) {
	store := openDevelopers(t, filepath.Join(t.TempDir(), "developers.db"))
	_, sealed, err := invite.New(rand.Reader, "alice@example.com", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.AddInvitation(t.Context(), sealed, false); !errors.Is(err, developer.ErrNotFound) {
		t.Errorf("AddInvitation: %v", err)
	}
}
