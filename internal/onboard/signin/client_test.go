package signin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard"
	server "codex-proxy/internal/signin"
	"codex-proxy/internal/signin/signintest"
	"codex-proxy/internal/sqlite"
)

var alice = signintest.User{Email: "alice@example.com", Name: "Alice"}

// world is a developer's machine, a proxy and an issuer. The machine's clock alone
// can be set.
type world struct {
	*Client
	t      *testing.T
	issuer *signintest.Issuer
	store  *sqlite.Developers
	proxy  *httptest.Server
	told   output

	mu    sync.Mutex
	ahead time.Duration
	down  bool // the proxy
	lose  int  // how many answers of the proxy's get lost
	steal int  // how many ID tokens somebody else shows first
}

func newWorld(t *testing.T) *world {
	t.Helper()
	keyring.MockInit()
	w := &world{t: t, issuer: signintest.New(t)}
	w.issuer.SignInAs(alice)
	var err error
	if w.store, err = sqlite.OpenDevelopers(t.Context(), filepath.Join(t.TempDir(), "developers.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	service := server.New(server.Config{
		Issuer: w.issuer.URL, ClientID: signintest.ClientID, Scopes: []string{"openid", "email", "profile", "offline_access"},
		AllowedDomains: []string{"example.com"}, GroupsClaim: "groups", DefaultTeam: developer.DefaultTeam, TokenLife: time.Hour,
	}, w.store, time.Now, slog.New(slog.DiscardHandler))
	w.proxy = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		down := w.down
		w.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPost && w.count(&w.lose) {
			service.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPost && w.count(&w.steal) {
			service.ServeHTTP(httptest.NewRecorder(), r)
		}
		service.ServeHTTP(answer, r)
	}))
	t.Cleanup(w.proxy.Close)
	address, err := onboard.ParseAddress(w.proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	w.Client = &Client{Address: address, Keep: NewKeep(filepath.Join(t.TempDir(), "sign-in")), Now: w.now}
	return w
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.ahead)
}

func (w *world) pass(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ahead += by
}

func (w *world) setProxyDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// count takes one of what is to happen; false where nothing is left.
func (w *world) count(left *int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	*left--
	return *left >= 0
}

// next says what happens to the coming ID tokens.
func (w *world) next(lose, steal int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lose, w.steal = lose, steal
}

// login signs in through the issuer's browser.
func (w *world) login(change func(*LoginOptions)) (Login, error) {
	w.t.Helper()
	o := LoginOptions{Tell: &w.told, Open: func(address string) error {
		go func() {
			if err := w.issuer.Browse(context.Background(), address); err != nil {
				w.t.Errorf("the browser: %v", err)
			}
		}()
		return nil
	}}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	return w.Login(ctx, o)
}

func (w *world) mustLogin(change func(*LoginOptions)) Login {
	w.t.Helper()
	got, err := w.login(change)
	if err != nil {
		w.t.Fatal(err)
	}
	if got.Developer != alice.Email {
		w.t.Fatalf("signed in as %q", got.Developer)
	}
	return got
}

// mustToken returns a token that the proxy has given.
func (w *world) mustToken() string {
	w.t.Helper()
	token, err := w.Token(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	who, err := developer.NewAuthenticator(w.store, time.Now).Authenticate(w.t.Context(), token)
	if err != nil || who.Developer != alice.Email {
		w.t.Fatalf("the token is %+v's, %v", who, err)
	}
	return token
}

// files are all of the sign-ins' files, by mode; their text in one piece.
func (w *world) files() (text string) {
	w.t.Helper()
	err := filepath.WalkDir(w.Keep.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if info.Mode().Perm() != 0o700 {
				w.t.Errorf("%s has the mode %v", path, info.Mode())
			}
			return nil
		}
		if !onboard.IsPrivate(info) && entry.Name() != "lock" {
			w.t.Errorf("%s has the mode %v", path, info.Mode())
		}
		content, err := os.ReadFile(path)
		text += string(content)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	return text
}

func TestABrowserSignInGivesATokenAndKeepsTheRestInTheKeyring(t *testing.T) {
	w := newWorld(t)
	got := w.mustLogin(nil)
	if w.mustToken() != got.Token {
		t.Error("the token at hand is not the one that the sign-in gave")
	}
	refresh, err := keyring.Get(service, w.Address.String())
	if err != nil || refresh == "" {
		t.Fatalf("the keyring holds nothing: %v", err)
	}
	if strings.Contains(w.files(), refresh) {
		t.Error("the refresh token is in a file, too")
	}
	if told := w.told.String(); strings.Contains(told, got.Token) || strings.Contains(told, refresh) || !strings.Contains(told, "code_challenge_method=S256") {
		t.Errorf("told: %s", told)
	}
}

func TestWithoutAKeyringAFileOfOnesOwnKeepsTheSignIn(t *testing.T) {
	w := newWorld(t)
	keyring.MockInitWithError(errors.New("there is none"))
	got := w.mustLogin(nil)
	if got.Hindrance == nil || !strings.HasPrefix(got.Place, w.Keep.dir) {
		t.Errorf("kept in %q, as %v", got.Place, got.Hindrance)
	}
	w.files()
	w.pass(time.Hour)
	w.mustToken()

	keyring.MockInit()
	w.mustLogin(nil)
	if got := w.mustLogin(func(o *LoginOptions) { o.NoKeyring = true }); got.Hindrance != nil || !strings.HasPrefix(got.Place, w.Keep.dir) {
		t.Errorf("kept in %q, as %v", got.Place, got.Hindrance)
	}
	if _, err := keyring.Get(service, w.Address.String()); !errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("the keyring still has the refresh token of before: %v", err)
	}
}

func TestADeviceSignInNeedsNoBrowserHere(t *testing.T) {
	for name, change := range map[string]func(*LoginOptions){
		"asked for":  func(o *LoginOptions) { o.Device = true },
		"no display": func(o *LoginOptions) { o.IsHeadless = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			code := regexp.MustCompile(`type the code\s+(\S+)\s`)
			w.told.watch = func(told string) {
				if found := code.FindStringSubmatch(told); found != nil {
					w.told.watch = nil
					if err := w.issuer.Approve(context.Background(), found[1]); err != nil {
						t.Error(err)
					}
				}
			}
			w.mustLogin(func(o *LoginOptions) {
				change(o)
				o.Open = func(string) error { t.Error("a browser was opened"); return nil }
			})
			w.pass(time.Hour)
			w.mustToken() // by a refresh token, too
		})
	}
}

func TestATokenIsRenewedBeforeItEndsAndNotSooner(t *testing.T) {
	w := newWorld(t)
	first := w.mustLogin(nil).Token
	w.pass(54 * time.Minute)
	if w.mustToken() != first || w.issuer.Refreshes() != 0 {
		t.Error("a token that is good for six minutes is renewed")
	}
	w.pass(2 * time.Minute)
	second := w.mustToken()
	if second == first {
		t.Error("a token that ends in four minutes is handed out")
	}
	w.pass(2 * time.Hour) // rotated: the refresh token is another one now
	if w.mustToken() == second || w.issuer.Refreshes() != 2 {
		t.Errorf("%d refreshes, want 2", w.issuer.Refreshes())
	}
	w.pass(-30 * time.Minute)
	w.mustToken()
	if w.issuer.Refreshes() != 3 {
		t.Error("a token of the future is trusted after the clock was set back")
	}
}

func TestManyWhoAskAtOnceRefreshOnce(t *testing.T) {
	w := newWorld(t)
	w.mustLogin(nil)
	w.pass(time.Hour)
	var all sync.WaitGroup
	tokens := make([]string, 8)
	for i := range tokens {
		all.Go(func() {
			var err error
			if tokens[i], err = w.Token(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, token := range tokens {
		if token != tokens[0] || token == "" {
			t.Error("not all have the same token")
		}
	}
	if w.issuer.Refreshes() != 1 {
		t.Errorf("%d refreshes, want 1", w.issuer.Refreshes())
	}
}

func TestWhoIsRemovedAtTheIssuerIsOutAndToldSo(t *testing.T) {
	w := newWorld(t)
	w.mustLogin(nil)
	w.issuer.Remove(alice.Email)
	token := w.mustToken() // until its end
	w.pass(time.Hour)
	_, err := w.Token(t.Context())
	if !errors.Is(err, ErrSignInNeeded) || !strings.Contains(err.Error(), "has ended your sign-in") || !strings.Contains(err.Error(), "codex-proxy login --url "+w.proxy.URL) {
		t.Errorf("token get says: %v", err)
	}
	if _, err := developer.NewAuthenticator(w.store, w.now).Authenticate(t.Context(), token); err == nil {
		t.Error("the last token still lets them in")
	}
	w.issuer.SetDown(true) // it is not asked again
	if _, again := w.Token(t.Context()); again == nil || again.Error() != err.Error() || !errors.Is(again, ErrSignInNeeded) {
		t.Errorf("the next time, token get says: %v", again)
	}
	if _, err := keyring.Get(service, w.Address.String()); !errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("the keyring still has the refresh token: %v", err)
	}
	w.issuer.SetDown(false)
	w.issuer.SignInAs(alice)
	w.mustLogin(nil)
	w.mustToken()
}

func TestAnOutageIsRiddenOutWhileTheTokenIsGood(t *testing.T) {
	w := newWorld(t)
	first := w.mustLogin(nil).Token
	w.pass(57 * time.Minute)
	w.issuer.SetDown(true)
	if w.mustToken() != first {
		t.Error("another token came from nowhere")
	}
	w.pass(3 * time.Minute)
	if _, err := w.Token(t.Context()); err == nil || errors.Is(err, ErrSignInNeeded) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("with the issuer down: %v", err)
	}
	w.issuer.SetDown(false)
	w.setProxyDown(true)
	if _, err := w.Token(t.Context()); err == nil || errors.Is(err, ErrSignInNeeded) || !strings.Contains(err.Error(), w.proxy.URL) {
		t.Errorf("with the proxy down: %v", err)
	}
	w.setProxyDown(false)
	w.mustToken() // the refresh token that was rotated before the proxy failed is kept
}

func TestATokenThatGotLostOnItsWayLocksNobodyOut(t *testing.T) {
	w := newWorld(t)
	first := w.mustLogin(nil).Token
	w.pass(57 * time.Minute)
	w.next(1, 0)
	if w.mustToken() != first {
		t.Error("another token came from nowhere")
	}
	w.next(1, 0)
	w.pass(3 * time.Minute)
	if _, err := w.Token(t.Context()); err == nil || errors.Is(err, ErrSignInNeeded) {
		t.Errorf("with the answer lost: %v", err)
	}
	if w.mustToken() == first {
		t.Error("a token that has ended is handed out")
	}
}

func TestAnIDTokenThatWasUsedIsFollowedByAnother(t *testing.T) {
	w := newWorld(t)
	first := w.mustLogin(nil).Token
	w.pass(time.Hour)
	w.next(0, 1)
	if w.mustToken() == first || w.issuer.Refreshes() != 2 {
		t.Errorf("%d refreshes, want 2", w.issuer.Refreshes())
	}
}

func TestWhoIsDisabledReadsTheProxysSentence(t *testing.T) {
	w := newWorld(t)
	w.mustLogin(nil)
	if _, err := w.store.UpdateDeveloper(t.Context(), alice.Email, func(d *developer.Developer) error { d.Enabled = false; return nil }); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	if _, err := w.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "is disabled here") {
		t.Errorf("token get says: %v", err)
	}
}

func TestAFailedSignInLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.issuer.SignInAs(signintest.User{Email: "alice@evil-example.com"})
	if _, err := w.login(nil); err == nil || !strings.Contains(err.Error(), "may not sign in here") {
		t.Errorf("a stranger reads: %v", err)
	}
	if _, err := os.Stat(w.Keep.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is kept: %v", err)
	}
	if _, err := w.Token(t.Context()); !errors.Is(err, ErrSignInNeeded) || !strings.Contains(err.Error(), "not signed in") {
		t.Errorf("token get says: %v", err)
	}
	w.issuer.SetDown(true)
	if _, err := w.login(nil); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("with the issuer down: %v", err)
	}
}

func TestAStrangersCallbackDoesNotEndTheWaiting(t *testing.T) {
	w := newWorld(t)
	w.mustLogin(func(o *LoginOptions) {
		open := o.Open
		o.Open = func(address string) error {
			u, err := url.Parse(address)
			if err != nil {
				return err
			}
			back := u.Query().Get("redirect_uri")
			if !strings.HasPrefix(back, "http://127.0.0.1:") {
				t.Errorf("the browser is sent back to %s", back)
			}
			for _, query := range []string{"", "?code=c", "?code=c&state=s", "?error=access_denied", "?code=c&iss=https://evil.example.com&state=" + u.Query().Get("state")} {
				response, err := http.Get(back + "/" + query)
				if err != nil {
					return err
				}
				response.Body.Close()
				if response.StatusCode != http.StatusBadRequest {
					t.Errorf("%q is answered with %d", query, response.StatusCode)
				}
			}
			return open(address)
		}
	})
}

func TestARefusalAtTheIssuerIsSaid(t *testing.T) {
	w := newWorld(t)
	_, err := w.login(func(o *LoginOptions) {
		o.Open = func(address string) error {
			u, err := url.Parse(address)
			if err != nil {
				return err
			}
			response, err := http.Get(fmt.Sprintf("%s/?state=%s&error=access_denied&error_description=not+assigned", u.Query().Get("redirect_uri"), u.Query().Get("state")))
			if err != nil {
				return err
			}
			return response.Body.Close()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "access_denied (not assigned)") {
		t.Errorf("the developer reads: %v", err)
	}
}

func TestALogoutLeavesNothingHereAndNothingAtTheIssuer(t *testing.T) {
	w := newWorld(t)
	w.mustLogin(nil)
	_, refresh, err := w.Keep.place(w.Address).load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if was, revoke, err := w.Logout(t.Context()); !was || revoke != nil || err != nil {
		t.Errorf("%v, %v, %v", was, revoke, err)
	}
	if text := w.files(); text != "" {
		t.Errorf("files are left: %d bytes", len(text))
	}
	if _, err := keyring.Get(service, w.Address.String()); !errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("the keyring: %v", err)
	}
	issuer, err := discover(t.Context(), onboard.SignInOffer{Issuer: w.issuer.URL, ClientID: signintest.ClientID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.refresh(t.Context(), refresh); !errors.Is(err, ErrSignInNeeded) {
		t.Errorf("the issuer still takes the refresh token: %v", err)
	}
	if was, _, err := w.Logout(t.Context()); was || err != nil {
		t.Errorf("a second time: %v, %v", was, err)
	}
}

func TestAnIssuerWithoutTLSIsNotTalkedTo(t *testing.T) {
	for _, issuer := range []string{"http://login.example.com", "ftp://127.0.0.1", "login.example.com", ""} {
		if _, err := discover(t.Context(), onboard.SignInOffer{Issuer: issuer, ClientID: "c"}); err == nil || !strings.Contains(err.Error(), "not https") {
			t.Errorf("%q: %v", issuer, err)
		}
	}
}

// output is what the developer is told, written and read at once.
type output struct {
	mu    sync.Mutex
	text  strings.Builder
	watch func(told string)
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if o.watch != nil {
		o.watch(o.text.String())
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
