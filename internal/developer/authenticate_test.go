package developer_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"codex-proxy/internal/developer"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// finder is a store that knows one answer.
type finder func(ctx context.Context, hash [sha256.Size]byte) (developer.Grant, error)

func (f finder) Grant(ctx context.Context, hash [sha256.Size]byte) (developer.Grant, error) {
	return f(ctx, hash)
}

func clock() time.Time { return now }

// granted returns alice's token and what it grants, as edit changes it.
func granted(t *testing.T, edit func(*developer.Grant)) (string, finder) {
	t.Helper()
	token, credential, err := developer.Issue(rand.Reader, "alice@example.com", "", now.Add(-time.Hour), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	holder, err := developer.New("alice@example.com", "Alice", "core", now)
	if err != nil {
		t.Fatal(err)
	}
	grant := developer.Grant{Credential: credential, Holder: holder, Policy: developer.Policy{Contact: "#codex-help"}}
	edit(&grant)
	return token.Reveal(), func(context.Context, [sha256.Size]byte) (developer.Grant, error) { return grant, nil }
}

func TestATokenSaysWhoAsksAndWhatTheyMayDo(t *testing.T) {
	token, store := granted(t, func(g *developer.Grant) { g.Expires = now.Add(1) })
	authenticator := developer.NewAuthenticator(store, clock)
	got, err := authenticator.Authenticate(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	id, err := developer.ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	want := developer.Identity{
		Developer: "alice@example.com", Name: "Alice", Team: "core", TokenID: id,
		Expires: now.Add(1), Policy: developer.Policy{Contact: "#codex-help"},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(developer.Identity{})); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
	again, err := authenticator.Recheck(t.Context(), got)
	if diff := cmp.Diff(want, again, cmpopts.IgnoreUnexported(developer.Identity{})); diff != "" || err != nil {
		t.Errorf("checked again: %v (-want +got):\n%s", err, diff)
	}
}

func TestARefusedTokenIsToldWhyAndWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*developer.Grant)
		want developer.Reason
		says string
	}{
		"disabled":               {func(g *developer.Grant) { g.Holder.Enabled = false }, developer.TokenDisabled, "access for alice@example.com is disabled. Ask #codex-help to enable it."},
		"disabled and revoked":   {func(g *developer.Grant) { g.Holder.Enabled, g.Revoked = false, now }, developer.TokenDisabled, "is disabled"},
		"revoked":                {func(g *developer.Grant) { g.Revoked = now.Add(-time.Minute) }, developer.TokenRevoked, "was revoked on 2026-11-23 11:59 UTC. Ask #codex-help for a new one."},
		"expired at this moment": {func(g *developer.Grant) { g.Expires = now }, developer.TokenExpired, "expired on 2026-11-23 12:00 UTC"},
		"rotated, grace over":    {func(g *developer.Grant) { g.Expires, g.ReplacedBy = now, "newtoken" }, developer.TokenExpired, "was replaced by newtoken"},
		"nobody to ask":          {func(g *developer.Grant) { g.Revoked, g.Policy.Contact = now, "" }, developer.TokenRevoked, "Ask whoever runs the proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			token, store := granted(t, test.edit)
			_, err := developer.NewAuthenticator(store, clock).Authenticate(t.Context(), token)
			var refused *developer.TokenError
			if !errors.As(err, &refused) {
				t.Fatalf("error: %v, want a refusal", err)
			}
			if refused.Reason != test.want || !strings.Contains(refused.Error(), test.says) {
				t.Errorf("%s: %q, want %s with %q", refused.Reason, refused.Error(), test.want, test.says)
			}
			if refused.Developer != "alice@example.com" || refused.TokenID == "" {
				t.Errorf("the refusal does not say whose token it was: %+v", refused)
			}
			if strings.Contains(refused.Error(), token[20:]) {
				t.Error("the refusal holds the token")
			}
		})
	}
}

func TestATokenInItsGraceStillWorks(t *testing.T) {
	token, store := granted(t, func(g *developer.Grant) { g.Expires, g.ReplacedBy = now.Add(time.Minute), "newtoken" })
	if _, err := developer.NewAuthenticator(store, clock).Authenticate(t.Context(), token); err != nil {
		t.Error(err)
	}
}

func TestWhatCannotBeATokenIsRefusedWithoutALookUp(t *testing.T) {
	asked := false
	store := finder(func(context.Context, [sha256.Size]byte) (developer.Grant, error) {
		asked = true
		return developer.Grant{}, developer.ErrNotFound
	})
	token := newToken(t).Reveal()
	for text, want := range map[string]developer.Reason{
		"":          developer.TokenMissing,
		"short":     developer.TokenMalformed,
		"two words": developer.TokenMalformed,
		token[:len(token)-6] + strings.Repeat("x", 6): developer.TokenMalformed,
		strings.Repeat("x", 5000):                     developer.TokenMalformed,
	} {
		_, err := developer.NewAuthenticator(store, clock).Authenticate(t.Context(), text)
		var refused *developer.TokenError
		if !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("a token of %d characters: %v, want %s", len(text), err, want)
		}
	}
	if asked {
		t.Error("the store was asked")
	}
}

func TestAnUnknownTokenIsUnknownAndAKeyOfOpenAIsIsRecognised(t *testing.T) {
	store := finder(func(context.Context, [sha256.Size]byte) (developer.Grant, error) {
		return developer.Grant{}, developer.ErrNotFound
	})
	ours := newToken(t).Reveal()
	for text, says := range map[string]string{
		ours:               "does not know this token. Check that",
		"sk-proj-12345678": "a key of OpenAI's",
		ours[:40]:          "have 53 characters, and this one has 40: it may be cut short",
	} {
		_, err := developer.NewAuthenticator(store, clock).Authenticate(t.Context(), text)
		var refused *developer.TokenError
		if !errors.As(err, &refused) || refused.Reason != developer.TokenUnknown || !strings.Contains(err.Error(), says) {
			t.Errorf("error: %v, want %s with %q", err, developer.TokenUnknown, says)
		}
	}
}

func TestAStoreThatAnswersWithAnotherTokenLetsNobodyIn(t *testing.T) {
	_, store := granted(t, func(*developer.Grant) {})
	_, err := developer.NewAuthenticator(store, clock).Authenticate(t.Context(), newToken(t).Reveal())
	var refused *developer.TokenError
	if !errors.As(err, &refused) || refused.Reason != developer.TokenUnknown {
		t.Errorf("error: %v, want %s", err, developer.TokenUnknown)
	}
}

func TestATokenOfAnOlderFormIsKnownByItsHash(t *testing.T) {
	for _, text := range []string{"codexproxy_Zm9vYmFyYmF6cXV4", "codexproxy_abcdefgh_" + strings.Repeat("x", 40), "any-older-token-of-theirs"} {
		imported, err := developer.Import(rand.Reader, developer.Token(text), "alice@example.com", "", now.Add(-time.Hour), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		_, store := granted(t, func(g *developer.Grant) { g.Credential = imported })
		who, err := developer.NewAuthenticator(store, clock).Authenticate(t.Context(), text)
		if err != nil || who.Developer != "alice@example.com" || who.TokenID != imported.ID {
			t.Errorf("a token of %d characters is %+v's, %v", len(text), who, err)
		}
	}
}

func TestAnOutageIsNeverARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, store := range map[string]finder{
			"failing": func(context.Context, [sha256.Size]byte) (developer.Grant, error) {
				return developer.Grant{}, errors.New("disk on fire")
			},
			"hanging": func(ctx context.Context, _ [sha256.Size]byte) (developer.Grant, error) {
				<-ctx.Done()
				return developer.Grant{}, ctx.Err()
			},
		} {
			began := time.Now()
			_, err := developer.NewAuthenticator(store, clock).Authenticate(t.Context(), newToken(t).Reveal())
			var refused *developer.TokenError
			if err == nil || errors.As(err, &refused) {
				t.Errorf("%s: %v, want an outage", name, err)
			}
			if waited := time.Since(began); waited > 2*time.Second {
				t.Errorf("%s: waited %v, want at most 2s", name, waited)
			}
		}
	})
}
