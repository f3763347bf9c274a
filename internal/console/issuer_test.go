package console_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/console"
	"codex-proxy/internal/console/access"
	"codex-proxy/internal/signin"
)

// vouching is an issuer that vouches for whom a code names.
type vouching map[string]signin.Someone

func (vouching) Begin(_ context.Context, a signin.Attempt) (string, error) {
	return "https://login.example.com/?" + url.Values{"state": {a.State}}.Encode(), nil
}

func (v vouching) Finish(_ context.Context, _ signin.Attempt, code string) (signin.Someone, error) {
	who, ok := v[code]
	if !ok {
		return who, errors.New("no such code")
	}
	return who, nil
}

// withIssuer serves the fixture's console with an issuer as well.
func (f *fixture) withIssuer(issuer console.Issuer, roles ...console.RoleOf) {
	config := f.frame.Config
	config.Issuer, config.Settings.Roles = issuer, roles
	f.server = httptest.NewServer(console.New(config).Handler(nil))
	f.t.Cleanup(f.server.Close)
}

// comeBack is a visitor who was at the issuer and brings a code.
func (f *fixture) comeBack(code string) (v *visitor, status int, page string) {
	f.t.Helper()
	v = f.visitor()
	response, _ := v.get("/console/sign-in/issuer")
	at, err := url.Parse(response.Header.Get("Location"))
	f.check(err)
	response, page = v.get("/console/sign-in/callback?" + url.Values{"state": at.Query()["state"], "code": {code}}.Encode())
	return v, response.StatusCode, page
}

func TestWhomTheIssuerVouchesForIsNotLockedOutByOthers(t *testing.T) {
	f := newFixture(t, console.Settings{})
	f.withIssuer(vouching{"alice": {Developer: alice}})
	for range 30 {
		f.visitor().postAs("/console/sign-in", url.Values{"credential": {"codexconsole_guess"}})
		f.comeBack("made up")
	}
	if _, status, page := f.comeBack("alice"); status != http.StatusOK {
		t.Errorf("alice comes back: %d\n%s", status, page)
	}
}

func TestASessionThatTheIssuerVouchedForEndsBySigningOutElsewhere(t *testing.T) {
	f := newFixture(t, console.Settings{})
	f.withIssuer(vouching{"alice": {Developer: alice}})
	copied, _, _ := f.comeBack("alice")
	if response, _ := copied.get("/console/me"); response.StatusCode != http.StatusOK {
		t.Fatalf("alice's own page: %s", response.Status)
	}
	f.check(f.people.EndDeveloper(t.Context(), alice))
	if response, _ := copied.get("/console/me"); response.StatusCode != http.StatusSeeOther {
		t.Errorf("after signing out: %s", response.Status)
	}
	again, _, _ := f.comeBack("alice")
	if response, _ := again.get("/console/me"); response.StatusCode != http.StatusOK {
		t.Errorf("signed in again: %s", response.Status)
	}
}

func TestWhoseGroupsTheIssuerLeavesOutReadsSo(t *testing.T) {
	f := newFixture(t, console.Settings{})
	_, err := f.people.Add(t.Context(), "carol@example.com", access.Auditor, false, time.Time{})
	f.check(err)
	people := vouching{
		"a developer": {Developer: alice, AreGroupsElsewhere: true},
		"nobody":      {Developer: "dave@example.com", AreGroupsElsewhere: true},
		"by name":     {Developer: "carol@example.com", AreGroupsElsewhere: true},
	}
	f.withIssuer(people, console.RoleOf{Group: "security", Role: access.Auditor})
	for code, want := range map[string]int{"a developer": http.StatusForbidden, "nobody": http.StatusForbidden, "by name": http.StatusOK} {
		_, status, page := f.comeBack(code)
		if status != want || strings.Contains(page, "so many groups") != (want == http.StatusForbidden) {
			t.Errorf("%s: %d\n%s", code, status, page)
		}
	}
	f.withIssuer(people) // no group matters here
	if _, status, _ := f.comeBack("a developer"); status != http.StatusOK {
		t.Errorf("without roles, a developer: %d", status)
	}
}
