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
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/console/figure"
	"codex-proxy/internal/console/visit"
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

// Ledger lists what the pages are about; the stores of both kinds are one.
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
	visit.Frame
	// MayRead reports whether the viewer may now read what the developer wrote and
	// was answered. It puts on record that they do.
	MayRead(ctx context.Context, viewer access.Viewer, developer string) (bool, error)
	// Ask answers a request for what MayRead does not allow yet: it asks for a
	// reason, or says no.
	Ask(w http.ResponseWriter, r *http.Request, viewer access.Viewer, developer string)
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
	site *visit.Site
	// searching has room for the searches that may run at a time.
	searching chan struct{}
}

// Handler returns the pages below /console/sessions and /console/records, and what the
// API tells of them. The frame protects forms that are posted from other sites, and limits what pages
// may load; see Frame.
func Handler(c Config) http.Handler {
	p := &pages{
		Config: c, searching: make(chan struct{}, mostSearches),
		site: &visit.Site{Frame: c.Frame, Log: c.Log, Templates: template.Must(template.New("").Funcs(functions()).ParseFS(files, "templates/*.html"))},
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
	mux.HandleFunc("GET "+sessionsAPI, p.seen((*view).sessionsJSON))
	mux.HandleFunc("GET "+sessionsAPI+"/{id}", p.seen((*view).sessionJSON))
	mux.HandleFunc("GET "+recordsAPI, p.seen((*view).recordsJSON))
	mux.HandleFunc("POST "+recordsAPI+"/search", p.seen((*view).searchJSON))
	mux.HandleFunc("POST "+recordsAPI+"/origin", p.seen((*view).originJSON))
	mux.HandleFunc("GET "+recordsAPI+"/{id}", p.read((*view).recordJSON))
	mux.HandleFunc("GET "+recordsAPI+"/{id}/body", p.read((*view).body))
	mux.HandleFunc("GET "+recordsAPI+"/{id}/archived", p.read((*view).download))
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

// view is one request by someone who is signed in.
type view struct {
	*pages
	*visit.Visit
}

// seen makes a handler of a page for those who may see which exchanges there are.
func (p *pages) seen(page func(*view) error) http.HandlerFunc {
	return p.site.Handler(func(v *visit.Visit) error {
		if !v.Viewer.Lists() {
			return visit.Forbidden("Your role sees numbers, and not single exchanges.")
		}
		return page(&view{p, v})
	})
}

// read makes a handler of a page about one exchange's content, for those who may
// read it.
func (p *pages) read(page func(*view, exchange.Exchange) error) http.HandlerFunc {
	return p.seen(func(v *view) error {
		id := v.R.PathValue("id")
		found, err := p.Ledger.Exchanges(v.R.Context(), ledger.ExchangeQuery{ID: id, Developer: v.Viewer.Only, Limit: 1})
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return visit.NotFound("There is no exchange %s. One is listed once it has ended.", line(id, 60))
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
	allowed, err := v.Frame.MayRead(v.R.Context(), v.Viewer, developer)
	if err == nil && !allowed {
		v.Frame.Ask(v.W, v.R, v.Viewer, developer)
	}
	return allowed, err
}

// sessionAddress is where a session is.
func sessionAddress(developer, session string) string {
	return sessionsPath + "/view?" + url.Values{"developer": {developer}, "session": {session}}.Encode()
}
