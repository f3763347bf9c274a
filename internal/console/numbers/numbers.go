// Package numbers shows in a browser, and tells programs, what the proxy counts:
// an overview of what was used and what it cost, the secrets that were found, and
// what runs at this moment.
//
// It reads sums and never what anybody wrote. Names of developers, models and
// clients come from outside all the same: they reach a page through html/template
// alone, a script through JSON, and a spreadsheet as text that is no formula.
//
// The package knows nothing of signing in: the frame around its pages does.
package numbers

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Where the pages are. Their links are absolute.
const (
	overviewPath = "/console/overview"
	staticPath   = overviewPath + "/static"
	apiPath      = "/api/v1/"
)

// Ledger is what the numbers are read from. A ledger.Store is one.
type Ledger interface {
	ledger.Summer
	Delays(ctx context.Context, developer string, from, to time.Time) (ledger.Delays, error)
	Incidents(ctx context.Context, q ledger.IncidentQuery) ([]ledger.Incident, error)
	Sightings(ctx context.Context, fingerprint string) iter.Seq2[ledger.Sighting, error]
}

// Frame is what the console has around these pages.
type Frame interface {
	visit.Frame
	// Name returns what the viewer sees in a developer's place: the name, or a
	// pseudonym that is always the same for one developer.
	Name(viewer access.Viewer, developer string) string
}

// Config is what the pages need.
type Config struct {
	Ledger Ledger
	// Marks are what secrets that were seen turned out to be.
	Marks ledger.Marks
	// Running returns the exchanges that run now.
	Running func() []exchange.Running
	// Stop ends a running exchange on behalf of somebody; false if it does not run.
	Stop  func(id, by string) bool
	Frame Frame
	// Zone is the time zone of days, unless an address names another.
	Zone *time.Location
	Now  func() time.Time
	Log  *slog.Logger
}

//go:embed templates static
var files embed.FS

// pages answers for all pages and for the API.
type pages struct {
	Config
	site *visit.Site
}

// Handler returns the pages below /console/overview, /console/findings and
// /console/live, and what the API tells of them. The frame protects forms that are posted from other sites, and limits
// what pages may load; see Frame.
func Handler(c Config) http.Handler {
	p := &pages{Config: c, site: &visit.Site{Frame: c.Frame, Log: c.Log, Templates: template.Must(template.New("").Funcs(functions(edition())).ParseFS(files, "templates/*.html"))}}
	static, err := fs.Sub(files, "static")
	if err != nil {
		panic(err) // the directory is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+staticPath+"/", http.StripPrefix(staticPath, cached(http.FileServerFS(static))))
	mux.HandleFunc("GET "+overviewPath, p.seen((*view).overview))
	mux.HandleFunc("GET "+overviewPath+"/csv", p.seen((*view).overviewCSV))
	mux.HandleFunc("GET "+apiPath+"overview", p.seen((*view).overviewJSON))
	mux.HandleFunc("GET "+apiPath+"usage", p.seen((*view).usageJSON))
	mux.HandleFunc("GET "+findingsPath, p.listed((*view).findingsList))
	mux.HandleFunc("GET "+findingsPath+"/csv", p.listed((*view).findingsCSV))
	mux.HandleFunc("GET "+findingsPath+"/{id}", p.listed((*view).findingPage))
	mux.HandleFunc("POST "+findingsPath+"/{id}/mark", p.changing((*view).markForm))
	mux.HandleFunc("GET "+apiPath+"findings", p.listed((*view).findingsJSON))
	mux.HandleFunc("GET "+apiPath+"findings/{id}", p.listed((*view).findingJSON))
	mux.HandleFunc("POST "+apiPath+"findings/{id}/mark", p.changing((*view).markJSON))
	mux.HandleFunc("GET "+livePath, p.listed((*view).live))
	mux.HandleFunc("GET "+livePath+"/data", p.listed((*view).liveJSON))
	mux.HandleFunc("POST "+livePath+"/stop", p.changing((*view).stopForm))
	mux.HandleFunc("GET "+apiPath+"live", p.listed((*view).liveJSON))
	mux.HandleFunc("POST "+apiPath+"live/{id}/stop", p.changing((*view).stopJSON))
	return mux
}

// edition changes with the static files, so that browsers may keep them.
func edition() string {
	sum := sha256.New()
	if err := fs.WalkDir(files, "static", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := files.ReadFile(path)
		sum.Write(raw)
		return err
	}); err != nil {
		panic(err) // the files are embedded
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// cached lets browsers keep files whose addresses change when they do.
func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

// view is one request by someone who is signed in.
type view struct {
	*pages
	*visit.Visit
}

// seen makes a handler of a page that everybody may see who is signed in.
func (p *pages) seen(page func(*view) error) http.HandlerFunc {
	return p.site.Handler(func(v *visit.Visit) error { return page(&view{p, v}) })
}

// listed makes a handler of a page for those who may see which exchanges there are.
func (p *pages) listed(page func(*view) error) http.HandlerFunc {
	return p.seen(func(v *view) error {
		if !v.Viewer.Lists() {
			return visit.Forbidden("Your role sees numbers, and not single exchanges.")
		}
		return page(v)
	})
}

// changing makes a handler of what only those may do who may change things.
func (p *pages) changing(act func(*view) error) http.HandlerFunc {
	return p.seen(func(v *view) error {
		if !v.Viewer.Changes() {
			return visit.Forbidden("Only an administrator may do this.")
		}
		return act(v)
	})
}

// name is what the viewer sees in a developer's place.
func (v *view) name(developer string) string { return v.Frame.Name(v.Viewer, developer) }
