// Package invitetest tests stores of invitations.
package invitetest

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
)

// Store is a store of developers and of the invitations that they get.
type Store interface {
	developer.Store
	invite.Store
	AddInvitation(ctx context.Context, sealed invite.Sealed, keep bool) (cancelled int64, err error)
	Invitations(ctx context.Context) ([]invite.Invitation, error)
	CancelInvitation(ctx context.Context, id string, at time.Time) (invite.Invitation, error)
}

// Run tests the stores that open makes; each must begin empty.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"an invitation and its token are kept both or neither":       keptBothOrNeither,
		"a token is kept for an open invitation alone":               keptForAnOpenOneAlone,
		"an invitation of nobody is not kept":                        ofNobody,
		"an invitation is listed with what became of it":             isListed,
		"a later invitation cancels the earlier, unless it must not": cancelsEarlier,
		"an invitation is redeemed once, however many try":           redeemedOnce,
		"a code is of one invitation":                                codeIsUnique,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func addAlice(t *testing.T, store Store) {
	t.Helper()
	alice, err := developer.New("alice@example.com", "Alice", "", time.Now())
	if err == nil {
		err = store.AddDeveloper(t.Context(), alice)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func addInvitation(t *testing.T, store Store, now time.Time) (invite.Code, invite.Sealed) {
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

func keptBothOrNeither(t *testing.T, store Store) {
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

// keptForAnOpenOneAlone asks the store itself, as the pages
// would have looked before.
func keptForAnOpenOneAlone(t *testing.T, store Store) {
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

func ofNobody(t *testing.T, store Store) {
	_, sealed, err := invite.New(rand.Reader, "alice@example.com", time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.AddInvitation(t.Context(), sealed, false); !errors.Is(err, developer.ErrNotFound) {
		t.Errorf("AddInvitation: %v", err)
	}
}

func isListed(t *testing.T, store Store) {
	addAlice(t, store)
	now := time.Now().UTC().Truncate(time.Millisecond)
	code, used := addInvitation(t, store, now)
	_, token, err := developer.Issue(rand.Reader, "alice@example.com", "", now.Add(time.Second), time.Time{})
	if err == nil {
		err = store.Redeem(t.Context(), code.Hash(), token)
	}
	if err != nil {
		t.Fatal(err)
	}
	_, open := addInvitation(t, store, now.Add(time.Minute))
	all, err := store.Invitations(t.Context())
	if err != nil || len(all) != 2 || all[0].ID != used.ID || all[0].State(now) != "used" || all[0].Token != token.ID || all[1] != open.Invitation {
		t.Errorf("invitations: %+v, %v", all, err)
	}
	if offer, err := store.Offer(t.Context(), open.Hash); err != nil || offer.Invitation != open.Invitation || offer.Holder.Name != "Alice" {
		t.Errorf("offer: %+v, %v", offer, err)
	}
	if _, err := store.CancelInvitation(t.Context(), "none", now); !errors.Is(err, developer.ErrNotFound) {
		t.Errorf("CancelInvitation of none: %v", err)
	}
	for range 2 { // again it changes nothing
		cancelled, err := store.CancelInvitation(t.Context(), open.ID, now.Add(2*time.Minute))
		if err != nil || !cancelled.Cancelled.Equal(now.Add(2*time.Minute)) {
			t.Errorf("cancelled: %+v, %v", cancelled, err)
		}
	}
	if was, err := store.CancelInvitation(t.Context(), used.ID, now); err != nil || was.State(now) != "used" {
		t.Errorf("one that was used is now %s, %v", was.State(now), err)
	}
}

func cancelsEarlier(t *testing.T, store Store) {
	addAlice(t, store)
	now := time.Now()
	first, _ := addInvitation(t, store, now)
	_, sealed, err := invite.New(rand.Reader, "alice@example.com", now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if cancelled, err := store.AddInvitation(t.Context(), sealed, true); cancelled != 0 || err != nil {
		t.Errorf("beside the first: %d cancelled, %v", cancelled, err)
	}
	if _, err := store.Offer(t.Context(), first.Hash()); err != nil {
		t.Error(err)
	}
	_, sealed, err = invite.New(rand.Reader, "alice@example.com", now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if cancelled, err := store.AddInvitation(t.Context(), sealed, false); cancelled != 2 || err != nil {
		t.Errorf("in place of both: %d cancelled, %v", cancelled, err)
	}
	offer, err := store.Offer(t.Context(), first.Hash())
	if err != nil || offer.State(now) != "cancelled" {
		t.Errorf("the first is %s, %v", offer.State(now), err)
	}
}

func redeemedOnce(t *testing.T, store Store) {
	addAlice(t, store)
	now := time.Now()
	code, _ := addInvitation(t, store, now)
	var trying sync.WaitGroup
	outcomes := make(chan error, 8)
	for range cap(outcomes) {
		_, token, err := developer.Issue(rand.Reader, "alice@example.com", "", now, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		trying.Go(func() { outcomes <- store.Redeem(t.Context(), code.Hash(), token) })
	}
	trying.Wait()
	close(outcomes)
	redeemed := 0
	for err := range outcomes {
		if err == nil {
			redeemed++
		} else if !errors.Is(err, invite.ErrNotOpen) {
			t.Error(err)
		}
	}
	tokens, err := store.Tokens(t.Context(), "alice@example.com")
	if redeemed != 1 || len(tokens) != 1 || err != nil {
		t.Errorf("redeemed %d times, %d tokens, %v", redeemed, len(tokens), err)
	}
}

func codeIsUnique(t *testing.T, store Store) {
	addAlice(t, store)
	bob, err := developer.New("bob", "", "", time.Now())
	if err == nil {
		err = store.AddDeveloper(t.Context(), bob)
	}
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	code, sealed := addInvitation(t, store, now)
	renamed, anothers := sealed, sealed
	renamed.ID, anothers.ID, anothers.Developer = "renamed", "anothers", "bob"
	for _, again := range []invite.Sealed{sealed, renamed, anothers} {
		if _, err := store.AddInvitation(t.Context(), again, false); !errors.Is(err, developer.ErrExists) {
			t.Errorf("AddInvitation of %s to %s: %v, want %v", again.ID, again.Developer, err, developer.ErrExists)
		}
	}
	all, err := store.Invitations(t.Context())
	if err != nil || len(all) != 1 || all[0].State(now) != "open" {
		t.Errorf("invitations: %+v, %v", all, err)
	}
	if offer, err := store.Offer(t.Context(), code.Hash()); err != nil || offer.ID != sealed.ID {
		t.Errorf("offer: %+v, %v", offer, err)
	}
}
