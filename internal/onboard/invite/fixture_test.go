package invite_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
	"codex-proxy/internal/sqlite"
)

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// fixture is the pages on a real store, with a clock that a test moves.
type fixture struct {
	t         *testing.T
	directory string
	store     *sqlite.Developers
	server    http.Handler
	log       bytes.Buffer
	now       time.Time
	remote    string
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, directory: t.TempDir(), now: start, remote: "192.0.2.1:4321"}
	f.open(invite.Config{})
	f.add("alice@example.com", "Alice", "")
	return f
}

// open serves the pages from c.Store, or from a store that it opens.
func (f *fixture) open(c invite.Config) {
	f.t.Helper()
	if c.Store == nil {
		store, err := sqlite.OpenDevelopers(f.t.Context(), filepath.Join(f.directory, "developers.db"))
		if err != nil {
			f.t.Fatal(err)
		}
		f.t.Cleanup(func() { _ = store.Close() }) // may be closed already
		f.store, c.Store = store, store
	}
	c.Now = func() time.Time { return f.now }
	c.Log = slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.server = invite.Handler(c)
}

func (f *fixture) add(id, name, team string) {
	f.t.Helper()
	d, err := developer.New(id, name, team, f.now)
	if err == nil {
		err = f.store.AddDeveloper(f.t.Context(), d)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// invite makes an invitation and returns its code in the clear, and what is kept.
func (f *fixture) invite(id string) (string, invite.Invitation) {
	f.t.Helper()
	code, sealed, err := invite.New(rand.Reader, id, f.now, f.now.Add(24*time.Hour))
	if err == nil {
		_, err = f.store.AddInvitation(f.t.Context(), sealed, false)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return code.Reveal(), sealed.Invitation
}

// ask sends one request for a link; change may edit it before.
func (f *fixture) ask(method, code string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://proxy.example.com/invite/"+code, nil)
	r.RemoteAddr = f.remote
	for _, edit := range change {
		edit(r)
	}
	w := httptest.NewRecorder()
	f.server.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

var asJSON = header("Accept", "application/json")

// redeem redeems a link as a command line does; it returns the token.
func (f *fixture) redeem(code string) (token string, status int) {
	f.t.Helper()
	w := f.ask("POST", code, asJSON)
	var body struct{ Token string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		f.t.Fatalf("the answer is no JSON: %v", err)
	}
	return body.Token, w.Code
}

// tokens are the tokens that the store has of a developer.
func (f *fixture) tokens(id string) []developer.TokenInfo {
	f.t.Helper()
	tokens, err := f.store.Tokens(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return tokens
}

func (f *fixture) disable(id string, enabled bool) {
	f.t.Helper()
	if _, err := f.store.UpdateDeveloper(f.t.Context(), id, func(d *developer.Developer) error {
		d.Enabled, d.Updated = enabled, f.now
		return nil
	}); err != nil {
		f.t.Fatal(err)
	}
}
