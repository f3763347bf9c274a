package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/refusal"
	"codex-proxy/internal/signin"
)

// Issuer is the organisation's OpenID Connect issuer, as signin.Browser talks to it.
type Issuer interface {
	Begin(ctx context.Context, a signin.Attempt) (address string, err error)
	Finish(ctx context.Context, a signin.Attempt, code string) (signin.Someone, error)
}

// RoleOf says that who is in the group has the role.
type RoleOf struct {
	Group string
	Role  access.Role
}

const (
	// callbackPath is where the issuer sends the browser back to; it is registered
	// there.
	callbackPath = "/console/sign-in/callback"
	// vouched is how long a session lasts that the issuer vouched for: so soon is out
	// who has left, and whose groups are others.
	vouched = 8 * time.Hour
	// attemptLife bounds how long somebody may be at the issuer.
	attemptLife = 10 * time.Minute
)

// attempt is what the browser keeps, sealed, while it is at the issuer.
type attempt struct {
	signin.Attempt
	Next  string
	Begun time.Time
}

// attemptCookie is SameSite=Lax, as it is another site that sends the browser back.
func (c *Console) attemptCookie(r *http.Request, value string) *http.Cookie {
	cookie := &http.Cookie{
		Name: c.cookieName(r) + "-attempt", Value: value, Path: "/", HttpOnly: true, Secure: c.isSecure(r), SameSite: http.SameSiteLaxMode,
		MaxAge: int(attemptLife.Seconds()),
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	return cookie
}

// callback is the address that the issuer sends the browser back to.
func (c *Console) callback(r *http.Request) string {
	base := strings.TrimSuffix(c.PublicURL, "/")
	switch {
	case base != "":
	case r.TLS != nil:
		base = "https://" + r.Host
	default:
		base = "http://" + r.Host
	}
	return base + callbackPath
}

// toIssuer leads to the issuer's sign-in.
func (c *Console) toIssuer(w http.ResponseWriter, r *http.Request) {
	a := attempt{
		Attempt: signin.Attempt{Redirect: c.callback(r), State: rand.Text(), Nonce: rand.Text(), Verifier: rand.Text() + rand.Text()},
		Next:    next(r), Begun: c.Now(),
	}
	to, err := c.Issuer.Begin(r.Context(), a.Attempt)
	var key []byte
	if err == nil {
		key, err = c.people.key(r.Context())
	}
	var text []byte
	if err == nil {
		text, err = json.Marshal(a)
	}
	if err != nil {
		c.notVouched(w, r, a.Next, err)
		return
	}
	http.SetCookie(w, c.attemptCookie(r, sealed(key, "attempt", text)))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// fromIssuer begins a session for whom the issuer vouches.
func (c *Console) fromIssuer(w http.ResponseWriter, r *http.Request) {
	a, ok := c.attempt(r)
	http.SetCookie(w, c.attemptCookie(r, ""))
	q := r.URL.Query()
	if !ok || subtle.ConstantTimeCompare([]byte(a.State), []byte(q.Get("state"))) != 1 {
		c.askToSignIn(w, r, http.StatusBadRequest, within(a.Next), "This sign-in was not begun in this browser, or too long ago. Begin again.")
		return
	}
	if q.Get("error") != "" || q.Get("code") == "" {
		c.logRefused(r, "issuer")
		c.askToSignIn(w, r, http.StatusUnauthorized, within(a.Next), "The organisation's sign-in did not let you in. Try again there, or ask whoever runs it.")
		return
	}
	who, err := c.Issuer.Finish(r.Context(), a.Attempt, q.Get("code"))
	if err != nil {
		c.notVouched(w, r, a.Next, err)
		return
	}
	s, err := c.vouchedFor(r.Context(), who)
	if err != nil {
		c.notVouched(w, r, a.Next, err)
		return
	}
	if !c.giveSession(w, r, s) {
		c.askToSignIn(w, r, http.StatusServiceUnavailable, within(a.Next), "A session cannot begin just now. Try again soon.")
		return
	}
	c.Log.Info("somebody signed in to the console", "name", s.Name+s.Developer, "by", "issuer", "remote", r.RemoteAddr)
	// A redirect would still come from the issuer's site, which sends no strict cookie.
	c.page(w, r, http.StatusOK, "Signed in", "onward", within(a.Next))
}

// attempt returns what this browser has begun.
func (c *Console) attempt(r *http.Request) (a attempt, ok bool) {
	cookie, err := r.Cookie(c.attemptCookie(r, "").Name)
	if err != nil {
		return a, false
	}
	key, err := c.people.key(r.Context())
	if err != nil {
		c.Log.Error("a sign-in to the console cannot go on", "error", err)
		return a, false
	}
	text, ok := unsealed(key, "attempt", cookie.Value)
	ok = ok && json.Unmarshal(text, &a) == nil && c.Now().Before(a.Begun.Add(attemptLife))
	return a, ok
}

// vouchedFor is the session of whom the issuer vouches for: with the role that they
// were added with or that their groups have, else as the developer who they are.
func (c *Console) vouchedFor(ctx context.Context, who signin.Someone) (session, error) {
	s, until := c.newSession(), c.Now().Add(vouched)
	var role access.Role
	if i := slices.IndexFunc(c.Settings.Roles, func(of RoleOf) bool { return slices.Contains(who.Groups, of.Group) }); i >= 0 {
		role = c.Settings.Roles[i].Role
	}
	s.Until = until.Unix()
	person, ok, err := c.people.Vouched(ctx, who.Developer, role, until)
	if err != nil || ok {
		s.Name, s.Generation = person.Name, person.Generation
		return s, err
	}
	if who.AreGroupsElsewhere && len(c.Settings.Roles) > 0 {
		return s, &refusal.Refusal{Message: who.Developer + " is in so many groups that the issuer leaves them out of the ID token, so what they may do here is not known. Whoever runs the proxy can let the issuer send only the groups that are assigned to this application."}
	}
	d, err := c.Developers.Developer(ctx, who.Developer)
	if errors.Is(err, developer.ErrNotFound) || err == nil && !d.Enabled {
		return s, &refusal.Refusal{Message: who.Developer + " is nobody's address here who may use the console. Ask whoever runs the proxy."}
	}
	if err == nil {
		s.Developer = d.ID
		s.Generation, err = c.people.generation(ctx, d.ID)
	}
	return s, err
}

// notVouched says why the issuer's word led nowhere; what went wrong is for the log.
func (c *Console) notVouched(w http.ResponseWriter, r *http.Request, next string, err error) {
	if no := (*refusal.Refusal)(nil); errors.As(err, &no) {
		c.logRefused(r, "issuer")
		c.askToSignIn(w, r, http.StatusForbidden, within(next), no.Message)
		return
	}
	c.Log.Error("somebody cannot sign in to the console with the organisation's account", "error", err)
	c.askToSignIn(w, r, http.StatusServiceUnavailable, within(next), "The organisation's sign-in cannot be used just now. Try again soon; if it stays so, tell whoever runs the proxy.")
}
