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
	code, _ := addInvitation(t, store, now)
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
}

// TestATokenIsKeptForAnOpenInvitationAlone asks the store itself, as the pages
// would have looked before.
func TestATokenIsKeptForAnOpenInvitationAlone(t *testing.T) {
	store := openDevelopers(t, filepath.Join(t.TempDir(), "developers.db"))
	addAlice(t, store)
	now := time.Now()
	redeem := func(code invite.Code, holder string, at time.Time) (kept bool) {
		t.Helper()
		_, fresh, err := developer.Issue(rand.Reader, holder, "", at, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		redeemed := store.Redeem(t.Context(), code.Hash(), fresh)
		_, err = store.Token(t.Context(), fresh.ID)
		if errors.Is(redeemed, invite.ErrNotOpen) && errors.Is(err, developer.ErrNotFound) {
			return false
		}
		if redeemed != nil || err != nil {
			t.Errorf("Redeem: %v; Token: %v", redeemed, err)
		}
		return true
	}
	code, sealed := addInvitation(t, store, now)
	if redeem(code, "bob", now) {
		t.Error("it is another developer's")
	}
	if redeem(code, "alice@example.com", sealed.Expires) {
		t.Error("it has expired")
	}
	if redeem("another", "alice@example.com", now) {
		t.Error("there is none")
	}
	if !redeem(code, "alice@example.com", now) {
		t.Error("it is open")
	}
	if redeem(code, "alice@example.com", now) {
		t.Error("it was used")
	}
	code, sealed = addInvitation(t, store, now)
	if _, err := store.CancelInvitation(t.Context(), sealed.ID, now); err != nil {
		t.Fatal(err)
	}
	if redeem(code, "alice@example.com", now) {
		t.Error("it was cancelled")
	}
	code, _ = addInvitation(t, store, now)
	if _, err := store.UpdateDeveloper(t.Context(), "alice@example.com", func(d *developer.Developer) error { d.Enabled = false; return nil }); err != nil {
		t.Fatal(err)
	}
	if redeem(code, "alice@example.com", now) {
		t.Error("its developer is disabled")
	}
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
