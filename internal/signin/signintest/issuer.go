// Package signintest is a real OpenID Connect issuer for tests: zitadel's
// provider over the in-memory storage of its example server, with a sign-in page
// that lets in whoever the test says sits in front of the browser.
package signintest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// ClientID is the public client that is registered at the issuer.
const ClientID = "codex-proxy"

// User is someone the issuer knows.
type User struct {
	Email, Name string
	// IsUnverified leaves the address unverified.
	IsUnverified bool
	Groups       []string
}

// Issuer is an issuer that serves on this machine.
type Issuer struct {
	URL string

	server   *httptest.Server
	storage  *storage
	isDown   atomic.Bool
	refreshs atomic.Int64

	mu      sync.Mutex
	browser string // the address of who sits in front of it
	users   map[string]User
	key     *signingKey
}

// New starts an issuer that ends with the test.
func New(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{users: map[string]User{}}
	i.Rotate(t)
	var handler http.Handler
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i.isDown.Load() {
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(i.server.Close)
	i.URL = i.server.URL
	i.storage = newStorage(i)
	provider, err := op.NewProvider(&op.Config{
		CryptoKey: sha256.Sum256([]byte("a key for tests")), CryptoKeyId: "1", DefaultLogoutRedirectURI: "/",
		CodeMethodS256: true, AuthMethodPost: true, GrantTypeRefreshToken: true,
		SupportedUILocales:  []language.Tag{language.English},
		SupportedScopes:     []string{"openid", "email", "profile", "offline_access"},
		DeviceAuthorization: op.DeviceAuthorizationConfig{Lifetime: time.Minute, PollInterval: time.Second, UserFormPath: "/device", UserCode: op.UserCodeBase20},
	}, i.storage, op.StaticIssuer(i.URL), op.WithAllowInsecure(), op.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("authRequestID")
		if err := i.storage.CheckUsernamePassword(i.atBrowser(), password, id); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		http.Redirect(w, r, op.AuthCallbackURL(provider)(op.ContextWithIssuer(r.Context(), i.URL), id), http.StatusFound)
	})
	mux.Handle("/", provider)
	handler = mux
	return i
}

// SignInAs makes a user known, and puts them in front of the browser.
func (i *Issuer) SignInAs(u User) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.users[u.Email], i.browser = u, u.Email
}

// Remove makes the issuer forget a user.
func (i *Issuer) Remove(email string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.users, email)
}

// SetDown takes the issuer off the net, or puts it back.
func (i *Issuer) SetDown(isDown bool) { i.isDown.Store(isDown) }

// Refreshes is how often a refresh token was used with success.
func (i *Issuer) Refreshes() int { return int(i.refreshs.Load()) }

// Rotate replaces the key that the issuer signs with.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key = &signingKey{id: rand.Text(), private: private}
}

// Browse does what a browser does with an address: it follows the redirects, over
// the sign-in page, back to whoever waits on this machine.
func (i *Issuer) Browse(ctx context.Context, address string) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Jar: jar, Timeout: 20 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the browser ends at %s with status %d", response.Request.URL.Path, response.StatusCode)
	}
	return nil
}

// Approve confirms a device's code, as the user in front of the browser.
func (i *Issuer) Approve(ctx context.Context, userCode string) error {
	return i.storage.CompleteDeviceAuthorization(ctx, userCode, i.atBrowser())
}

// IDToken is an ID token of a user's made at a time, with claims changed by hand; a
// nil takes a claim out.
func (i *Issuer) IDToken(t testing.TB, u User, made time.Time, changed map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": i.URL, "sub": u.Email, "aud": []string{ClientID}, "iat": made.Unix(), "exp": made.Add(time.Hour).Unix(),
		"jti": rand.Text(), "email": u.Email, "email_verified": !u.IsUnverified, "name": u.Name, "groups": u.Groups,
	}
	maps.Copy(claims, changed)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	key := i.key
	i.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key.private, KeyID: key.id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (i *Issuer) atBrowser() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.browser
}

func (i *Issuer) user(email string) (User, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	u, ok := i.users[email]
	return u, ok
}

func (i *Issuer) signingKey() *signingKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.key
}
