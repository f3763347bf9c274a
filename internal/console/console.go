// Package console is what a browser sees of the proxy below /console/, and the API
// below /api/v1/: who may see what, the frame around every page, and the pages about
// developers. The pages of sessions, records and numbers are packages of their own
// (replay, numbers), which know nothing of signing in.
//
// What pages show was written by models, by tools and by whoever set a User-Agent: all
// of it reaches a page through html/template alone, and no page may run or load
// anything but the console's own files.
package console

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"codex-proxy/internal/attempts"
	"codex-proxy/internal/console/access"
	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/ledger"
)

// Ledger is what the pages about developers read.
type Ledger interface {
	ledger.Store
	Sessions(ctx context.Context, q ledger.SessionQuery) ([]ledger.Session, error)
}

// Config is what a Console is made of. Store, Developers, Authenticator, Ledger, Now
// and Log are required.
type Config struct {
	Store      Store
	Developers developer.Store
	// Authenticator knows the tokens with which developers sign in.
	Authenticator interface {
		Authenticate(ctx context.Context, bearer string) (developer.Identity, error)
	}
	Ledger Ledger
	// Issuer signs people in with the organisation's account; nil where it does not.
	Issuer Issuer
	// PublicURL is the address that browsers use, where it is known.
	PublicURL string
	Settings  Settings
	// Facts are what the page of settings shows, in its order.
	Facts []Fact
	Now   func() time.Time
	Log   *slog.Logger
}

// Settings are the console's own.
type Settings struct {
	// Pseudonyms shows finance pseudonyms in place of developers' names.
	Pseudonyms bool
	// SecondPerson asks a second person before somebody reads what a developer wrote.
	SecondPerson bool
	// ReadingLife is how long somebody may read after they gave a reason; 1 h.
	ReadingLife time.Duration
	// Roles says which groups at the issuer have which role; the first that fits
	// decides.
	Roles []RoleOf
}

// Console is the frame around all pages.
type Console struct {
	Config
	people    People
	templates *template.Template
	wrong     *attempts.Limit
	assets    http.Handler
}

//go:embed templates static
var files embed.FS

// New returns a console.
func New(c Config) *Console {
	if c.Settings.ReadingLife == 0 {
		c.Settings.ReadingLife = time.Hour
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the directory is embedded
	}
	return &Console{
		Config: c, people: People{Store: c.Store, Now: c.Now}, wrong: attempts.NewLimit(c.Now, wrongAtOnce, wrongEvery),
		templates: template.Must(template.New("").Funcs(functions()).ParseFS(files, "templates/*.html")),
		assets:    http.StripPrefix(staticPath, http.FileServerFS(static)),
	}
}

// Where things are.
const (
	root        = "/console/"
	staticPath  = "/console/static"
	signInPath  = "/console/sign-in"
	issuerPath  = "/console/sign-in/issuer"
	signOutPath = "/console/sign-out"
	readingPath = "/console/access"
	peoplePath  = "/console/developers"
	tokensPath  = "/console/tokens"
	settingPath = "/console/settings"
	mePath      = "/console/me"
	apiPath     = visit.APIPath
)

// Owns reports whether a path is the console's.
func Owns(path string) bool {
	return path == strings.TrimSuffix(root, "/") || strings.HasPrefix(path, root) || strings.HasPrefix(path, apiPath)
}

// Handler serves the console with the pages of others, by the beginnings of their
// paths.
func (c *Console) Handler(others map[string]http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /console", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, root, http.StatusSeeOther) })
	mux.HandleFunc("GET /console/{$}", c.home)
	mux.Handle("GET "+staticPath+"/", c.assets)
	mux.HandleFunc("GET "+signInPath, c.signInForm)
	mux.HandleFunc("POST "+signInPath, c.signIn)
	if c.Issuer != nil {
		mux.HandleFunc("GET "+issuerPath, c.toIssuer)
		mux.HandleFunc("GET "+callbackPath, c.fromIssuer)
	}
	mux.HandleFunc("POST "+signOutPath, c.signOut)
	mux.HandleFunc("GET "+readingPath, c.readings)
	mux.HandleFunc("POST "+readingPath, c.askToRead)
	mux.HandleFunc("POST "+readingPath+"/decide", c.decide)
	mux.HandleFunc("GET "+mePath, c.me)
	mux.HandleFunc("GET "+peoplePath, c.developers)
	mux.HandleFunc("GET "+peoplePath+"/{id}", c.developer)
	mux.HandleFunc("POST "+peoplePath+"/{id}/access", c.setAccess)
	mux.HandleFunc("POST "+peoplePath+"/{id}/tokens", c.issueToken)
	mux.HandleFunc("POST "+tokensPath+"/{id}/revoke", c.revokeToken)
	mux.HandleFunc("POST "+tokensPath+"/{id}/rotate", c.rotateToken)
	mux.HandleFunc("GET "+settingPath, c.settings)
	c.api(mux)
	for prefix, pages := range others {
		mux.Handle(prefix, pages)
		mux.Handle(prefix+"/", pages)
	}
	return c.guard(mux)
}

// policy lets a page load and run nothing but the console's own files.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

// formLimit bounds what is posted, in bytes.
const formLimit = 64 << 10

// guard sets what every answer has, and refuses forms that another site has posted.
func (c *Console) guard(next http.Handler) http.Handler {
	sites := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if strings.HasPrefix(r.URL.Path, staticPath+"/") {
			h.Set("Cache-Control", "public, max-age=3600")
		}
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, formLimit)
			if !visit.IsCall(r) { // which takes no cookie
				if err := sites.Check(r); err != nil || !c.formFits(r) {
					c.say(w, r, http.StatusForbidden, "Not done", "This form was not posted by a page of the console, or is too old. Go back, load the page again, and repeat what you wanted to do.")
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// formFits tells whether a form carries what the session's forms must. Signing in has
// no session yet.
func (c *Console) formFits(r *http.Request) bool {
	if r.URL.Path == signInPath {
		return true
	}
	s, _, ok := c.session(r)
	return ok && s.Form != "" && subtle.ConstantTimeCompare([]byte(r.PostFormValue("form")), []byte(s.Form)) == 1
}

// key is what the request's context holds of the session, so that it is looked up
// once.
type key struct{}

// known is a session and whose it is.
type known struct {
	session session
	viewer  access.Viewer
	err     error
	ok      bool
}

// session returns the session of a request, and whose it is now.
func (c *Console) session(r *http.Request) (session, access.Viewer, bool) {
	if k, found := r.Context().Value(key{}).(*known); found {
		return k.session, k.viewer, k.ok
	}
	k := c.look(r)
	*r = *r.WithContext(context.WithValue(r.Context(), key{}, k))
	if k.err != nil {
		c.Log.Error("who asks for a page of the console cannot be looked up", "error", k.err)
	}
	return k.session, k.viewer, k.ok
}

// look reads the cookie, and asks the stores whether it still holds.
func (c *Console) look(r *http.Request) *known {
	k := &known{}
	cookie, err := r.Cookie(c.cookieName(r))
	if err != nil {
		return k
	}
	b, _, err := c.people.load(r.Context())
	if err != nil {
		k.err = err
		return k
	}
	now := c.Now()
	s, ok := unseal(b.Key, cookie.Value)
	if !ok || !s.holds(now) {
		return k
	}
	k.session = s
	if s.Developer == "" {
		person, ok := b.named(s.Name, s.Generation, now)
		k.viewer, k.ok = c.viewer(person), ok
		return k
	}
	holds := s.Until != 0 // the issuer vouched for them until then
	if !holds {
		var token developer.TokenInfo
		token, err = c.Developers.Token(r.Context(), s.Token)
		holds = err == nil && token.Developer == s.Developer && (token.State(now) == "active" || token.State(now) == "rotated")
	}
	if holds {
		var generation string
		generation, err = c.people.generation(r.Context(), s.Developer)
		holds = err == nil && generation == s.Generation
	}
	if holds {
		var d developer.Developer
		if d, err = c.Developers.Developer(r.Context(), s.Developer); err == nil && d.Enabled {
			k.viewer, k.ok = developerViewer(d.ID), true
		}
	}
	if err != nil && !errors.Is(err, developer.ErrNotFound) {
		k.err = err
	}
	return k
}

func (c *Console) viewer(p Person) access.Viewer {
	return access.Viewer{Name: p.Name, Role: p.Role, Pseudonyms: c.Settings.Pseudonyms && p.Role == access.Finance}
}

func developerViewer(id string) access.Viewer {
	return access.Viewer{Name: id, Role: access.Developer, Only: id}
}

// Who returns who asks. It answers the request itself, and returns false, when nobody
// is signed in: a page by leading to the sign-in, the API with 401.
func (c *Console) Who(w http.ResponseWriter, r *http.Request) (access.Viewer, bool) {
	if visit.IsCall(r) {
		return c.caller(w, r)
	}
	s, viewer, ok := c.session(r)
	if !ok {
		if k, found := r.Context().Value(key{}).(*known); found && k.err != nil {
			c.say(w, r, http.StatusServiceUnavailable, "Not just now", "Who you are cannot be looked up just now, as a store does not answer. Try again soon.")
			return access.Viewer{}, false
		}
		c.toSignIn(w, r)
		return access.Viewer{}, false
	}
	if now := c.Now(); now.Sub(time.Unix(s.Seen, 0)) > refreshed {
		s.Seen = now.Unix()
		c.giveSession(w, r, s)
	}
	return viewer, true
}

// caller returns who calls the API: the holder of a credential for it, or a developer
// with the token that they use with Codex.
func (c *Console) caller(w http.ResponseWriter, r *http.Request) (access.Viewer, bool) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := strings.TrimSpace(text)
	refuse := func(code, text string) (access.Viewer, bool) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		visit.WriteProblem(w, visit.Problem{Status: http.StatusUnauthorized, Code: code, Text: text})
		return access.Viewer{}, false
	}
	if !strings.EqualFold(scheme, "Bearer") || given == "" {
		return refuse("no_credential", "Send Authorization: Bearer and a credential of 'codex-proxy console token add', or a developer's token.")
	}
	var viewer access.Viewer
	var known bool
	var err error
	if isToken(given) {
		viewer, known, err = c.developerWith(r.Context(), given)
	} else {
		var b book
		if b, _, err = c.people.load(r.Context()); err == nil {
			var person Person
			person, known = b.holder(given, true, c.Now())
			viewer = c.viewer(person)
		}
	}
	switch {
	case err != nil:
		c.Log.Error("who calls the API cannot be looked up", "error", err)
		visit.WriteProblem(w, unavailable)
		return access.Viewer{}, false
	case !known:
		return refuse("wrong_credential", "This credential is not known, or no longer valid.")
	}
	return viewer, true
}

// unavailable is what a program is told when a store does not answer.
var unavailable = visit.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Text: "A store does not answer just now: try again soon."}

// isToken reports whether what somebody gave may be a developer's token, which an
// older installation may have made, and is no credential of the console's.
func isToken(given string) bool { return !strings.HasPrefix(given, credentialPrefix) }

// developerWith returns the developer who has a token; false where nobody has.
func (c *Console) developerWith(ctx context.Context, token string) (access.Viewer, bool, error) {
	who, err := c.Authenticator.Authenticate(ctx, token)
	if errors.As(err, new(*developer.TokenError)) {
		return access.Viewer{}, false, nil
	}
	return developerViewer(who.Developer), err == nil, err
}

// Name returns what the viewer sees in a developer's place.
func (c *Console) Name(viewer access.Viewer, developer string) string {
	if !viewer.Pseudonyms || developer == "" {
		return developer
	}
	b, _, err := c.people.load(context.Background())
	if err != nil {
		return "developer"
	}
	mac := hmac.New(sha256.New, b.Key)
	mac.Write([]byte("pseudonym"))
	mac.Write([]byte(developer))
	return "developer-" + hex.EncodeToString(mac.Sum(nil)[:4])
}

// Hidden returns the field that a form must have to be posted.
func (c *Console) Hidden(r *http.Request) template.HTML {
	s, _, _ := c.session(r)
	// It is hexadecimal digits, made here.
	return template.HTML(`<input type="hidden" name="form" value="` + template.HTMLEscapeString(s.Form) + `">`)
}

// link is an entry of the navigation.
type link struct {
	Path, Label string
	Current     bool
}

// links are the pages that a viewer may open.
func links(viewer access.Viewer, path string) (all []link) {
	add := func(allowed bool, to, label string) {
		if allowed {
			all = append(all, link{to, label, path == to || strings.HasPrefix(path, to+"/")})
		}
	}
	everyone := viewer.Role == access.Admin || viewer.Role == access.Auditor
	add(viewer.Role == access.Developer, mePath, "You")
	add(true, "/console/overview", "Overview")
	add(viewer.Lists(), "/console/live", "Live")
	add(viewer.Lists(), "/console/sessions", "Sessions")
	add(viewer.Lists(), "/console/records", "Records")
	add(viewer.Lists(), "/console/findings", "Findings")
	add(everyone || viewer.Role == access.Finance, peoplePath, "Developers")
	add(everyone, readingPath, "Access")
	add(everyone, settingPath, "Settings")
	return all
}

// frame is what the templates around a page are given.
type frame struct {
	Title  string
	Theme  string
	Viewer access.Viewer
	Links  []link
	Hidden template.HTML
}

// themeCookie holds "light" or "dark", where somebody has chosen.
const themeCookie = "codex-proxy-theme"

// Layout writes a page with the given title around what body writes. Body may flush
// what it wrote.
func (c *Console) Layout(w http.ResponseWriter, r *http.Request, title string, body func(io.Writer) error) error {
	f := frame{Title: title}
	if cookie, err := r.Cookie(themeCookie); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		f.Theme = cookie.Value
	}
	if _, viewer, ok := c.session(r); ok {
		f.Viewer, f.Links, f.Hidden = viewer, links(viewer, r.URL.Path), c.Hidden(r)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := c.templates.ExecuteTemplate(w, "top", f); err != nil {
		return err
	}
	if err := body(w); err != nil {
		return err
	}
	return c.templates.ExecuteTemplate(w, "bottom", f)
}

// page writes a page of one template.
func (c *Console) page(w http.ResponseWriter, r *http.Request, status int, title, name string, data any) {
	if status != http.StatusOK {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
	}
	err := c.Layout(w, r, title, func(w io.Writer) error { return c.templates.ExecuteTemplate(w, name, data) })
	if err != nil && r.Context().Err() == nil {
		c.Log.Error("a page of the console could not be written", "path", r.URL.Path, "error", err)
	}
}

// say writes a page that is one sentence.
func (c *Console) say(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	c.page(w, r, status, title, "notice", text)
}

// broken answers a request that could not be served; what went wrong is for the log
// alone.
func (c *Console) broken(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody waits
	}
	c.Log.Error("a page of the console could not be made", "path", r.URL.Path, "error", err)
	if visit.IsCall(r) {
		visit.WriteProblem(w, unavailable)
		return
	}
	c.say(w, r, http.StatusInternalServerError, "Not shown", "This page could not be made. The server's log says why.")
}

// home leads to the first page of whoever asks.
func (c *Console) home(w http.ResponseWriter, r *http.Request) {
	viewer, ok := c.Who(w, r)
	if !ok {
		return
	}
	http.Redirect(w, r, links(viewer, "")[0].Path, http.StatusSeeOther)
}

// allowed returns who asks for a page that is for some; the others are told no.
func (c *Console) allowed(w http.ResponseWriter, r *http.Request, may func(access.Viewer) bool) (access.Viewer, bool) {
	viewer, ok := c.Who(w, r)
	if !ok {
		return viewer, false
	}
	if may(viewer) {
		return viewer, true
	}
	const no = "This is not for your role"
	if visit.IsCall(r) {
		visit.WriteProblem(w, visit.Problem{Status: http.StatusForbidden, Code: "not_allowed", Text: no + " (" + string(viewer.Role) + ")."})
	} else {
		c.say(w, r, http.StatusForbidden, no, no+" ("+string(viewer.Role)+"). Ask whoever runs the proxy.")
	}
	return viewer, false
}
