package invite_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
	code, sealed, err := invite.New(rand.Reader, id, f.now, f.now.Add(invite.DefaultLife))
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

func TestALinkGivesOneTokenThatWorks(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	w := f.ask("POST", code, asJSON)
	var got struct {
		Developer, Token string
		Setup            map[string]string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
		t.Fatalf("got %d, %v", w.Code, err)
	}
	want := map[string]string{
		"unix":    "curl -fsSL http://proxy.example.com/setup.sh | sh",
		"windows": "irm http://proxy.example.com/setup.ps1 | iex",
		"binary":  "codex-proxy setup --url http://proxy.example.com",
	}
	if diff := cmp.Diff(want, got.Setup); diff != "" || got.Developer != "alice@example.com" {
		t.Errorf("for %s (-want +got):\n%s", got.Developer, diff)
	}
	who, err := developer.NewAuthenticator(f.store, func() time.Time { return f.now }).Authenticate(t.Context(), got.Token)
	if err != nil || who.Developer != "alice@example.com" {
		t.Errorf("the token is %s's, %v", who.Developer, err)
	}
	if _, status := f.redeem(code); status != http.StatusGone || len(f.tokens("alice@example.com")) != 1 {
		t.Errorf("the second time got %d", status)
	}
	all, err := f.store.Invitations(t.Context())
	if err != nil || len(all) != 1 || all[0].State(f.now) != "used" || all[0].Token != who.TokenID {
		t.Errorf("the invitation is %+v, %v", all, err)
	}
}

func TestTheSameLinkAtOnceGivesOneToken(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	const n = 8
	status := make([]int, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { status[i] = f.ask("POST", code).Code })
	}
	all.Wait()
	counts := map[int]int{}
	for _, s := range status {
		counts[s]++
	}
	if counts[http.StatusOK] != 1 || counts[http.StatusGone] != n-1 || len(f.tokens("alice@example.com")) != 1 {
		t.Errorf("answers by status: %v; tokens: %d", counts, len(f.tokens("alice@example.com")))
	}
}

func TestLookingAtALinkUsesNothingUp(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	for range 30 {
		for _, method := range []string{"GET", "HEAD"} {
			if w := f.ask(method, code); w.Code != http.StatusOK || strings.Contains(w.Body.String(), developer.Prefix) {
				t.Fatalf("%s is answered with %d", method, w.Code)
			}
		}
	}
	for _, method := range []string{"PUT", "DELETE", "PATCH", "OPTIONS", "post"} {
		if w := f.ask(method, code); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
			t.Errorf("%s is answered with %d", method, w.Code)
		}
	}
	if len(f.tokens("")) != 0 {
		t.Error("a token was issued")
	}
	if _, status := f.redeem(code); status != http.StatusOK {
		t.Errorf("afterwards it is redeemed with %d", status)
	}
}

func TestALinkWorksForADay(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	f.now = start.Add(24*time.Hour - time.Millisecond)
	if w := f.ask("GET", code); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "2026-11-24 12:00 UTC") {
		t.Errorf("a moment before: %d", w.Code)
	}
	f.now = start.Add(24 * time.Hour)
	if _, status := f.redeem(code); status != http.StatusGone || len(f.tokens("")) != 0 {
		t.Errorf("a day later: %d", status)
	}
}

func TestALinkWorksAfterARestart(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	f.ask("GET", code)
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(invite.Config{})
	if _, status := f.redeem(code); status != http.StatusOK {
		t.Errorf("after a restart it is redeemed with %d", status)
	}
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(invite.Config{})
	if _, status := f.redeem(code); status != http.StatusGone || len(f.tokens("")) != 1 {
		t.Errorf("after another it is redeemed again, with %d", status)
	}
}

// TestNothingCanBeLearntByTrying holds every link that is not open to one answer.
func TestNothingCanBeLearntByTrying(t *testing.T) {
	f := newFixture(t)
	for _, id := range []string{"bob", "carol", "dave", "erin", "frank"} {
		f.add(id, "", "core")
	}
	if _, err := f.store.UpdateTeam(t.Context(), "core", f.now, func(p *developer.Policy) error { p.Contact = "#core"; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.UpdateTeam(t.Context(), developer.DefaultTeam, f.now, func(p *developer.Policy) error { p.Contact = "#codex-help"; return nil }); err != nil {
		t.Fatal(err)
	}
	expired, _ := f.invite("bob")
	f.now = f.now.Add(25 * time.Hour)
	used, _ := f.invite("alice@example.com")
	f.redeem(used)
	cancelled, sealed := f.invite("carol")
	if _, err := f.store.CancelInvitation(t.Context(), sealed.ID, f.now); err != nil {
		t.Fatal(err)
	}
	replaced, _ := f.invite("dave")
	f.invite("dave")
	disabled, _ := f.invite("erin")
	f.disable("erin", false)
	removed, _ := f.invite("frank")
	if err := f.store.RemoveDeveloper(t.Context(), "frank"); err != nil {
		t.Fatal(err)
	}

	tokens := len(f.tokens(""))
	type look struct{ status, body, headers string }
	for _, method := range []string{"GET", "POST"} {
		for _, accept := range []string{"text/html", "application/json", "text/plain"} {
			f.open(invite.Config{}) // the limit of wrong links is another test's
			answer := func(code string) look {
				w := f.ask(method, code, header("Accept", accept))
				return look{fmt.Sprint(w.Code), w.Body.String(), fmt.Sprint(w.Header())}
			}
			want := answer(strings.Repeat("a", 32))
			if want.status != "410" || !strings.Contains(want.body, "#codex-help") {
				t.Errorf("%s of an unknown link as %s: %s %s", method, accept, want.status, want.body)
			}
			for name, code := range map[string]string{
				"expired": expired, "used": used, "cancelled": cancelled, "replaced": replaced, "disabled": disabled, "removed": removed,
				"empty": "", "short": "abc", "long": strings.Repeat("a", 33), "misshapen": strings.Repeat("!", 32), "below": cancelled + "/x",
			} {
				if diff := cmp.Diff(want, answer(code), cmp.AllowUnexported(look{})); diff != "" {
					t.Errorf("%s of a link that is %s, as %s (-unknown +it):\n%s", method, name, accept, diff)
				}
			}
		}
	}
	f.disable("erin", true)
	if _, status := f.redeem(disabled); status != http.StatusGone {
		t.Errorf("letting a developer back in makes the old invitation open again: %d", status)
	}
	if got := len(f.tokens("")); got != tokens {
		t.Errorf("there are %d tokens more", got-tokens)
	}
}

func TestAFormOnAnotherSiteIsRefused(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	for _, headers := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"},
		{"Sec-Fetch-Site": "same-site"},
		{"Sec-Fetch-Site": "cross-site", "Origin": "http://proxy.example.com"},
		{"Sec-Fetch-Site": "cross-site", "Origin": "null"},
		{"Origin": "https://evil.example.com"},
		{"Origin": "http://proxy.example.com.evil.example.com"},
		{"Origin": "http://proxy.example.com:8080"},
		{"Origin": "file://proxy.example.com"},
	} {
		w := f.ask("POST", code, func(r *http.Request) {
			for name, value := range headers {
				r.Header.Set(name, value)
			}
		})
		if w.Code != http.StatusForbidden {
			t.Errorf("%v is answered with %d", headers, w.Code)
		}
	}
	if len(f.tokens("")) != 0 {
		t.Error("a token was issued")
	}
	for _, headers := range []map[string]string{
		{},
		{"Sec-Fetch-Site": "same-origin", "Origin": "null"},
		{"Sec-Fetch-Site": "none"},
		{"Origin": "null"}, // our page's form, over plain HTTP
		{"Origin": "http://proxy.example.com"},
		{"Origin": "https://PROXY.example.com"}, // TLS ended in front of the proxy
	} {
		code, _ := f.invite("alice@example.com")
		w := f.ask("POST", code, func(r *http.Request) {
			for name, value := range headers {
				r.Header.Set(name, value)
			}
		})
		if w.Code != http.StatusOK {
			t.Errorf("%v is answered with %d", headers, w.Code)
		}
	}
	f.open(invite.Config{PublicURL: "https://gw.example.com/codex"})
	for origin, want := range map[string]int{
		"https://gw.example.com": http.StatusOK, "https://gw.example.co": http.StatusForbidden, "https": http.StatusForbidden,
		"http://gw.example.com": http.StatusForbidden,
	} {
		code, _ := f.invite("alice@example.com")
		if w := f.ask("POST", code, header("Origin", origin)); w.Code != want {
			t.Errorf("behind https://gw.example.com, the origin %s is answered with %d", origin, w.Code)
		}
	}
}

func TestThePagesSaySoInTheirHeaders(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	for name, w := range map[string]*httptest.ResponseRecorder{
		"offer": f.ask("GET", code), "refusal": f.ask("GET", "x"), "token": f.ask("POST", code),
		"style": f.ask("GET", "style.css"), "script": f.ask("GET", "page.js"),
	} {
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		} {
			if got := w.Header().Get(header); got != want {
				t.Errorf("%s: %s: %s", name, header, got)
			}
		}
		body := w.Body.String()
		for _, inline := range []string{"style=", "onclick", "<style", "javascript:", "http-equiv"} {
			if strings.Contains(body, inline) {
				t.Errorf("%s has %s, which the policy forbids", name, inline)
			}
		}
		if strings.Contains(w.Header().Get("Content-Type"), "html") && strings.Count(body, "<script") != 1 {
			t.Errorf("%s has another script than its file", name)
		}
	}
	for name, contentType := range map[string]string{"style.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"} {
		if w := f.ask("GET", name); w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType {
			t.Errorf("%s is %d, %s", name, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

func TestTheFormIsTheOneThatIsAskedFor(t *testing.T) {
	f := newFixture(t)
	for accept, want := range map[string]string{
		"": "text/html; charset=utf-8", "*/*": "text/html; charset=utf-8", "image/png": "text/html; charset=utf-8", ";;": "text/html; charset=utf-8",
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html; charset=utf-8",
		"application/json":             "application/json",
		"application/json; q=1, */*":   "application/json",
		"text/plain":                   "text/plain; charset=utf-8",
		"image/png , text/plain;q=0.5": "text/plain; charset=utf-8",
	} {
		code, _ := f.invite("alice@example.com")
		for _, method := range []string{"GET", "POST"} {
			w := f.ask(method, code, header("Accept", accept))
			if got := w.Header().Get("Content-Type"); got != want || w.Code != http.StatusOK {
				t.Errorf("%s as %q is %d, %s", method, accept, w.Code, got)
			}
			if has := strings.Contains(w.Body.String(), developer.Prefix); has != (method == "POST") {
				t.Errorf("%s as %q shows a token: %v", method, accept, has)
			}
		}
	}
}

func TestNamesAreTextInThePage(t *testing.T) {
	f := newFixture(t)
	const hostile = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{.}}`
	f.add("mallory", hostile, `<b onclick="x">team`)
	if _, err := f.store.UpdateTeam(t.Context(), `<b onclick="x">team`, f.now, func(p *developer.Policy) error {
		p.Contact = `</dd><script src=//evil.example.com></script>`
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	code, _ := f.invite("mallory")
	for _, method := range []string{"GET", "POST"} {
		body := f.ask(method, code).Body.String()
		if !strings.Contains(body, "&lt;script&gt;alert(1)&lt;/script&gt;") {
			t.Errorf("%s does not show the name", method)
		}
		for _, live := range []string{"<script>", "<img", "<b onclick", "<script src=//"} {
			if strings.Contains(body, live) {
				t.Errorf("%s has %s in it", method, live)
			}
		}
	}
}

func TestAHostileHostIsRefused(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	w := f.ask("POST", code, func(r *http.Request) { r.Host = "$(reboot)" })
	if w.Code != http.StatusBadRequest || len(f.tokens("")) != 0 {
		t.Errorf("it is answered with %d", w.Code)
	}
}

func TestThePagesNameThePublicAddress(t *testing.T) {
	f := newFixture(t)
	f.open(invite.Config{PublicURL: "https://gw.example.com/codex"})
	code, _ := f.invite("alice@example.com")
	page := f.ask("GET", code).Body.String()
	if !strings.Contains(page, `href="/codex/invite/style.css"`) || !strings.Contains(page, "gw.example.com") || strings.Contains(page, "proxy.example.com") {
		t.Errorf("the page is\n%s", page)
	}
	if text := f.ask("GET", code, header("Accept", "text/plain")).Body.String(); !strings.Contains(text, "https://gw.example.com/codex/invite/"+code) {
		t.Errorf("the text is\n%s", text)
	}
	if page := f.ask("POST", code).Body.String(); !strings.Contains(page, "curl -fsSL https://gw.example.com/codex/setup.sh | sh") {
		t.Errorf("the token's page is\n%s", page)
	}
}

func TestALinkThatWasLengthenedOnTheWayIsStillOurs(t *testing.T) {
	code := strings.Repeat("a2", 16)
	for path, want := range map[string]bool{
		"/invite/": true, "/invite/x": true, "/invite/" + code: true, "/invite/" + code + "/": true,
		"//invite/" + code: true, "/codex/invite/" + code: true, "/v1/../invite/" + code: true, "/codex/invite/style.css": true,
		"": false, "/": false, "/invite": false, "/v1/responses": false, "/v1/invite/x": false, "/v1/organization/invites/" + code: false,
	} {
		if got := invite.Owns(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
	f := newFixture(t)
	open, _ := f.invite("alice@example.com")
	if w := f.ask("POST", open, func(r *http.Request) { r.URL.Path = "/codex/" + r.URL.Path }); w.Code != http.StatusOK {
		t.Errorf("it is redeemed with %d", w.Code)
	}
}

func FuzzNoOtherLinkThanTheOneIsOpen(fuzz *testing.F) {
	for _, name := range []string{"", "style.css", "../x", "%", "a\x00b", strings.Repeat("a", 32), strings.Repeat("é", 16)} {
		fuzz.Add(name, "text/html", "null")
	}
	fuzz.Fuzz(func(t *testing.T, name, accept, origin string) {
		f := &fixture{t: t, now: start, remote: "192.0.2.1:4321"}
		f.open(invite.Config{Store: nobody{}})
		w := f.ask("POST", "", header("Accept", accept), header("Origin", origin), func(r *http.Request) { r.URL.Path = "/invite/" + name })
		if w.Code != http.StatusGone && w.Code != http.StatusForbidden {
			t.Errorf("it is answered with %d", w.Code)
		}
	})
}

// nobody is a store without invitations.
type nobody struct{}

func (nobody) Offer(context.Context, [sha256.Size]byte) (invite.Offer, error) {
	return invite.Offer{}, invite.ErrNotOpen
}

func (nobody) Redeem(context.Context, [sha256.Size]byte, developer.Credential) error {
	return invite.ErrNotOpen
}

func (nobody) Team(context.Context, string) (developer.Team, error) { return developer.Team{}, nil }

// brokenStore fails at one of its methods.
type brokenStore struct {
	*sqlite.Developers
	fails string
}

var errDisk = errors.New("the disk is gone")

func (s *brokenStore) Offer(ctx context.Context, hash [sha256.Size]byte) (invite.Offer, error) {
	if s.fails == "offer" {
		return invite.Offer{}, errDisk
	}
	return s.Developers.Offer(ctx, hash)
}

func (s *brokenStore) Redeem(ctx context.Context, hash [sha256.Size]byte, token developer.Credential) error {
	if s.fails == "redeem" {
		return errDisk
	}
	return s.Developers.Redeem(ctx, hash, token)
}

func (s *brokenStore) Team(ctx context.Context, name string) (developer.Team, error) {
	if s.fails == "team" {
		return developer.Team{}, errDisk
	}
	return s.Developers.Team(ctx, name)
}

func TestAnOutageIs503AndUsesNothingUp(t *testing.T) {
	for _, c := range []struct{ fails, method, code string }{
		{"offer", "GET", ""}, {"offer", "POST", ""}, {"redeem", "POST", ""}, {"team", "GET", "unknown"},
	} {
		t.Run(c.fails+" "+c.method, func(t *testing.T) {
			f := newFixture(t)
			store := &brokenStore{f.store, c.fails}
			f.open(invite.Config{Store: store})
			open, _ := f.invite("alice@example.com")
			code := open
			if c.code != "" {
				code = c.code
			}
			w := f.ask(c.method, code)
			if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "Nothing was used up") || w.Header().Get("Retry-After") == "" {
				t.Errorf("it is answered with %d: %s", w.Code, w.Body)
			}
			if !strings.Contains(f.log.String(), errDisk.Error()) || strings.Contains(f.log.String(), open) || strings.Contains(w.Body.String(), errDisk.Error()) {
				t.Error("the log lacks why, or has the code, or the page says why")
			}
			store.fails = ""
			if _, status := f.redeem(open); status != http.StatusOK {
				t.Errorf("afterwards it is redeemed with %d", status)
			}
		})
	}
	t.Run("closed", func(t *testing.T) {
		f := newFixture(t)
		code, _ := f.invite("alice@example.com")
		if err := f.store.Close(); err != nil {
			t.Fatal(err)
		}
		if w := f.ask("POST", code); w.Code != http.StatusServiceUnavailable {
			t.Errorf("it is answered with %d", w.Code)
		}
		f.open(invite.Config{})
		if _, status := f.redeem(code); status != http.StatusOK {
			t.Errorf("afterwards it is redeemed with %d", status)
		}
	})
}

func TestWrongLinksAreLimitedByAddress(t *testing.T) {
	f := newFixture(t)
	open, _ := f.invite("alice@example.com")
	tries := 0
	for ; tries < 100; tries++ {
		w := f.ask("GET", strings.Repeat("b", 32))
		if w.Code == http.StatusTooManyRequests {
			if w.Header().Get("Retry-After") != "3" {
				t.Errorf("it may try again in %s seconds", w.Header().Get("Retry-After"))
			}
			break
		}
	}
	if tries != 20 {
		t.Errorf("%d tries were let through", tries)
	}
	wrong := func() int { return f.ask("POST", strings.Repeat("c", 32)).Code }
	f.remote = "192.0.2.1:999"
	if status := wrong(); status != http.StatusTooManyRequests {
		t.Errorf("another port of the address is answered with %d", status)
	}
	if w := f.ask("GET", open); w.Code != http.StatusOK {
		t.Errorf("an open link, which a stranger must not lock out, is answered with %d", w.Code)
	}
	f.remote = "192.0.2.2:999"
	if status := wrong(); status != http.StatusGone {
		t.Errorf("another address is answered with %d", status)
	}
	f.remote = "192.0.2.1:999"
	f.now = f.now.Add(3 * time.Second)
	if status := wrong(); status != http.StatusGone {
		t.Errorf("three seconds later it is answered with %d", status)
	}
	if _, status := f.redeem(open); status != http.StatusOK {
		t.Errorf("an open link is redeemed with %d", status)
	}
}

func TestTheCodeAndTheTokenAreKeptNowhere(t *testing.T) {
	f := newFixture(t)
	code, _ := f.invite("alice@example.com")
	f.ask("GET", code)
	token, _ := f.redeem(code)
	f.ask("GET", code)
	secret := strings.TrimPrefix(token, developer.Prefix)[9:]
	for _, hidden := range []string{code, secret} {
		if strings.Contains(f.log.String(), hidden) {
			t.Error("the log has it")
		}
	}
	if !strings.Contains(f.log.String(), "invitation redeemed") {
		t.Errorf("the log does not say what happened:\n%s", f.log.String())
	}
	files := 0
	if err := filepath.WalkDir(f.directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(code)) || bytes.Contains(content, []byte(secret)) {
			t.Errorf("%s has the code or the token", entry.Name())
		}
		return err
	}); err != nil || files < 2 {
		t.Errorf("%d files, %v", files, err)
	}
}

func TestACodePrintsAsAMask(t *testing.T) {
	code, sealed, err := invite.New(rand.Reader, "alice@example.com", start, start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "code", code, "sealed", sealed)
	encoded, err := json.Marshal(map[string]any{"code": code})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{log.String(), string(encoded), fmt.Sprintf("%v %s %q %x %+v", code, code, code, code, struct{ C invite.Code }{code})} {
		if strings.Contains(text, code.Reveal()) || !strings.Contains(text, "[invitation code]") {
			t.Errorf("it prints as %s", text)
		}
	}
}

func TestACodeHas160Bits(t *testing.T) {
	code, sealed, err := invite.New(bytes.NewReader(bytes.Repeat([]byte{0xff}, 20)), "bob", start, start.Add(time.Hour))
	if err != nil || code.Reveal() != strings.Repeat("7", 32) || sealed.Hash != sha256.Sum256([]byte(code.Reveal())) {
		t.Errorf("it is %s, %v", code.Reveal(), err)
	}
	if _, _, err := invite.New(bytes.NewReader(make([]byte, 19)), "bob", start, start.Add(time.Hour)); err == nil {
		t.Error("19 bytes are enough for it")
	}
}
