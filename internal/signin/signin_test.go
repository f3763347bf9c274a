package signin_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/signin"
	"codex-proxy/internal/signin/signintest"
	"codex-proxy/internal/sqlite"
)

var alice = signintest.User{Email: "alice@example.com", Name: "Alice", Groups: []string{"everyone", "platform-engineers"}}

// desk is a sign-in service over a real issuer and a real store.
type desk struct {
	t       *testing.T
	issuer  *signintest.Issuer
	store   *sqlite.Developers
	service *signin.Service
	config  signin.Config

	mu    sync.Mutex
	ahead time.Duration // of the real clock
	log   bytes.Buffer
}

func newDesk(t *testing.T, change func(*signin.Config)) *desk {
	t.Helper()
	d := &desk{t: t, issuer: signintest.New(t)}
	var err error
	if d.store, err = sqlite.OpenDevelopers(t.Context(), filepath.Join(t.TempDir(), "developers.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.store.Close() })
	config := signin.Config{
		Issuer: d.issuer.URL, ClientID: signintest.ClientID, Scopes: []string{"openid", "email"},
		AllowedDomains: []string{"example.com"}, GroupsClaim: "groups", DefaultTeam: developer.DefaultTeam, TokenLife: time.Hour,
	}
	if change != nil {
		change(&config)
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	d.config = config
	d.service = signin.New(config, d.store, d.now, slog.New(slog.NewTextHandler(&d.log, nil)))
	return d
}

func (d *desk) now() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Add(d.ahead)
}

// pass lets time pass.
func (d *desk) pass(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ahead += by
}

// show shows the service an ID token.
func (d *desk) show(idToken string) *httptest.ResponseRecorder {
	d.t.Helper()
	request := httptest.NewRequestWithContext(d.t.Context(), http.MethodPost, "/oidc/token", nil)
	request.Header.Set("Authorization", "Bearer "+idToken)
	w := httptest.NewRecorder()
	d.service.ServeHTTP(w, request)
	if idToken != "" && strings.Contains(w.Body.String()+d.log.String(), idToken) {
		d.t.Error("the ID token is in an answer or in the log")
	}
	return w
}

// signIn signs a user in, who must be let in.
func (d *desk) signIn(u signintest.User) signin.Answer {
	d.t.Helper()
	return d.mustGrant(d.show(d.issuer.IDToken(d.t, u, d.now(), nil)))
}

func (d *desk) mustGrant(w *httptest.ResponseRecorder) signin.Answer {
	d.t.Helper()
	var answer signin.Answer
	if err := json.Unmarshal(w.Body.Bytes(), &answer); w.Code != http.StatusOK || err != nil {
		d.t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if strings.Contains(d.log.String(), answer.Token) {
		d.t.Error("the token is in the log")
	}
	return answer
}

// mustRefuse checks that an answer is the proxy's own no, of that kind.
func (d *desk) mustRefuse(w *httptest.ResponseRecorder, status int, reason, says string) {
	d.t.Helper()
	id := w.Header().Get("X-Request-Id")
	if w.Code != status || w.Header().Get("X-Codex-Proxy-Refusal") != reason || !strings.Contains(w.Body.String(), says) {
		d.t.Errorf("%d %q %s, want %d %q with %q", w.Code, w.Header().Get("X-Codex-Proxy-Refusal"), w.Body, status, reason, says)
	}
	if id == "" || !strings.Contains(w.Body.String(), id) || !strings.Contains(d.log.String(), id) {
		d.t.Errorf("the request's id %q is not in both the answer and the log:\n%s\n%s", id, w.Body, &d.log)
	}
}

func (d *desk) authenticate(token string) (developer.Identity, error) {
	return developer.NewAuthenticator(d.store, d.now).Authenticate(d.t.Context(), token)
}

func TestASignInAddsTheDeveloperAndGivesATokenThatEnds(t *testing.T) {
	d := newDesk(t, nil)
	answer := d.signIn(signintest.User{Email: "Alice@Example.COM", Name: "Alice"})
	if answer.Developer != "alice@example.com" || answer.Team != "default" {
		t.Errorf("%+v", answer)
	}
	who, err := d.authenticate(answer.Token)
	if err != nil || who.Developer != "alice@example.com" || who.Name != "Alice" {
		t.Errorf("%+v, %v", who, err)
	}
	d.pass(time.Hour)
	var refused *developer.TokenError
	if _, err := d.authenticate(answer.Token); !errors.As(err, &refused) || refused.Reason != developer.TokenExpired {
		t.Errorf("after its life: %v", err)
	}
}

func TestATokensLifeIsCountedFromTheIDToken(t *testing.T) {
	d := newDesk(t, nil)
	idToken := d.issuer.IDToken(t, alice, d.now().Add(-40*time.Minute), map[string]any{"exp": d.now().Add(5 * time.Hour).Unix()})
	if left := d.mustGrant(d.show(idToken)).Expires.Sub(d.now()); left > 20*time.Minute {
		t.Errorf("the token has %s left, so someone removed at the issuer stays in for longer than an hour", left)
	}
	d.pass(20 * time.Minute)
	d.mustRefuse(d.show(idToken), http.StatusUnauthorized, "sign_in_token", "codex-proxy login")
	if answer := d.mustGrant(d.show(d.issuer.IDToken(t, alice, d.now().Add(3*time.Minute), nil))); answer.Expires.Sub(d.now()) > time.Hour {
		t.Errorf("an issuer's clock that is ahead lengthens the life to %s", answer.Expires.Sub(d.now()))
	}
}

func TestWhatDoesNotProveWhoSomeoneIsGets401(t *testing.T) {
	d := newDesk(t, nil)
	other := signintest.New(t)
	now := d.now()
	good := d.issuer.IDToken(t, alice, now, nil)
	parts := strings.Split(good, ".")
	bob := strings.Split(d.issuer.IDToken(t, signintest.User{Email: "bob@example.com"}, now, nil), ".")
	made := func(changed map[string]any) string { return d.issuer.IDToken(t, alice, now, changed) }
	for name, token := range map[string]string{
		"nothing":                  "",
		"no JWT":                   "abc",
		"another's signature":      parts[0] + "." + bob[1] + "." + parts[2],
		"a tampered signature":     parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])),
		"no signature":             "eyJhbGciOiJub25lIn0." + parts[1] + ".",
		"another issuer's key":     other.IDToken(t, alice, now, map[string]any{"iss": d.issuer.URL}),
		"another issuer":           made(map[string]any{"iss": "https://login.example.com"}),
		"another audience":         made(map[string]any{"aud": "another-app"}),
		"another authorized party": made(map[string]any{"aud": []string{signintest.ClientID, "b"}, "azp": "b"}),
		"expired":                  made(map[string]any{"exp": now.Add(-time.Minute).Unix()}),
		"not valid yet":            made(map[string]any{"nbf": now.Add(time.Hour).Unix()}),
		"of no time":               made(map[string]any{"iat": nil}),
		"too long":                 made(map[string]any{"padding": strings.Repeat("x", 70_000)}),
		"groups of another kind":   made(map[string]any{"groups": 7}),
	} {
		t.Run(name, func(t *testing.T) {
			d.mustRefuse(d.show(token), http.StatusUnauthorized, "sign_in_token", "codex-proxy login")
		})
	}
	if all, err := d.store.Developers(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("developers were added: %v, %v", all, err)
	}
	d.mustGrant(d.show(good))
}

func TestWhoMayNotSignInGets403(t *testing.T) {
	d := newDesk(t, nil)
	for _, c := range []struct {
		user    signintest.User
		changed map[string]any
		reason  string
	}{
		{signintest.User{Email: "alice@evil-example.com"}, nil, "sign_in_domain"},
		{signintest.User{Email: "alice@sub.example.com"}, nil, "sign_in_domain"},
		{signintest.User{Email: "alice@example.com.evil.org"}, nil, "sign_in_domain"},
		{signintest.User{Email: "alice@evil.org@example.com"}, nil, "sign_in_email"},
		{signintest.User{Email: "@example.com"}, nil, "sign_in_email"},
		{signintest.User{Email: "alice"}, nil, "sign_in_email"},
		{signintest.User{Email: "alice@ехample.com"}, nil, "sign_in_email"}, // Cyrillic
		{signintest.User{Email: "alice@example.com", IsUnverified: true}, nil, "sign_in_email"},
		{alice, map[string]any{"email_verified": "false"}, "sign_in_email"},
		{alice, map[string]any{"email": nil}, "sign_in_email"},
	} {
		d.mustRefuse(d.show(d.issuer.IDToken(t, c.user, d.now(), c.changed)), http.StatusForbidden, c.reason, "codex-proxy: ")
	}
	d.mustGrant(d.show(d.issuer.IDToken(t, alice, d.now(), map[string]any{"email_verified": nil})))
	d.mustGrant(d.show(d.issuer.IDToken(t, alice, d.now(), map[string]any{"email_verified": "true"})))
}

func TestTheFirstGroupThatFitsDecidesTheTeam(t *testing.T) {
	d := newDesk(t, func(c *signin.Config) {
		c.Teams = []signin.TeamOf{{Group: "platform-engineers", Team: "platform"}, {Group: "everyone", Team: "crew"}}
		c.DefaultTeam = "guests"
	})
	for _, c := range []struct {
		groups any
		team   string
	}{
		{[]string{"everyone", "platform-engineers"}, "platform"},
		{[]string{"everyone"}, "crew"},
		{"everyone", "crew"},
		{[]string{"Everyone"}, "guests"},
		{nil, "guests"},
	} {
		answer := d.mustGrant(d.show(d.issuer.IDToken(t, alice, d.now(), map[string]any{"groups": c.groups})))
		who, err := d.authenticate(answer.Token)
		if err != nil || answer.Team != c.team || who.Team != c.team {
			t.Errorf("the groups %v lead to the team %q (the token says %q), want %q; %v", c.groups, answer.Team, who.Team, c.team, err)
		}
	}
	tooMany := d.issuer.IDToken(t, alice, d.now(), map[string]any{"groups": nil, "_claim_names": map[string]string{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://graph.example.com"}}})
	d.mustRefuse(d.show(tooMany), http.StatusForbidden, "sign_in_group", "so many groups")
}

func TestWithoutAMapTheTeamIsTheAdministrators(t *testing.T) {
	d := newDesk(t, nil)
	d.signIn(alice)
	d.change(alice.Email, func(who *developer.Developer) { who.Team = "research" })
	if answer := d.signIn(alice); answer.Team != "research" {
		t.Errorf("signing in moves alice to %q", answer.Team)
	}
}

func TestARequiredGroupKeepsOthersOut(t *testing.T) {
	d := newDesk(t, func(c *signin.Config) {
		c.Teams, c.RequireGroup = []signin.TeamOf{{Group: "codex-users", Team: "platform"}}, true
	})
	d.mustRefuse(d.show(d.issuer.IDToken(t, alice, d.now(), nil)), http.StatusForbidden, "sign_in_group", "which group to join")
}

func TestASignInNeverEnablesWhoIsDisabled(t *testing.T) {
	d := newDesk(t, func(c *signin.Config) { c.Teams = []signin.TeamOf{{Group: "everyone", Team: "crew"}} })
	token := d.signIn(alice).Token
	d.change(alice.Email, func(who *developer.Developer) { who.Enabled, who.Team = false, "gone" })
	d.mustRefuse(d.show(d.issuer.IDToken(t, alice, d.now(), nil)), http.StatusForbidden, "sign_in_disabled", "disabled")
	if who, err := d.store.Developer(t.Context(), alice.Email); err != nil || who.Enabled || who.Team != "gone" {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := d.authenticate(token); err == nil {
		t.Error("an earlier token still lets them in")
	}
}

// byHand adds alice, with a token that an administrator has issued.
func (d *desk) byHand(label string, life time.Duration) developer.Credential {
	d.t.Helper()
	_, credential, err := developer.Issue(rand.Reader, alice.Email, label, d.now(), d.now().Add(life))
	if err == nil {
		var added developer.Developer
		added, err = developer.New(alice.Email, "", "", d.now())
		err = errors.Join(err, d.store.AddDeveloper(d.t.Context(), added, credential))
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return credential
}

func TestEndedSignInTokensDoNotPileUp(t *testing.T) {
	d := newDesk(t, nil)
	byHand := d.byHand("laptop", time.Hour)
	for range 100 {
		d.pass(time.Hour)
		d.signIn(alice)
	}
	tokens, err := d.store.Tokens(t.Context(), alice.Email)
	if err != nil || len(tokens) > 30 {
		t.Errorf("%d tokens are kept, %v", len(tokens), err)
	}
	if _, err := d.store.Token(t.Context(), byHand.ID); err != nil {
		t.Errorf("the token that was issued by hand: %v", err)
	}
}

func TestAnIssuerThatIsDownIsNotASignInThatIsWrong(t *testing.T) {
	d := newDesk(t, nil)
	idToken := d.issuer.IDToken(t, alice, d.now(), nil)
	d.issuer.SetDown(true)
	d.mustRefuse(d.show(idToken), http.StatusServiceUnavailable, "proxy_unavailable", "Try again")
	d.issuer.SetDown(false)
	d.pass(3 * time.Second)
	d.signIn(alice)

	d.issuer.SetDown(true)
	d.signIn(alice) // its keys are known
	d.issuer.Rotate(t)
	d.mustRefuse(d.show(d.issuer.IDToken(t, alice, d.now(), nil)), http.StatusServiceUnavailable, "proxy_unavailable", "Try again")
	d.issuer.SetDown(false)
	// With the new key, as soon as go-oidc has let go of the look-up that failed.
	answer := d.show(d.issuer.IDToken(t, alice, d.now(), nil))
	for deadline := time.Now().Add(10 * time.Second); answer.Code != http.StatusOK && time.Now().Before(deadline); {
		answer = d.show(d.issuer.IDToken(t, alice, d.now(), nil))
	}
	d.mustGrant(answer)
}

func TestAStoreThatIsDownIsNotASignInThatIsWrong(t *testing.T) {
	d := newDesk(t, nil)
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	d.mustRefuse(d.show(d.issuer.IDToken(t, alice, d.now(), nil)), http.StatusServiceUnavailable, "proxy_unavailable", "Try again")
}

// showAtOnce shows several ID tokens at once, and returns the statuses.
func (d *desk) showAtOnce(idTokens ...string) []int {
	statuses := make([]int, len(idTokens))
	var all sync.WaitGroup
	for i, idToken := range idTokens {
		all.Go(func() {
			request := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/oidc/token", nil)
			request.Header.Set("Authorization", "Bearer "+idToken)
			w := httptest.NewRecorder()
			d.service.ServeHTTP(w, request)
			statuses[i] = w.Code
		})
	}
	all.Wait()
	return statuses
}

func TestManySignInsAtOnceAddOneDeveloper(t *testing.T) {
	d := newDesk(t, nil)
	var idTokens []string
	for range 8 {
		idTokens = append(idTokens, d.issuer.IDToken(t, alice, d.now(), nil))
	}
	for _, status := range d.showAtOnce(idTokens...) {
		if status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
	if all, err := d.store.Developers(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("developers: %+v, %v", all, err)
	}
}

func TestOneIDTokenGivesOneToken(t *testing.T) {
	d := newDesk(t, nil)
	idToken := d.issuer.IDToken(t, alice, d.now(), nil)
	statuses := d.showAtOnce(slices.Repeat([]string{idToken}, 8)...)
	slices.Sort(statuses)
	if diff := cmp.Diff(append([]int{200}, slices.Repeat([]int{401}, 7)...), statuses); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	used := func(what, idToken string) {
		t.Helper()
		d.mustRefuse(d.show(idToken), http.StatusUnauthorized, "sign_in_used", "used already")
		tokens, err := d.store.Tokens(t.Context(), alice.Email)
		if err != nil || len(tokens) != 1 {
			t.Errorf("%s: there are %d tokens, %v", what, len(tokens), err)
		}
	}
	used("again", idToken)
	// The same in other words: what pads the last character of each part is no part of
	// what is signed.
	parts := strings.Split(idToken, ".")
	for i, part := range parts {
		for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
			varied := slices.Clone(parts)
			varied[i] = part[:len(part)-1] + string(last)
			if w := d.show(strings.Join(varied, ".")); w.Code == http.StatusOK {
				t.Fatalf("with another last character in part %d it gives another token", i)
			}
		}
	}
	tokens, err := d.store.Tokens(t.Context(), alice.Email)
	if err != nil || len(tokens) != 1 {
		t.Fatalf("there are %d tokens, %v", len(tokens), err)
	}
	if _, err := d.store.RevokeToken(t.Context(), tokens[0].ID, d.now()); err != nil {
		t.Fatal(err)
	}
	used("after the token was revoked", idToken)
	d.pass(59 * time.Minute)
	used("to its end", idToken)
	d.signIn(alice)
}

func TestTheOldestOfTooManySignInsEnds(t *testing.T) {
	d := newDesk(t, func(c *signin.Config) { c.TokenLife = 24 * time.Hour })
	byHand := d.byHand("laptop", time.Hour*24)
	var given []string
	for range 25 {
		d.pass(time.Second)
		given = append(given, d.signIn(alice).Token)
	}
	for i, token := range given {
		_, err := d.authenticate(token)
		var refused *developer.TokenError
		if ended := errors.As(err, &refused) && refused.Reason == developer.TokenExpired; ended != (i < 5) {
			t.Errorf("the token %d of 25: %v", i, err)
		}
	}
	if info, err := d.store.Token(t.Context(), byHand.ID); err != nil || info.State(d.now()) != "active" {
		t.Errorf("the token that was issued by hand: %+v, %v", info, err)
	}
}

func TestALoopOfSignInsDoesNotPileUp(t *testing.T) {
	d := newDesk(t, nil)
	byHand := d.byHand("laptop", time.Hour)
	var loop developer.Batch
	for i := range 2000 { // as an earlier release has kept them
		_, credential, err := developer.Issue(rand.Reader, alice.Email, signin.Label, d.now().Add(time.Duration(i)*time.Millisecond), d.now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		loop.Tokens = append(loop.Tokens, credential)
	}
	if err := d.store.ApplyBatch(t.Context(), loop); err != nil {
		t.Fatal(err)
	}
	d.pass(time.Minute)
	for range 2 {
		d.signIn(alice)
	}
	tokens, err := d.store.Tokens(t.Context(), alice.Email)
	live := 0
	for _, token := range tokens {
		if token.State(d.now()) == "active" && token.ID != byHand.ID {
			live++
		}
	}
	if err != nil || len(tokens) != 201 || live != 20 {
		t.Errorf("%d tokens are kept, %d of sign-ins live; %v", len(tokens), live, err)
	}
}

func TestSettingsThatCannotBeMeantAreRefused(t *testing.T) {
	good := signin.Config{
		Issuer: "https://login.example.com", ClientID: "c", Scopes: []string{"openid"},
		AllowedDomains: []string{"example.com"}, GroupsClaim: "groups", DefaultTeam: "default", TokenLife: time.Hour,
	}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for says, change := range map[string]func(*signin.Config){
		"issuer is missing":   func(c *signin.Config) { c.Issuer = "" },
		"must begin with":     func(c *signin.Config) { c.Issuer = "http://login.example.com" },
		"issuer is":           func(c *signin.Config) { c.Issuer = "login.example.com" },
		"client_id":           func(c *signin.Config) { c.ClientID = "" },
		"openid":              func(c *signin.Config) { c.Scopes = nil },
		"redirect_port":       func(c *signin.Config) { c.RedirectPort = 70000 },
		"allowed_domains is":  func(c *signin.Config) { c.AllowedDomains = nil },
		"allowed_domains has": func(c *signin.Config) { c.AllowedDomains = []string{"*.example.com"} },
		"groups_claim":        func(c *signin.Config) { c.GroupsClaim = "" },
		"teams: the group":    func(c *signin.Config) { c.Teams = []signin.TeamOf{{Group: "g"}} },
		"default_team":        func(c *signin.Config) { c.DefaultTeam = "" },
		"require_group":       func(c *signin.Config) { c.RequireGroup = true },
		"token_life":          func(c *signin.Config) { c.TokenLife = 0 },
	} {
		bad := good
		change(&bad)
		if err := bad.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error with %q, got %v", says, err)
		}
	}
}

// change does what an administrator does.
func (d *desk) change(id string, edit func(*developer.Developer)) {
	d.t.Helper()
	if _, err := d.store.UpdateDeveloper(d.t.Context(), id, func(who *developer.Developer) error { edit(who); return nil }); err != nil {
		d.t.Fatal(err)
	}
}
