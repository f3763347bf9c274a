package console_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"codex-proxy/internal/console"
	"codex-proxy/internal/console/access"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/sqlite"
)

const alice, bob = "alice@example.com", "bob@example.com"

// fixture is a console with real stores, and the credentials of everybody.
type fixture struct {
	t       *testing.T
	store   *sqlite.Developers
	server  *httptest.Server
	frame   *console.Console
	people  console.People
	now     time.Time
	log     *bytes.Buffer
	secrets map[string]string // by role; developers' tokens by their ids
}

func newFixture(t *testing.T, settings console.Settings) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Now(), secrets: map[string]string{}, log: &bytes.Buffer{}}
	clock := func() time.Time { return f.now }
	var err error
	f.store, err = sqlite.OpenDevelopers(t.Context(), filepath.Join(t.TempDir(), "developers.db"))
	f.check(err)
	ledger, err := sqlite.OpenLedger(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	f.check(err)
	t.Cleanup(func() { _, _ = f.store.Close(), ledger.Close() })
	for _, id := range []string{alice, bob} {
		token, credential, err := developer.Issue(rand.Reader, id, "laptop", f.now, time.Time{})
		f.check(err)
		d, err := developer.New(id, "<script>alert(1)</script>", "core", f.now)
		f.check(err)
		f.check(f.store.AddDeveloper(t.Context(), d, credential))
		f.secrets[id] = token.Reveal()
	}
	f.people = console.People{Store: f.store, Now: clock}
	admin, err := f.people.Begin(t.Context())
	f.check(err)
	f.secrets["admin"] = admin.Reveal()
	for _, role := range []access.Role{access.Auditor, access.Finance} {
		credential, err := f.people.Add(t.Context(), string(role)+"@example.com", role, false, time.Time{})
		f.check(err)
		f.secrets[string(role)] = credential.Reveal()
		api, err := f.people.Add(t.Context(), string(role)+"-api", role, true, time.Time{})
		f.check(err)
		f.secrets[string(role)+" api"] = api.Reveal()
	}
	api, err := f.people.Add(t.Context(), "admin-api", access.Admin, true, time.Time{})
	f.check(err)
	f.secrets["admin api"] = api.Reveal()
	f.frame = console.New(console.Config{
		Store: f.store, Developers: f.store, Authenticator: developer.NewAuthenticator(f.store, clock), Ledger: ledger,
		Settings: settings, Now: clock, Log: slog.New(slog.NewTextHandler(f.log, nil)),
		Facts: []console.Fact{
			{Name: "health", Title: "Health", Read: func(context.Context) (console.Table, error) {
				return console.Table{Columns: []string{"x"}, Rows: [][]string{{"ok"}}, Data: map[string]any{"checks": []string{"all is well"}}}, nil
			}},
			{Name: "prices", Title: "Prices", Read: func(context.Context) (console.Table, error) {
				return console.Table{}, errors.New("the price book is on fire")
			}},
		},
	})
	// A page of somebody's words, as the pages of sessions are.
	words := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		viewer, ok := f.frame.Who(w, r)
		if !ok {
			return
		}
		of := r.URL.Query().Get("developer")
		if may, err := f.frame.MayRead(r.Context(), viewer, of); err != nil || !may {
			f.frame.Ask(w, r, viewer, of)
			return
		}
		_ = f.frame.Layout(w, r, "Words", func(w io.Writer) error { _, err := io.WriteString(w, "the words of "+of[:5]); return err })
	})
	f.server = httptest.NewServer(f.frame.Handler(map[string]http.Handler{"/console/sessions": words, "/api/v1/sessions": words}))
	t.Cleanup(f.server.Close)
	return f
}

func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// visitor is somebody with a browser.
type visitor struct {
	f    *fixture
	http *http.Client
}

func (f *fixture) visitor() *visitor {
	jar, err := cookiejar.New(nil)
	f.check(err)
	return &visitor{f, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (v *visitor) do(r *http.Request, err error) (*http.Response, string) {
	v.f.t.Helper()
	v.f.check(err)
	response, err := v.http.Do(r)
	v.f.check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	v.f.check(err)
	return response, string(body)
}

func (v *visitor) get(path string) (*http.Response, string) {
	v.f.t.Helper()
	return v.do(http.NewRequestWithContext(v.f.t.Context(), http.MethodGet, v.f.server.URL+path, nil))
}

// post posts a form with the hidden field that pages give.
func (v *visitor) post(path string, values url.Values) (*http.Response, string) {
	v.f.t.Helper()
	_, page := v.get("/console/settings")
	if found := regexp.MustCompile(`name="form" value="([0-9a-f]+)"`).FindStringSubmatch(page); found != nil {
		values.Set("form", found[1])
	}
	return v.postAs(path, values)
}

func (v *visitor) postAs(path string, values url.Values) (*http.Response, string) {
	v.f.t.Helper()
	r, err := http.NewRequestWithContext(v.f.t.Context(), http.MethodPost, v.f.server.URL+path, strings.NewReader(values.Encode()))
	v.f.check(err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(r, nil)
}

// call calls the API with somebody's credential, a path below /api/v1/, and a body
// where one is given.
func (f *fixture) call(as, method, path string, body ...string) (*http.Response, string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.server.URL+"/api/v1/"+path, strings.NewReader(strings.Join(body, "")))
	f.check(err)
	r.Header.Set("Authorization", "Bearer "+f.secrets[as])
	return f.visitor().do(r, nil)
}

// signedIn is a visitor who has signed in.
func (f *fixture) signedIn(as string) *visitor {
	f.t.Helper()
	v := f.visitor()
	response, page := v.postAs("/console/sign-in", url.Values{"credential": {f.secrets[as]}})
	if response.StatusCode != http.StatusSeeOther {
		f.t.Fatalf("%s cannot sign in: %s\n%s", as, response.Status, page)
	}
	return v
}

func TestEachRoleSeesWhatItIsFor(t *testing.T) {
	f := newFixture(t, console.Settings{})
	for _, test := range []struct {
		path                           string
		admin, auditor, finance, alice int
	}{
		{"/console/developers", 200, 200, 200, 403},
		{"/console/developers/" + alice, 200, 200, 403, 403},
		{"/console/developers/nobody", 404, 404, 403, 403},
		{"/console/access", 200, 200, 403, 403},
		{"/console/settings", 200, 200, 403, 403},
		{"/console/me", 303, 303, 303, 200},
		{"/console/sessions?developer=" + alice, 403, 403, 403, 200},
		{"/console/sessions?developer=" + bob, 403, 403, 403, 403},
	} {
		for role, want := range map[string]int{"admin": test.admin, "auditor": test.auditor, "finance": test.finance, alice: test.alice} {
			response, page := f.signedIn(role).get(test.path)
			if response.StatusCode != want {
				t.Errorf("%s by %s: %s, want %d", test.path, role, response.Status, want)
			}
			if strings.Contains(page, "<script>alert") {
				t.Errorf("%s holds a name that is a script", test.path)
			}
		}
		if response, _ := f.visitor().get(test.path); response.StatusCode != http.StatusSeeOther || !strings.HasPrefix(response.Header.Get("Location"), "/console/sign-in?next=") {
			t.Errorf("%s by nobody: %s to %s", test.path, response.Status, response.Header.Get("Location"))
		}
	}
}

func TestSettingsShowWhatHoldsAndWhatCannotBeRead(t *testing.T) {
	f := newFixture(t, console.Settings{})
	response, page := f.signedIn("auditor").get("/console/settings")
	if response.StatusCode != http.StatusOK || !strings.Contains(page, ">ok</td>") || !strings.Contains(page, "could not be read just now") {
		t.Errorf("the page: %s\n%s", response.Status, page)
	}
	if strings.Contains(page, "on fire") || !strings.Contains(f.log.String(), "on fire") {
		t.Error("what went wrong inside is for the log, and not for the page")
	}
	for _, test := range []struct {
		as, name string
		status   int
		says     string
	}{
		{"auditor api", "health", 200, `{"checks":["all is well"]}`}, {"auditor api", "prices", 503, `"unavailable"`}, {"finance api", "health", 403, `"not_allowed"`},
	} {
		if response, body := f.call(test.as, http.MethodGet, test.name); response.StatusCode != test.status || !strings.Contains(body, test.says) {
			t.Errorf("%s of %s: %s %s", test.name, test.as, response.Status, body)
		}
	}
}

func TestADeveloperSignsInBeforeAnybodyElseHasBeenAdded(t *testing.T) {
	f := newFixture(t, console.Settings{})
	_, version, err := f.store.ConsoleDocument(t.Context(), "people")
	f.check(err)
	_, err = f.store.SetConsoleDocument(t.Context(), "people", []byte("{}"), version)
	f.check(err)
	if response, page := f.signedIn(alice).get("/console/me"); response.StatusCode != http.StatusOK {
		t.Errorf("their own page: %s\n%s", response.Status, page)
	}
	if credential, err := f.people.Begin(t.Context()); err != nil || credential.Reveal() == "" {
		t.Errorf("the first start has no credential for the administrator: %v", err)
	}
	if response, _ := f.signedIn(alice).get("/console/me"); response.StatusCode != http.StatusOK {
		t.Errorf("their own page, after the first start: %s", response.Status)
	}
}

func TestOnlyAnAdministratorChangesAnything(t *testing.T) {
	f := newFixture(t, console.Settings{})
	tokens, err := f.store.Tokens(t.Context(), bob)
	f.check(err)
	for path, values := range map[string]url.Values{
		"/console/developers/" + bob + "/access":      {"enabled": {"false"}},
		"/console/developers/" + bob + "/tokens":      {"label": {"x"}},
		"/console/tokens/" + tokens[0].ID + "/revoke": {},
		"/console/tokens/" + tokens[0].ID + "/rotate": {},
	} {
		for _, role := range []string{"auditor", "finance", alice} {
			if response, _ := f.signedIn(role).post(path, values); response.StatusCode != http.StatusForbidden {
				t.Errorf("%s by %s: %s", path, role, response.Status)
			}
		}
	}
	v := f.signedIn("admin")
	response, page := v.post("/console/developers/"+bob+"/tokens", url.Values{"label": {"new"}})
	if issued := regexp.MustCompile(`codexproxy_\w+`).FindString(page); response.StatusCode != http.StatusOK || issued == "" {
		t.Errorf("issuing a token: %s", response.Status)
	}
	if _, page := v.get("/console/developers/" + bob); strings.Contains(page, "codexproxy_") {
		t.Error("the token is shown again")
	}
	v.post("/console/tokens/"+tokens[0].ID+"/rotate", url.Values{})
	v.post("/console/tokens/"+tokens[0].ID+"/revoke", url.Values{})
	if info, err := f.store.Token(t.Context(), tokens[0].ID); err != nil || info.State(f.now) != "revoked" || info.ReplacedBy == "" {
		t.Errorf("the token is %s, %v", info.State(f.now), err)
	}
	if _, err := f.store.Developer(t.Context(), bob); err != nil {
		t.Fatal(err)
	}
	v.post("/console/developers/"+bob+"/access", url.Values{"enabled": {"false"}})
	if d, err := f.store.Developer(t.Context(), bob); err != nil || d.Enabled {
		t.Errorf("bob is enabled: %t, %v", d.Enabled, err)
	}
}

func TestReadingWhatOthersWroteTakesAReasonThatTheyCanSee(t *testing.T) {
	f := newFixture(t, console.Settings{})
	v := f.signedIn("auditor")
	path := "/console/sessions?developer=" + url.QueryEscape(alice)
	if response, page := v.get(path); response.StatusCode != http.StatusForbidden || !strings.Contains(page, `name="reason"`) {
		t.Fatalf("%s\n%s", response.Status, page)
	}
	if response, _ := v.post("/console/access", url.Values{"developer": {alice}, "reason": {"because"}}); response.StatusCode != http.StatusBadRequest {
		t.Errorf("too short a reason: %s", response.Status)
	}
	response, _ := v.post("/console/access", url.Values{"developer": {alice}, "reason": {"the incident <b>of</b> today"}, "next": {path}})
	if response.StatusCode != http.StatusSeeOther || response.Header.Get("Location") != path {
		t.Errorf("%s to %s", response.Status, response.Header.Get("Location"))
	}
	if response, page := v.get(path); response.StatusCode != http.StatusOK || !strings.Contains(page, "the words of alice") {
		t.Errorf("after a reason: %s", response.Status)
	}
	if response, _ := v.get("/console/sessions?developer=" + url.QueryEscape(bob)); response.StatusCode != http.StatusForbidden {
		t.Errorf("of another: %s", response.Status)
	}
	if _, page := f.signedIn(alice).get("/console/me"); !strings.Contains(page, "the incident &lt;b&gt;of&lt;/b&gt; today") || !strings.Contains(page, "auditor@example.com") {
		t.Error("alice does not see who read what she wrote, and why")
	}
	f.now = f.now.Add(61 * time.Minute)
	if response, _ := v.get(path); response.StatusCode != http.StatusForbidden {
		t.Errorf("an hour later: %s", response.Status)
	}
}

func TestASecondPersonAgreesWhereThatIsAskedFor(t *testing.T) {
	f := newFixture(t, console.Settings{SecondPerson: true})
	v, path := f.signedIn("auditor"), "/console/sessions?developer="+url.QueryEscape(alice)
	v.post("/console/access", url.Values{"developer": {alice}, "reason": {"the incident of today"}})
	if response, page := v.get(path); response.StatusCode != http.StatusForbidden || !strings.Contains(page, "second person") {
		t.Errorf("before: %s", response.Status)
	}
	readings, err := f.store.Readings(t.Context(), alice, time.Time{})
	f.check(err)
	if response, _ := v.post("/console/access/decide", url.Values{"id": {readings[0].ID}, "answer": {"yes"}}); response.StatusCode != http.StatusConflict {
		t.Errorf("agreeing with oneself: %s", response.Status)
	}
	f.signedIn("admin").post("/console/access/decide", url.Values{"id": {readings[0].ID}, "answer": {"yes"}})
	if response, _ := v.get(path); response.StatusCode != http.StatusOK {
		t.Errorf("after: %s", response.Status)
	}
}

func TestASecondPersonDecidesByTheAPIToo(t *testing.T) {
	f := newFixture(t, console.Settings{SecondPerson: true})
	v, path := f.signedIn("auditor"), "/console/sessions?developer="+url.QueryEscape(alice)
	v.post("/console/access", url.Values{"developer": {alice}, "reason": {"the incident of today"}})
	readings, err := f.store.Readings(t.Context(), alice, time.Time{})
	f.check(err)
	for _, step := range []struct {
		as, what string
		want     int
	}{{"finance api", "approve", 403}, {"auditor api", "approve", 200}, {"admin api", "decline", 409}} {
		if response, _ := f.call(step.as, http.MethodPost, "access/"+readings[0].ID+"/"+step.what); response.StatusCode != step.want {
			t.Errorf("%s by %s: %s, want %d", step.what, step.as, response.Status, step.want)
		}
	}
	if response, _ := v.get(path); response.StatusCode != http.StatusOK {
		t.Errorf("after: %s", response.Status)
	}
}

func TestAFormOfAnotherSiteIsRefused(t *testing.T) {
	f := newFixture(t, console.Settings{})
	v := f.signedIn("admin")
	path := "/console/developers/" + bob + "/access"
	if response, _ := v.postAs(path, url.Values{"enabled": {"false"}}); response.StatusCode != http.StatusForbidden {
		t.Errorf("without the page's field: %s", response.Status)
	}
	for _, header := range [][2]string{{"Origin", "https://evil.example.com"}, {"Sec-Fetch-Site", "cross-site"}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.server.URL+"/console/sign-in", strings.NewReader("credential=x"))
		f.check(err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set(header[0], header[1])
		if response, _ := f.visitor().do(r, nil); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", header, response.Status)
		}
	}
	if d, err := f.store.Developer(t.Context(), bob); err != nil || !d.Enabled {
		t.Errorf("bob is enabled: %t, %v", d.Enabled, err)
	}
}

func TestASessionEndsWhenItShould(t *testing.T) {
	signedIn := func(v *visitor) bool {
		response, _ := v.get("/console/")
		return response.Header.Get("Location") != "/console/sign-in"
	}
	for name, end := range map[string]func(f *fixture, v *visitor){
		"after 12 hours without use": func(f *fixture, _ *visitor) { f.now = f.now.Add(12*time.Hour + time.Second) },
		"by a new credential":        func(f *fixture, _ *visitor) { _, err := f.people.Reset(t.Context(), "admin"); f.check(err) },
		"by signing out elsewhere":   func(f *fixture, _ *visitor) { f.signedIn("admin").post("/console/sign-out", url.Values{}) },
	} {
		f := newFixture(t, console.Settings{})
		v := f.signedIn("admin")
		if !signedIn(v) {
			t.Errorf("%s: it had not begun", name)
		}
		end(f, v)
		if signedIn(v) {
			t.Errorf("%s: it goes on", name)
		}
	}
	f := newFixture(t, console.Settings{})
	v := f.signedIn(alice)
	_, err := f.store.UpdateDeveloper(t.Context(), alice, func(d *developer.Developer) error { d.Disable("", f.now); return nil })
	f.check(err)
	if signedIn(v) {
		t.Error("a disabled developer's session goes on")
	}
	used := f.signedIn("admin")
	for range 20 { // used all the time, it ends after a week
		f.now = f.now.Add(10 * time.Hour)
		used.get("/console/developers")
	}
	if signedIn(used) {
		t.Error("a session goes on for more than a week")
	}
}

func TestEveryAnswerKeepsTheBrowserStrict(t *testing.T) {
	f := newFixture(t, console.Settings{})
	response, page := f.visitor().get("/console/sign-in?next=" + url.QueryEscape("https://evil.example.com/"))
	for header, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin", "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
	} {
		if got := response.Header.Get(header); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
	if strings.Contains(page, "evil.example.com") {
		t.Error("signing in leads to another site")
	}
	for _, next := range []string{"//evil.example.com/console/", "/console/../x", "/\\evil.example.com", "javascript:alert(1)", "/v1/models", "/console/sign-in"} {
		r, _ := f.visitor().postAs("/console/sign-in", url.Values{"credential": {f.secrets["admin"]}, "next": {next}})
		if to := r.Header.Get("Location"); !strings.HasPrefix(to, "/console/") || strings.Contains(to, "evil") || strings.HasPrefix(to, "/console/sign-in") {
			t.Errorf("after %q to %q", next, to)
		}
		for _, cookie := range r.Cookies() {
			if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode {
				t.Errorf("the cookie is %s", cookie)
			}
		}
	}
	r, err := http.NewRequest(http.MethodGet, f.server.URL+"/console/", nil)
	f.check(err)
	r.AddCookie(&http.Cookie{Name: "codex-proxy-console", Value: "eyJuIjoiYWRtaW4ifQ.AAAA"})
	if response, _ := f.visitor().do(r, nil); response.Header.Get("Location") != "/console/sign-in" {
		t.Error("a session that nobody has signed holds")
	}
}

func TestGuessingIsSlowedDownAndLocksNobodyOut(t *testing.T) {
	f := newFixture(t, console.Settings{})
	guess := func(credential string) int {
		response, page := f.visitor().postAs("/console/sign-in", url.Values{"credential": {credential}})
		if strings.Contains(page, "guess") {
			t.Error("the page holds what was tried")
		}
		if wait := response.Header.Get("Retry-After"); (wait == "") == (response.StatusCode == http.StatusTooManyRequests) {
			t.Errorf("%s with Retry-After %q", response.Status, wait)
		}
		return response.StatusCode
	}
	var judged, slowed atomic.Int64
	var all sync.WaitGroup
	for i := range 60 { // all from one address, as behind a load balancer
		all.Go(func() {
			switch status := guess([]string{"codexconsole_guess", "codexproxy_guess-guess-guess", "guess"}[i%3]); status {
			case http.StatusUnauthorized:
				judged.Add(1)
			case http.StatusTooManyRequests:
				slowed.Add(1)
			default:
				t.Errorf("a guess is answered %d", status)
			}
		})
	}
	all.Wait()
	if judged.Load() != 10 || slowed.Load() != 50 {
		t.Errorf("%d guesses were judged and %d slowed down, want 10 and 50", judged.Load(), slowed.Load())
	}
	for _, right := range []string{"admin", "auditor", alice} {
		f.signedIn(right)
	}
	if status := guess("codexconsole_guess"); status != http.StatusTooManyRequests {
		t.Errorf("a wrong one after a right one: %d", status)
	}
	f.now = f.now.Add(6 * time.Second)
	if first, second := guess("codexconsole_guess"), guess("codexconsole_guess"); first != http.StatusUnauthorized || second != http.StatusTooManyRequests {
		t.Errorf("six seconds later: %d, then %d", first, second)
	}
	for _, secret := range f.secrets {
		if strings.Contains(f.log.String(), secret) {
			t.Error("the log holds a credential")
		}
	}
}

func TestWhoSignsOutEndsEveryCookieOfTheirs(t *testing.T) {
	f := newFixture(t, console.Settings{})
	signedIn := func(v *visitor) bool {
		response, _ := v.get("/console/")
		return response.Header.Get("Location") != "/console/sign-in"
	}
	_, err := f.people.Add(t.Context(), "Alice@example.com", access.Auditor, false, time.Time{})
	f.check(err)
	reviewer, err := f.people.Reset(t.Context(), "Alice@example.com")
	f.check(err)
	f.secrets["Alice"] = reviewer.Reveal()

	here, copied, asReviewer, other := f.signedIn(alice), f.signedIn(alice), f.signedIn("Alice"), f.signedIn(bob)
	if response, _ := here.postAs("/console/sign-out", url.Values{}); response.StatusCode != http.StatusForbidden || !signedIn(copied) {
		t.Errorf("another site signs alice out: %s", response.Status)
	}
	signOut := func(v *visitor, page string) {
		t.Helper()
		_, text := v.get(page)
		form := regexp.MustCompile(`name="form" value="([0-9a-f]+)"`).FindStringSubmatch(text)
		if response, _ := v.postAs("/console/sign-out", url.Values{"form": {form[1]}}); response.StatusCode != http.StatusSeeOther {
			t.Errorf("signing out: %s", response.Status)
		}
	}
	signOut(here, "/console/me")
	for name, v := range map[string]*visitor{"here": here, "copied": copied, "as a reviewer": asReviewer} {
		if signedIn(v) {
			t.Errorf("after signing out, the session %s goes on", name)
		}
	}
	if !signedIn(other) {
		t.Error("another developer is signed out")
	}
	again := f.signedIn(alice)
	if !signedIn(again) || signedIn(copied) {
		t.Error("after signing in again, the new session does not hold or the old one does")
	}
	signOut(f.signedIn("Alice"), "/console/settings")
	if signedIn(again) {
		t.Error("a reviewer signs out, and their session as a developer goes on")
	}
}

// TestTheDescriptionOfTheAPIIsServedAndReadable checks the file; e2e asks for what it
// describes.
func TestTheDescriptionOfTheAPIIsServedAndReadable(t *testing.T) {
	f := newFixture(t, console.Settings{})
	response, text := f.visitor().get("/api/v1/openapi.yaml")
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(text, "openapi: 3.1.0\n") {
		t.Errorf("%s: %.100s", response.Status, text)
	}
}

func TestTheAPIKnowsItsOwnCredentialsAlone(t *testing.T) {
	f := newFixture(t, console.Settings{Pseudonyms: true})
	call := func(method, path, credential string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, f.server.URL+path, nil)
		f.check(err)
		if credential != "" {
			r.Header.Set("Authorization", "Bearer "+credential)
		}
		response, body := f.signedIn("admin").do(r, nil) // whose cookie means nothing here
		return response.StatusCode, body
	}
	for _, wrong := range []string{"", f.secrets["admin"], f.secrets[alice] + "x", "codexconsole_x"} {
		if status, _ := call("GET", "/api/v1/developers", wrong); status != http.StatusUnauthorized {
			t.Errorf("another credential: %d", status)
		}
	}
	if status, body := call("GET", "/api/v1/developers", f.secrets["admin api"]); status != http.StatusOK || !strings.Contains(body, alice) {
		t.Errorf("an administrator's: %d %s", status, body)
	}
	if status, body := call("GET", "/api/v1/developers", f.secrets["finance api"]); status != http.StatusOK || strings.Contains(body, "alice") || !strings.Contains(body, "developer-") {
		t.Errorf("finance's, under pseudonyms: %d %s", status, body)
	}
	if status, _ := call("POST", "/api/v1/developers/"+bob+"/disable", f.secrets["auditor api"]); status != http.StatusForbidden {
		t.Errorf("an auditor changes somebody: %d", status)
	}
	if status, _ := call("POST", "/api/v1/developers/"+bob+"/disable", f.secrets["admin api"]); status != http.StatusOK {
		t.Errorf("an administrator changes somebody: %d", status)
	}
	if status, body := call("GET", "/api/v1/developers/"+bob, f.secrets["admin api"]); status != http.StatusOK || !strings.Contains(body, `"enabled":false`) {
		t.Errorf("bob is %d %s", status, body)
	}
	if status, body := call("POST", "/api/v1/developers/"+alice+"/tokens", f.secrets["admin api"]); status != http.StatusOK || !strings.Contains(body, "codexproxy_") {
		t.Errorf("a token for alice: %d", status)
	}
	if status, _ := call("GET", "/api/v1/developers/nobody", f.secrets["admin api"]); status != http.StatusNotFound {
		t.Errorf("nobody: %d", status)
	}
}

func TestARotatedTokenEndsWhenTheOldOneWouldHave(t *testing.T) {
	f := newFixture(t, console.Settings{})
	ends := f.now.Add(time.Hour).UTC().Truncate(time.Second)
	later := ends.Add(time.Hour)
	for name, c := range map[string]struct {
		label, body string
		status      int
		ends        time.Time
	}{
		"as it is":            {"laptop", "", 200, ends},
		"an empty body":       {"laptop", "{}", 200, ends},
		"a sign-in":           {"sign-in", "", 200, ends},
		"told otherwise":      {"laptop", `{"expires": "` + later.Format(time.RFC3339) + `"}`, 200, later},
		"never":               {"laptop", `{"expires": "never"}`, 200, time.Time{}},
		"a sign-in for good":  {"sign-in", `{"expires": "never"}`, 400, time.Time{}},
		"a sign-in, for more": {"sign-in", `{"expires": "` + later.Format(time.RFC3339) + `"}`, 400, time.Time{}},
		"no time":             {"laptop", `{"expires": "tomorrow"}`, 400, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			_, credential, err := developer.Issue(rand.Reader, bob, c.label, f.now, ends)
			f.check(err)
			f.check(f.store.AddToken(t.Context(), credential))
			response, body := f.call("admin api", http.MethodPost, "tokens/"+credential.ID+"/rotate", c.body)
			if response.StatusCode != c.status {
				t.Fatalf("%s %s", response.Status, body)
			}
			old, err := f.store.Token(t.Context(), credential.ID)
			f.check(err)
			if c.status != http.StatusOK {
				if old.ReplacedBy != "" {
					t.Error("it is rotated all the same")
				}
				return
			}
			fresh, err := f.store.Token(t.Context(), old.ReplacedBy)
			f.check(err)
			if fresh.Label != c.label || !fresh.Expires.Equal(c.ends) || strings.Contains(body, `"expires"`) == c.ends.IsZero() {
				t.Errorf("the new token is %+v, want one that ends %v; the answer is %s", fresh, c.ends, body)
			}
		})
	}
	_, credential, err := developer.Issue(rand.Reader, bob, "sign-in", f.now, ends)
	f.check(err)
	f.check(f.store.AddToken(t.Context(), credential))
	f.signedIn("admin").post("/console/tokens/"+credential.ID+"/rotate", url.Values{})
	old, err := f.store.Token(t.Context(), credential.ID)
	f.check(err)
	if fresh, err := f.store.Token(t.Context(), old.ReplacedBy); err != nil || !fresh.Expires.Equal(ends) || fresh.Label != "sign-in" {
		t.Errorf("rotated on the page: %+v, %v", fresh, err)
	}
}

func TestANewCredentialEndsWhenTheOneBeforeWouldHave(t *testing.T) {
	f := newFixture(t, console.Settings{})
	_, err := f.people.Add(t.Context(), "guest@example.com", access.Auditor, false, f.now.Add(time.Hour))
	f.check(err)
	credential, err := f.people.Reset(t.Context(), "guest@example.com")
	f.check(err)
	f.secrets["guest"] = credential.Reveal()
	f.signedIn("guest")
	f.now = f.now.Add(time.Hour)
	if response, _ := f.visitor().postAs("/console/sign-in", url.Values{"credential": {f.secrets["guest"]}}); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("after the end: %s", response.Status)
	}
	if _, err := f.people.Reset(t.Context(), "guest@example.com"); !errors.Is(err, console.ErrEnded) {
		t.Errorf("another credential after the end: %v", err)
	}
}

func TestADeveloperCallsTheAPIWithTheirToken(t *testing.T) {
	f := newFixture(t, console.Settings{})
	f.call("auditor api", http.MethodPost, "access", `{"developer": "`+alice+`", "reason": "the incident of today"}`)
	f.call("auditor api", http.MethodPost, "access", `{"developer": "`+bob+`", "reason": "another incident"}`)
	for _, test := range []struct {
		path   string
		status int
		says   string
	}{
		{"developers/" + alice, 200, `"id":"` + alice + `"`},
		{"developers/" + bob, 403, "not_allowed"},
		{"developers", 403, "not_allowed"},
		{"health", 403, "not_allowed"},
		{"access?developer=" + bob, 200, "the incident of today"},
		{"sessions?developer=" + alice, 200, "the words of alice"},
		{"sessions?developer=" + bob, 403, "not_allowed"},
	} {
		if response, body := f.call(alice, http.MethodGet, test.path); response.StatusCode != test.status || !strings.Contains(body, test.says) || strings.Contains(body, "another incident") {
			t.Errorf("%s: %s %s", test.path, response.Status, body)
		}
	}
	if response, _ := f.call(alice, http.MethodPost, "developers/"+alice+"/tokens"); response.StatusCode != http.StatusForbidden {
		t.Errorf("a token of their own making: %s", response.Status)
	}
	_, err := f.store.UpdateDeveloper(t.Context(), alice, func(d *developer.Developer) error { d.Disable("", time.Now()); return nil })
	f.check(err)
	if response, body := f.call(alice, http.MethodGet, "developers/"+alice); response.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "wrong_credential") {
		t.Errorf("when disabled: %s %s", response.Status, body)
	}
}

func TestAProgramReadsWhatOthersWroteForAReason(t *testing.T) {
	f := newFixture(t, console.Settings{})
	words := "sessions?developer=" + alice
	ask := func(as, body string, status int, says string) {
		t.Helper()
		if response, said := f.call(as, http.MethodPost, "access", body); response.StatusCode != status || !strings.Contains(said, says) {
			t.Errorf("%s asks: %s %s", as, response.Status, said)
		}
	}
	see := func(as string, status int, says string) {
		t.Helper()
		if response, said := f.call(as, http.MethodGet, words); response.StatusCode != status || !strings.Contains(said, says) {
			t.Errorf("%s reads: %s %s", as, response.Status, said)
		}
	}
	see("auditor api", 403, `"reason_needed"`)
	see("finance api", 403, `"not_allowed"`)
	ask("auditor api", `{"developer": "`+alice+`", "reason": "short"}`, 400, `"bad_request"`)
	ask("auditor api", `{"developer": "`+alice+`", "why": "the incident of today"}`, 400, `"bad_request"`)
	ask("finance api", `{"developer": "`+alice+`", "reason": "the incident of today"}`, 403, `"not_allowed"`)
	see("auditor api", 403, `"reason_needed"`)
	ask("auditor api", `{"developer": "`+alice+`", "reason": "the incident of today"}`, 200, `"state":"granted"`)
	see("auditor api", 200, "the words of alice")
	see("admin api", 403, `"reason_needed"`)
	if _, page := f.signedIn(alice).get("/console/me"); !strings.Contains(page, "the incident of today") || !strings.Contains(page, "auditor-api") {
		t.Error("alice does not see who has read what she wrote")
	}
}

func TestAProgramWaitsForASecondPersonToo(t *testing.T) {
	f := newFixture(t, console.Settings{SecondPerson: true})
	response, said := f.call("auditor api", http.MethodPost, "access", `{"developer": "`+alice+`", "reason": "the incident of today"}`)
	if response.StatusCode != http.StatusOK || !strings.Contains(said, `"state":"asked"`) {
		t.Fatalf("asking: %s %s", response.Status, said)
	}
	if response, said := f.call("auditor api", http.MethodGet, "sessions?developer="+alice); response.StatusCode != http.StatusForbidden || !strings.Contains(said, `"waits"`) {
		t.Errorf("while it waits: %s %s", response.Status, said)
	}
}
