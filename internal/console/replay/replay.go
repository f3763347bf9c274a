// Package replay shows in a browser what went through the proxy: a session's
// conversation as a person reads it, turn by turn, and single records.
//
// What it shows was written by models, by tools and by web pages that they
// read: it is hostile. All of it reaches a page through html/template alone;
// nothing in it becomes a link, a script or a style, and characters that could
// hide or reorder text are spelled out. A page is written as it is read, with a
// record or two in memory, whatever a session's size.
//
// The package knows nothing of signing in and of roles: the frame around its
// pages does.
package replay

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/console/figure"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

// Where the pages are. Their links are absolute.
const (
	sessionsPath = "/console/sessions"
	recordsPath  = "/console/records"
	staticPath   = sessionsPath + "/static"
)

// Ledger lists what the pages are about. sqlite.Ledger is one; Scan makes one of
// an archive.
type Ledger interface {
	// Exchanges returns the exchanges that the query chooses, the newest first.
	// They may lack their findings.
	Exchanges(ctx context.Context, q ledger.ExchangeQuery) ([]exchange.Exchange, error)
	// Sessions returns the sessions that the query chooses, the one that was used
	// last first.
	Sessions(ctx context.Context, q ledger.SessionQuery) ([]ledger.Session, error)
}

// Frame is what the console has around these pages.
type Frame interface {
	// Who returns who asks. It answers the request itself, and returns false, when
	// nobody is signed in, or someone who may not see lists of sessions.
	Who(w http.ResponseWriter, r *http.Request) (access.Viewer, bool)
	// MayRead reports whether the viewer may now read what the developer wrote and
	// was answered. It puts on record that they do.
	MayRead(ctx context.Context, viewer access.Viewer, developer string) (bool, error)
	// Ask answers a request for what MayRead does not allow yet: it asks for a
	// reason, or says no.
	Ask(w http.ResponseWriter, r *http.Request, viewer access.Viewer, developer string)
	// Layout writes a page with the given title around what body writes. Body
	// may flush what it wrote.
	Layout(w http.ResponseWriter, r *http.Request, title string, body func(io.Writer) error) error
	// Hidden returns the fields that a form must have to be posted.
	Hidden(r *http.Request) template.HTML
}

// Config is what the pages need.
type Config struct {
	Archive record.Source
	Ledger  Ledger
	Frame   Frame
	// Advice says what an exchange means that went wrong, and what to do; nil
	// says nothing.
	Advice func(exchange.Exchange) string
	Now    func() time.Time
	Log    *slog.Logger
}

//go:embed templates static
var files embed.FS

// pages answers for all pages.
type pages struct {
	Config
	templates *template.Template
	// searching has room for the searches that may run at a time.
	searching chan struct{}
}

// Handler returns the pages below /console/sessions and /console/records. The
// frame protects forms that are posted from other sites, and limits what pages
// may load; see Frame.
func Handler(c Config) http.Handler {
	p := &pages{
		Config: c, searching: make(chan struct{}, mostSearches),
		templates: template.Must(template.New("").Funcs(functions()).ParseFS(files, "templates/*.html")),
	}
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the directory is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+staticPath+"/", http.StripPrefix(staticPath, http.FileServerFS(static)))
	mux.HandleFunc("GET "+sessionsPath, p.seen((*view).sessions))
	mux.HandleFunc("GET "+sessionsPath+"/view", p.seen((*view).session))
	mux.HandleFunc("GET "+recordsPath, p.seen((*view).records))
	mux.HandleFunc("GET "+recordsPath+"/search", p.seen((*view).searchForm))
	mux.HandleFunc("POST "+recordsPath+"/search", p.seen((*view).search))
	mux.HandleFunc("GET "+recordsPath+"/origin", p.seen((*view).originForm))
	mux.HandleFunc("POST "+recordsPath+"/origin", p.seen((*view).origin))
	mux.HandleFunc("GET "+recordsPath+"/{id}", p.read((*view).record))
	mux.HandleFunc("GET "+recordsPath+"/{id}/item", p.read((*view).item))
	mux.HandleFunc("GET "+recordsPath+"/{id}/raw", p.read((*view).raw))
	mux.HandleFunc("GET "+recordsPath+"/{id}/body", p.read((*view).body))
	mux.HandleFunc("GET "+recordsPath+"/{id}/download", p.read((*view).download))
	return mux
}

// functions are what the templates call.
func functions() template.FuncMap {
	return figure.Functions(template.FuncMap{
		"speaker": speaker, "outcome": outcomeWords, "line": line, "shortID": shortID,
		"moment":         func(t time.Time) string { return t.UTC().Format(time.DateTime) },
		"clock":          func(t time.Time) string { return t.UTC().Format(time.TimeOnly) },
		"recordsPath":    func() string { return recordsPath },
		"recordAddress":  recordAddress,
		"sessionAddress": sessionAddress,
		"static":         func(name string) string { return staticPath + "/" + name },
	})
}

// failure is an error that a visitor is told with a status.
type failure struct {
	status int
	text   string
}

func (f failure) Error() string { return f.text }

func notFound(format string, args ...any) error {
	return failure{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return failure{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// view is one request by someone who is signed in.
type view struct {
	*pages
	w      http.ResponseWriter
	r      *http.Request
	viewer access.Viewer
	// begun says that a page has begun to be written.
	begun bool
}

// seen makes a handler of a page that everybody may see who is signed in.
func (p *pages) seen(page func(*view) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		viewer, ok := p.Frame.Who(w, r)
		if !ok {
			return
		}
		v := &view{pages: p, w: w, r: r, viewer: viewer}
		if err := page(v); err != nil {
			v.fail(err)
		}
	}
}

// read makes a handler of a page about one exchange's content, for those who may
// read it.
func (p *pages) read(page func(*view, exchange.Exchange) error) http.HandlerFunc {
	return p.seen(func(v *view) error {
		id := v.r.PathValue("id")
		found, err := p.Ledger.Exchanges(v.r.Context(), ledger.ExchangeQuery{ID: id, Developer: v.viewer.Only, Limit: 1})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return notFound("There is no exchange %s. One is listed once it has ended.", line(id, 60))
		}
		if allowed, err := v.allowed(found[0].Developer); !allowed {
			return err
		}
		return page(v, found[0])
	})
}

// allowed reports whether the viewer may read what a developer wrote. If not, the
// request has been answered.
func (v *view) allowed(developer string) (bool, error) {
	allowed, err := v.Frame.MayRead(v.r.Context(), v.viewer, developer)
	if err == nil && !allowed {
		v.Frame.Ask(v.w, v.r, v.viewer, developer)
	}
	return allowed, err
}

// fail answers with an error. What went wrong inside is for the log alone.
func (v *view) fail(err error) {
	if v.r.Context().Err() != nil {
		return // nobody waits for it
	}
	shown := failure{http.StatusInternalServerError, "This page could not be made. The server's log says why."}
	if !errors.As(err, &shown) {
		v.Log.Error("a page of the console could not be made", "path", v.r.URL.Path, "error", err)
	}
	if v.begun { // the page says so where it ends
		err = v.part(v.w, "failure", shown.text)
	} else {
		v.w.WriteHeader(shown.status)
		err = v.page("Not shown", "failure", shown.text)
	}
	if err != nil {
		v.Log.Error("a page of the console could not be written", "path", v.r.URL.Path, "error", err)
	}
}

// page writes a page of one template.
func (v *view) page(title, name string, data any) error {
	return v.layout(title, func(w io.Writer) error { return v.part(w, name, data) })
}

// layout writes a page.
func (v *view) layout(title string, body func(io.Writer) error) error {
	v.begun = true
	return v.Frame.Layout(v.w, v.r, title, body)
}

// part writes a part of a page.
func (v *view) part(w io.Writer, name string, data any) error {
	if err := v.templates.ExecuteTemplate(w, name, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// flush sends what was written, and gives the reader time for the next part.
func (v *view) flush() {
	const patience = 30 * time.Second
	control := http.NewResponseController(v.w)
	_ = control.SetWriteDeadline(v.Now().Add(patience)) // not every writer has one
	_ = control.Flush()                                 // nor buffers
}

// sessionAddress is where a session is.
func sessionAddress(developer, session string) string {
	return sessionsPath + "/view?" + url.Values{"developer": {developer}, "session": {session}}.Encode()
}
