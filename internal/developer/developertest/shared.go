package developertest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/developer"
)

// RunShared tests what two processes make of one store, such as a server and a
// command beside it. open returns two ways to the same store, which must begin
// empty.
func RunShared(t *testing.T, open func(t *testing.T) (server, command developer.Store)) {
	for name, test := range map[string]func(t *testing.T, server, command developer.Store){
		"a token revoked by one is refused at the other's next request": sharedRevoke,
		"a disabled developer is refused at the other's next request":   sharedDisable,
		"a policy that one changes is what the other's next grant says": sharedPolicy,
		"a developer moved by one has the new team's policy":            sharedMove,
		"a token given to somebody else is theirs at once":              sharedGiven,
		"of many who add the same developer at once one succeeds":       sharedAdd,
		"of many who add the same token at once one succeeds":           sharedToken,
	} {
		t.Run(name, func(t *testing.T) {
			server, command := open(t)
			test(t, server, command)
		})
	}
}

// granted checks that a token is valid now, or why it is not.
func granted(t *testing.T, s developer.Store, token developer.Token, want developer.Reason) developer.Identity {
	t.Helper()
	who, err := developer.NewAuthenticator(s, func() time.Time { return Now }).Authenticate(t.Context(), token.Reveal())
	var refused *developer.TokenError
	switch {
	case want == "":
		succeeds(t, err)
	case !errors.As(err, &refused) || refused.Reason != want:
		t.Errorf("Authenticate: %v, want %s", err, want)
	}
	return who
}

// tokenOfAlice adds a developer with a token, by which the server has seen her.
func tokenOfAlice(t *testing.T, server, command developer.Store) (developer.Token, developer.Credential) {
	t.Helper()
	token, c := issue(t, "alice@example.com")
	succeeds(t, command.AddDeveloper(t.Context(), person(t, c.Developer, "core"), c))
	granted(t, server, token, "")
	return token, c
}

func sharedRevoke(t *testing.T, server, command developer.Store) {
	token, c := tokenOfAlice(t, server, command)
	must[developer.TokenInfo](t)(command.RevokeToken(t.Context(), c.ID, Now))
	granted(t, server, token, developer.TokenRevoked)
}

func sharedDisable(t *testing.T, server, command developer.Store) {
	token, c := tokenOfAlice(t, server, command)
	another, more := issue(t, c.Developer)
	succeeds(t, command.AddToken(t.Context(), more))
	for _, enabled := range []bool{false, true} {
		must[developer.Developer](t)(command.UpdateDeveloper(t.Context(), c.Developer, func(d *developer.Developer) error {
			d.Enabled = enabled
			return nil
		}))
		want := developer.TokenDisabled
		if enabled {
			want = ""
		}
		granted(t, server, token, want)
		granted(t, server, another, want)
	}
}

func sharedPolicy(t *testing.T, server, command developer.Store) {
	token, _ := tokenOfAlice(t, server, command)
	must[developer.Team](t)(command.UpdateTeam(t.Context(), "core", Now, func(p *developer.Policy) error {
		p.Models = []string{"gpt-5*"}
		return nil
	}))
	equal(t, "policy", granted(t, server, token, "").Policy, developer.Policy{Models: []string{"gpt-5*"}})
}

func sharedMove(t *testing.T, server, command developer.Store) {
	token, c := tokenOfAlice(t, server, command)
	must[developer.Team](t)(command.UpdateTeam(t.Context(), "narrow", Now, func(p *developer.Policy) error {
		p.ConcurrentStreams = 1
		return nil
	}))
	must[developer.Developer](t)(command.UpdateDeveloper(t.Context(), c.Developer, func(d *developer.Developer) error {
		d.Team = "narrow"
		return nil
	}))
	for range 2 { // also once it has been seen
		who := granted(t, server, token, "")
		equal(t, "team", who.Team, "narrow")
		equal(t, "policy", who.Policy, developer.Policy{ConcurrentStreams: 1})
	}
}

func sharedGiven(t *testing.T, server, command developer.Store) {
	token, c := tokenOfAlice(t, server, command)
	succeeds(t, command.RemoveDeveloper(t.Context(), c.Developer))
	granted(t, server, token, developer.TokenUnknown)
	c.Developer = "bob"
	succeeds(t, command.AddDeveloper(t.Context(), person(t, "bob", ""), c))
	equal(t, "developer", granted(t, server, token, "").Developer, "bob")
}

func sharedAdd(t *testing.T, server, command developer.Store) {
	const n = 8
	var tokens [n]developer.Token
	errs := atOnce(n, func(i int) error {
		var c developer.Credential
		tokens[i], c = issue(t, "alice@example.com")
		return []developer.Store{server, command}[i%2].AddDeveloper(t.Context(), person(t, c.Developer, ""), c)
	})
	for i := range onlyOne(t, errs) {
		want := developer.Reason("")
		if errs[i] != nil {
			want = developer.TokenUnknown
		}
		granted(t, server, tokens[i], want)
	}
	equal(t, "tokens", len(must[[]developer.TokenInfo](t)(command.Tokens(t.Context(), ""))), 1)
}

func sharedToken(t *testing.T, server, command developer.Store) {
	owners := []string{"alice@example.com", "bob", "carol", "dave"}
	for _, owner := range owners {
		succeeds(t, command.AddDeveloper(t.Context(), person(t, owner, "")))
	}
	token, c := issue(t, "")
	errs := atOnce(len(owners), func(i int) error {
		mine := c
		mine.Developer = owners[i]
		return []developer.Store{server, command}[i%2].AddToken(t.Context(), mine)
	})
	for i := range onlyOne(t, errs) {
		if errs[i] == nil {
			equal(t, "developer", granted(t, server, token, "").Developer, owners[i])
		}
	}
	equal(t, "tokens", len(must[[]developer.TokenInfo](t)(command.Tokens(t.Context(), ""))), 1)
}

// atOnce does something n times at once.
func atOnce(n int, do func(i int) error) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errs
}

// onlyOne checks that one has succeeded and the others were told that it exists.
func onlyOne(t *testing.T, errs []error) []error {
	t.Helper()
	done := 0
	for _, err := range errs {
		if err == nil {
			done++
		} else {
			fails(t, err, developer.ErrExists)
		}
	}
	equal(t, "successes", done, 1)
	return errs
}
