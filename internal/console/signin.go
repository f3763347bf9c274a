package console

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"codex-proxy/internal/developer"
)

// signInPage is what the form of the sign-in shows.
type signInPage struct {
	Next, Problem string
	// Issuer leads to the organisation's own sign-in, where there is one.
	Issuer string
}

// next returns where to go after signing in: a page of the console, and nowhere else.
func next(r *http.Request) string { return within(r.FormValue("next")) }

// within returns an address of a page of the console as it is, and of anything else
// the first page's.
func within(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(path.Clean(u.Path)+"/", root) || strings.Contains(to, "\\") || strings.HasPrefix(u.Path, signInPath) {
		return root
	}
	return u.RequestURI()
}

// toSignIn leads to the sign-in and then back.
func (c *Console) toSignIn(w http.ResponseWriter, r *http.Request) {
	to := signInPath
	if r.Method == http.MethodGet && r.URL.Path != root {
		to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (c *Console) signInForm(w http.ResponseWriter, r *http.Request) {
	if _, _, ok := c.session(r); ok {
		http.Redirect(w, r, next(r), http.StatusSeeOther)
		return
	}
	c.askToSignIn(w, r, http.StatusOK, next(r), "")
}

// askToSignIn shows the form, with what was wrong before.
func (c *Console) askToSignIn(w http.ResponseWriter, r *http.Request, status int, next, problem string) {
	page := signInPage{Next: next, Problem: problem}
	if c.Issuer != nil {
		page.Issuer = issuerPath + "?" + url.Values{"next": {next}}.Encode()
	}
	c.page(w, r, status, "Sign in", "sign-in", page)
}

const (
	// wrongAtOnce is how many wrong credentials may come from an address at once, and
	// wrongEvery how long it takes until one more may. What is right is let in whatever
	// came before: credentials are random, and nobody guesses one of 160 bits.
	wrongAtOnce = 10
	wrongEvery  = 6 * time.Second
)

// signIn begins a session for whoever has the credential: one of the console's, or a
// developer's token.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, problem string) {
		c.askToSignIn(w, r, status, next(r), problem)
	}
	wrong := func(kind, problem string) {
		if wait := c.wrong.Wrong(r.RemoteAddr); wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
			refuse(http.StatusTooManyRequests, "Too many wrong credentials came from your address. Wait a minute; one that is right is let in at any time.")
			return
		}
		c.logRefused(r, kind)
		refuse(http.StatusUnauthorized, problem)
	}
	given := strings.TrimSpace(r.PostFormValue("credential"))
	s := c.newSession()
	if given != "" && isToken(given) {
		who, err := c.Authenticator.Authenticate(r.Context(), given)
		var bad *developer.TokenError
		switch {
		case errors.As(err, &bad):
			wrong("developer", "That is not valid. "+bad.Message())
			return
		case err != nil:
			c.Log.Error("a developer cannot sign in to the console", "error", err)
			refuse(http.StatusServiceUnavailable, "The store of developers cannot answer just now. Try again soon.")
			return
		}
		s.Developer, s.Token = who.Developer, who.TokenID
		if s.Generation, err = c.people.generation(r.Context(), s.Developer); err != nil {
			c.Log.Error("a developer cannot sign in to the console", "error", err)
			refuse(http.StatusServiceUnavailable, "Who may sign in cannot be looked up just now. Try again soon.")
			return
		}
	} else {
		b, _, err := c.people.load(r.Context())
		if err != nil {
			c.Log.Error("nobody can sign in to the console", "error", err)
			refuse(http.StatusServiceUnavailable, "Who may sign in cannot be looked up just now. Try again soon.")
			return
		}
		person, ok := b.holder(given, false, c.Now())
		if !ok {
			wrong("person", "That is no credential of this console, or no longer one. 'codex-proxy console reset-admin' makes a new one for the administrator.")
			return
		}
		s.Name, s.Generation = person.Name, person.Generation
	}
	if !c.giveSession(w, r, s) {
		refuse(http.StatusServiceUnavailable, "A session cannot begin just now. Try again soon.")
		return
	}
	c.Log.Info("somebody signed in to the console", "name", s.Name+s.Developer, "remote", r.RemoteAddr)
	http.Redirect(w, r, next(r), http.StatusSeeOther)
}

// newSession is a session that begins now, of nobody yet.
func (c *Console) newSession() session {
	var form [16]byte
	rand.Read(form[:])
	return session{Form: hex.EncodeToString(form[:]), Begun: c.Now().Unix(), Seen: c.Now().Unix()}
}

// logRefused logs an attempt that failed.
func (c *Console) logRefused(r *http.Request, kind string) {
	c.Log.Warn("a sign-in to the console was refused", "kind", kind, "remote", r.RemoteAddr)
}

// giveSession writes the session's cookie.
func (c *Console) giveSession(w http.ResponseWriter, r *http.Request, s session) bool {
	key, err := c.people.key(r.Context())
	var sealed string
	if err == nil {
		sealed, err = s.seal(key)
	}
	if err != nil {
		c.Log.Error("a session of the console cannot begin", "error", err)
		return false
	}
	c.setCookie(w, r, sealed)
	return true
}

// signOut ends the session, and every other of the same person, as whatever they have
// signed in: a cookie that was copied ends as well.
func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	if s, _, ok := c.session(r); ok {
		who := cmp.Or(s.Name, s.Developer)
		if err := errors.Join(c.people.End(r.Context(), who), c.people.EndDeveloper(r.Context(), who)); err != nil {
			c.broken(w, r, err)
			return
		}
	}
	c.setCookie(w, r, "")
	http.Redirect(w, r, signInPath, http.StatusSeeOther)
}
