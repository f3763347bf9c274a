// Package developertest is what every developer.Store must pass.
package developertest

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/developer"
)

// Now is the time at which the suite's stories happen.
var Now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Run tests the stores that open makes; each must begin empty.
func Run(t *testing.T, open func(t *testing.T) developer.Store) {
	for name, test := range map[string]func(*testing.T, developer.Store){
		"a developer is kept as added":                          developerIsKept,
		"a developer is added with their token or not at all":   developerIsAddedWhole,
		"a change of a developer is whole or not at all":        developerChanges,
		"concurrent changes of a developer are all kept":        developerChangesAtOnce,
		"a removed developer leaves no token":                   developerIsRemoved,
		"what is not there is not found":                        notFound,
		"a token grants what its developer's team allows":       grant,
		"a token that is in use cannot be given to another":     tokenIsUnique,
		"a revoked token stays revoked since the first time":    revoke,
		"rotation ends the old token after its grace":           rotate,
		"rotation never lengthens a token's life":               rotateNearExpiry,
		"a token that is not active cannot be rotated":          rotateInactive,
		"a token rotated by many at once is replaced once":      rotateAtOnce,
		"the time of last use never moves back":                 lastUsed,
		"teams are sorted and count their developers":           teams,
		"a refused policy changes nothing":                      policyIsRefused,
		"a team with developers is not removed":                 teamInUse,
		"hostile text is data":                                  hostileText,
		"a store that is asked under an ended context says so":  endedContext,
		"tokens are listed by developer, and from old to new":   tokensAreSorted,
		"a developer's budget survives a change of the contact": policyIsMerged,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		succeeds(t, err)
		return value
	}
}

func succeeds(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func fails(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error: %v, want one that wraps %q", err, want)
	}
}

func person(t *testing.T, id, team string) developer.Developer {
	t.Helper()
	return must[developer.Developer](t)(developer.New(id, "", team, Now))
}

func issue(t *testing.T, owner string) (developer.Token, developer.Credential) {
	t.Helper()
	token, c, err := developer.Issue(rand.Reader, owner, "", Now, time.Time{})
	succeeds(t, err)
	return token, c
}

func credential(t *testing.T, owner string, created, expires time.Time) developer.Credential {
	t.Helper()
	_, c, err := developer.Issue(rand.Reader, owner, "laptop", created, expires)
	succeeds(t, err)
	return c
}

// alice adds one developer with one token that never expires.
func alice(t *testing.T, s developer.Store) (developer.Developer, developer.Credential) {
	t.Helper()
	d := person(t, "alice@example.com", "")
	c := credential(t, d.ID, Now, time.Time{})
	succeeds(t, s.AddDeveloper(t.Context(), d, c))
	return d, c
}

func developerIsKept(t *testing.T, s developer.Store) {
	b := must[developer.Developer](t)(developer.New("bob", "Bob Ö. 漢", "core", Now))
	succeeds(t, s.AddDeveloper(t.Context(), b))
	a, _ := alice(t, s)
	equal(t, "bob", must[developer.Developer](t)(s.Developer(t.Context(), "bob")), b)
	equal(t, "all", must[[]developer.Developer](t)(s.Developers(t.Context())), []developer.Developer{a, b})
	fails(t, s.AddDeveloper(t.Context(), person(t, "bob", "other")), developer.ErrExists)
	equal(t, "bob", must[developer.Developer](t)(s.Developer(t.Context(), "bob")), b)
}

func developerIsAddedWhole(t *testing.T, s developer.Store) {
	_, taken := alice(t, s)
	stolen := taken
	stolen.Developer = "bob"
	fails(t, s.AddDeveloper(t.Context(), person(t, "bob", "new"), stolen), developer.ErrExists)
	_, err := s.Developer(t.Context(), "bob")
	fails(t, err, developer.ErrNotFound)
	_, err = s.Team(t.Context(), "new")
	fails(t, err, developer.ErrNotFound)
}

func developerChanges(t *testing.T, s developer.Store) {
	a, c := alice(t, s)
	later := Now.Add(time.Hour)
	want := a
	want.Name, want.Team, want.Enabled, want.Updated = "Alice", "core", false, later
	got := must[developer.Developer](t)(s.UpdateDeveloper(t.Context(), a.ID, func(d *developer.Developer) error {
		d.Name, d.Team, d.Enabled, d.Updated = "Alice", "core", false, later
		d.ID, d.Created = "mallory", later // not for change to decide
		return nil
	}))
	equal(t, "changed", got, want)
	equal(t, "kept", must[developer.Developer](t)(s.Developer(t.Context(), a.ID)), want)
	equal(t, "holder", must[developer.Grant](t)(s.Grant(t.Context(), c.Hash)).Holder, want)

	refused := errors.New("no")
	_, err := s.UpdateDeveloper(t.Context(), a.ID, func(d *developer.Developer) error {
		d.Name = "Eve"
		return refused
	})
	fails(t, err, refused)
	if _, err = s.UpdateDeveloper(t.Context(), a.ID, func(d *developer.Developer) error {
		d.Name = "bad\x1b[31m"
		return nil
	}); err == nil {
		t.Error("a name that cannot be printed was kept")
	}
	equal(t, "kept", must[developer.Developer](t)(s.Developer(t.Context(), a.ID)), want)
}

func developerChangesAtOnce(t *testing.T, s developer.Store) {
	a, _ := alice(t, s)
	const n = 10
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if _, err := s.UpdateDeveloper(t.Context(), a.ID, func(d *developer.Developer) error {
				d.Name += "x"
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	equal(t, "length of the name", len(must[developer.Developer](t)(s.Developer(t.Context(), a.ID)).Name), n)
}

func developerIsRemoved(t *testing.T, s developer.Store) {
	a, c := alice(t, s)
	succeeds(t, s.RemoveDeveloper(t.Context(), a.ID))
	_, err := s.Grant(t.Context(), c.Hash)
	fails(t, err, developer.ErrNotFound)
	_, err = s.Token(t.Context(), c.ID)
	fails(t, err, developer.ErrNotFound)
	equal(t, "tokens", len(must[[]developer.TokenInfo](t)(s.Tokens(t.Context(), ""))), 0)
	alice(t, s) // the id is free again
}

func notFound(t *testing.T, s developer.Store) {
	alice(t, s)
	ctx := t.Context()
	missing := credential(t, "bob", Now, time.Time{})
	_, err := s.Developer(ctx, "bob")
	fails(t, err, developer.ErrNotFound)
	_, err = s.UpdateDeveloper(ctx, "bob", func(*developer.Developer) error { return nil })
	fails(t, err, developer.ErrNotFound)
	fails(t, s.RemoveDeveloper(ctx, "bob"), developer.ErrNotFound)
	fails(t, s.AddToken(ctx, missing), developer.ErrNotFound)
	_, err = s.Grant(ctx, missing.Hash)
	fails(t, err, developer.ErrNotFound)
	_, err = s.Token(ctx, missing.ID)
	fails(t, err, developer.ErrNotFound)
	_, err = s.RevokeToken(ctx, missing.ID, Now)
	fails(t, err, developer.ErrNotFound)
	fails(t, s.RotateToken(ctx, missing.ID, credential(t, "alice@example.com", Now, time.Time{}), Now), developer.ErrNotFound)
	_, err = s.Team(ctx, "core")
	fails(t, err, developer.ErrNotFound)
	fails(t, s.RemoveTeam(ctx, "core"), developer.ErrNotFound)
	equal(t, "tokens", len(must[[]developer.TokenInfo](t)(s.Tokens(ctx, ""))), 1)
}

func grant(t *testing.T, s developer.Store) {
	policy := developer.Policy{
		Models: []string{"gpt-5*", "o3"}, DeveloperBudgetNanos: 12_500_000_000, TeamBudgetNanos: 1 << 60,
		RequestsPerMinute: 60, ConcurrentStreams: 4, Contact: "#codex-help",
	}
	d := person(t, "bob", "core")
	c := credential(t, "bob", Now, Now.Add(time.Hour))
	succeeds(t, s.AddDeveloper(t.Context(), d, c))
	equal(t, "before", must[developer.Grant](t)(s.Grant(t.Context(), c.Hash)), developer.Grant{Credential: c, Holder: d})
	must[developer.Team](t)(s.UpdateTeam(t.Context(), "core", Now, func(p *developer.Policy) error {
		*p = policy
		return nil
	}))
	equal(t, "after", must[developer.Grant](t)(s.Grant(t.Context(), c.Hash)), developer.Grant{Credential: c, Holder: d, Policy: policy})
}

func tokenIsUnique(t *testing.T, s developer.Store) {
	_, c := alice(t, s)
	succeeds(t, s.AddDeveloper(t.Context(), person(t, "bob", "")))
	sameHash := c
	sameHash.ID, sameHash.Developer = "another1", "bob"
	fails(t, s.AddToken(t.Context(), sameHash), developer.ErrExists)
	sameID := credential(t, "bob", Now, time.Time{})
	sameID.ID = c.ID
	fails(t, s.AddToken(t.Context(), sameID), developer.ErrExists)
	equal(t, "holder", must[developer.Grant](t)(s.Grant(t.Context(), c.Hash)).Developer, c.Developer)
}

func revoke(t *testing.T, s developer.Store) {
	_, c := alice(t, s)
	want := c.TokenInfo
	want.Revoked = Now.Add(time.Minute)
	equal(t, "revoked", must[developer.TokenInfo](t)(s.RevokeToken(t.Context(), c.ID, Now.Add(time.Minute))), want)
	equal(t, "again", must[developer.TokenInfo](t)(s.RevokeToken(t.Context(), c.ID, Now.Add(time.Hour))), want)
	equal(t, "granted", must[developer.Grant](t)(s.Grant(t.Context(), c.Hash)).TokenInfo, want)
}

func rotate(t *testing.T, s developer.Store) {
	_, old := alice(t, s)
	fresh := credential(t, old.Developer, Now, time.Time{})
	until := Now.Add(24 * time.Hour)
	succeeds(t, s.RotateToken(t.Context(), old.ID, fresh, until))
	got := must[developer.TokenInfo](t)(s.Token(t.Context(), old.ID))
	equal(t, "the old one's end", got.Expires, until)
	equal(t, "the old one's successor", got.ReplacedBy, fresh.ID)
	equal(t, "the new one", must[developer.TokenInfo](t)(s.Token(t.Context(), fresh.ID)), fresh.TokenInfo)
}

func rotateNearExpiry(t *testing.T, s developer.Store) {
	_, _ = alice(t, s)
	soon := credential(t, "alice@example.com", Now, Now.Add(time.Minute))
	succeeds(t, s.AddToken(t.Context(), soon))
	succeeds(t, s.RotateToken(t.Context(), soon.ID, credential(t, "alice@example.com", Now, time.Time{}), Now.Add(time.Hour)))
	equal(t, "end", must[developer.TokenInfo](t)(s.Token(t.Context(), soon.ID)).Expires, Now.Add(time.Minute))
}

func rotateInactive(t *testing.T, s developer.Store) {
	_, revoked := alice(t, s)
	must[developer.TokenInfo](t)(s.RevokeToken(t.Context(), revoked.ID, Now))
	expired := credential(t, "alice@example.com", Now.Add(-time.Hour), Now)
	rotated := credential(t, "alice@example.com", Now, time.Time{})
	succeeds(t, s.AddToken(t.Context(), expired))
	succeeds(t, s.AddToken(t.Context(), rotated))
	succeeds(t, s.RotateToken(t.Context(), rotated.ID, credential(t, "alice@example.com", Now, time.Time{}), Now.Add(time.Hour)))
	for _, old := range []developer.Credential{revoked, expired, rotated} {
		fresh := credential(t, "alice@example.com", Now, time.Time{})
		fails(t, s.RotateToken(t.Context(), old.ID, fresh, Now.Add(time.Hour)), developer.ErrNotActive)
		_, err := s.Token(t.Context(), fresh.ID)
		fails(t, err, developer.ErrNotFound)
	}
}

func rotateAtOnce(t *testing.T, s developer.Store) {
	_, old := alice(t, s)
	var (
		all  sync.WaitGroup
		errs = make([]error, 6)
	)
	for i := range errs {
		fresh := credential(t, old.Developer, Now, time.Time{})
		all.Go(func() { errs[i] = s.RotateToken(t.Context(), old.ID, fresh, Now.Add(time.Hour)) })
	}
	all.Wait()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else {
			fails(t, err, developer.ErrNotActive)
		}
	}
	equal(t, "rotations done", done, 1)
	equal(t, "tokens", len(must[[]developer.TokenInfo](t)(s.Tokens(t.Context(), ""))), 2)
}

func lastUsed(t *testing.T, s developer.Store) {
	_, c := alice(t, s)
	for _, at := range []time.Time{Now.Add(time.Minute), Now} {
		succeeds(t, s.SetLastUsed(t.Context(), map[string]time.Time{c.ID: at, "gone1234": at}))
		equal(t, "last used", must[developer.TokenInfo](t)(s.Token(t.Context(), c.ID)).LastUsed, Now.Add(time.Minute))
	}
}

func teams(t *testing.T, s developer.Store) {
	equal(t, "at first", must[[]developer.Team](t)(s.Teams(t.Context())), []developer.Team{{Name: developer.DefaultTeam}})
	alice(t, s)
	for _, id := range []string{"bob", "carol"} {
		succeeds(t, s.AddDeveloper(t.Context(), person(t, id, "zeta")))
	}
	core := must[developer.Team](t)(s.UpdateTeam(t.Context(), "core", Now, func(p *developer.Policy) error {
		p.ConcurrentStreams = 2
		return nil
	}))
	equal(t, "core", core, developer.Team{Name: "core", Policy: developer.Policy{ConcurrentStreams: 2}, Updated: Now})
	equal(t, "core again", must[developer.Team](t)(s.Team(t.Context(), "core")), core)
	equal(t, "all", must[[]developer.Team](t)(s.Teams(t.Context())),
		[]developer.Team{core, {Name: developer.DefaultTeam, Developers: 1}, {Name: "zeta", Developers: 2}})
}

func policyIsMerged(t *testing.T, s developer.Store) {
	must[developer.Team](t)(s.UpdateTeam(t.Context(), "core", Now, func(p *developer.Policy) error {
		p.DeveloperBudgetNanos = 5
		return nil
	}))
	got := must[developer.Team](t)(s.UpdateTeam(t.Context(), "core", Now, func(p *developer.Policy) error {
		p.Contact = "carol"
		return nil
	}))
	equal(t, "policy", got.Policy, developer.Policy{DeveloperBudgetNanos: 5, Contact: "carol"})
}

func policyIsRefused(t *testing.T, s developer.Store) {
	for _, bad := range []developer.Policy{{TeamBudgetNanos: -1}, {ConcurrentStreams: -1}, {Models: []string{"a b"}}, {Contact: "\x1b"}} {
		if _, err := s.UpdateTeam(t.Context(), "core", Now, func(p *developer.Policy) error {
			*p = bad
			return nil
		}); err == nil {
			t.Errorf("the policy %+v was kept", bad)
		}
	}
	_, err := s.Team(t.Context(), "core")
	fails(t, err, developer.ErrNotFound)
}

func teamInUse(t *testing.T, s developer.Store) {
	succeeds(t, s.AddDeveloper(t.Context(), person(t, "bob", "core")))
	fails(t, s.RemoveTeam(t.Context(), "core"), developer.ErrInUse)
	fails(t, s.RemoveTeam(t.Context(), developer.DefaultTeam), developer.ErrInUse)
	succeeds(t, s.RemoveDeveloper(t.Context(), "bob"))
	succeeds(t, s.RemoveTeam(t.Context(), "core"))
	fails(t, s.RemoveTeam(t.Context(), "core"), developer.ErrNotFound)
}

func hostileText(t *testing.T, s developer.Store) {
	_, c := alice(t, s)
	for _, text := range []string{"' OR '1'='1", `"; DROP TABLE developers; --`, "%", "\x00", ""} {
		if _, err := s.Developer(t.Context(), text); !errors.Is(err, developer.ErrNotFound) {
			t.Errorf("Developer(%q): %v, want not found", text, err)
		}
		if _, err := s.Token(t.Context(), text); !errors.Is(err, developer.ErrNotFound) {
			t.Errorf("Token(%q): %v, want not found", text, err)
		}
		if text != "" {
			equal(t, "tokens of "+text, len(must[[]developer.TokenInfo](t)(s.Tokens(t.Context(), text))), 0)
		}
	}
	b := must[developer.Developer](t)(developer.New("bob", `'); DELETE FROM tokens; --`, "'", Now))
	succeeds(t, s.AddDeveloper(t.Context(), b))
	equal(t, "bob", must[developer.Developer](t)(s.Developer(t.Context(), "bob")), b)
	must[developer.Grant](t)(s.Grant(t.Context(), c.Hash))
}

func endedContext(t *testing.T, s developer.Store) {
	_, c := alice(t, s)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Grant(ended, c.Hash); err == nil || errors.Is(err, developer.ErrNotFound) {
		t.Errorf("Grant: %v, want an error other than not found", err)
	}
	if _, err := s.RevokeToken(ended, c.ID, Now); err == nil || errors.Is(err, developer.ErrNotFound) {
		t.Errorf("RevokeToken: %v, want an error other than not found", err)
	}
}

func tokensAreSorted(t *testing.T, s developer.Store) {
	_, first := alice(t, s)
	b := credential(t, "bob", Now.Add(-time.Hour), time.Time{})
	succeeds(t, s.AddDeveloper(t.Context(), person(t, "bob", ""), b))
	second := credential(t, "alice@example.com", Now.Add(time.Second), time.Time{})
	succeeds(t, s.AddToken(t.Context(), second))
	equal(t, "all", must[[]developer.TokenInfo](t)(s.Tokens(t.Context(), "")),
		[]developer.TokenInfo{first.TokenInfo, second.TokenInfo, b.TokenInfo})
	equal(t, "bob's", must[[]developer.TokenInfo](t)(s.Tokens(t.Context(), "bob")), []developer.TokenInfo{b.TokenInfo})
}
