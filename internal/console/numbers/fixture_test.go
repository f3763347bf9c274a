package numbers

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/console/access"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/sqlite"
)

const (
	alice = "alice@example.com"
	bob   = "bob@example.com"
)

// now is the time of the tests: a Wednesday.
var now = time.Date(2026, 3, 18, 15, 40, 0, 0, time.UTC)

// fixture is the pages over a real ledger.
type fixture struct {
	t       testing.TB
	ledger  *sqlite.Ledger
	marks   *sqlite.Developers
	frame   *frame
	running []exchange.Running
	// stoppedBy are those who stopped something.
	stoppedBy []string
	config    Config
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{t: t, frame: &frame{viewer: access.Viewer{Name: "root", Role: access.Admin}}}
	var err error
	if f.ledger, err = sqlite.OpenLedger(t.Context(), filepath.Join(t.TempDir(), "ledger.db")); err != nil {
		t.Fatal(err)
	}
	if f.marks, err = sqlite.OpenDevelopers(t.Context(), filepath.Join(t.TempDir(), "developers.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(f.ledger.Close(), f.marks.Close()); err != nil {
			t.Error(err)
		}
	})
	f.config = Config{
		Ledger: f.ledger, Marks: f.marks, Frame: f.frame, Zone: time.UTC, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler),
		Running: func() []exchange.Running { return slices.Clone(f.running) },
		Stop: func(id, by string) bool {
			i := slices.IndexFunc(f.running, func(e exchange.Running) bool { return e.ID == id })
			if i < 0 {
				return false
			}
			f.running[i].Stopping = true
			f.stoppedBy = append(f.stoppedBy, by)
			return true
		},
	}
	return f
}

// add adds exchanges to the ledger.
func (f *fixture) add(all ...exchange.Exchange) {
	f.t.Helper()
	if err := f.ledger.Add(f.t.Context(), all); err != nil {
		f.t.Fatal(err)
	}
}

// spent is an exchange that cost so many cents, with a tenth as many thousands of
// tokens.
func spent(at time.Time, developer, team, model string, cents int64) exchange.Exchange {
	return exchange.Exchange{
		ID: exchange.NewID(at), Started: at, Ended: at.Add(time.Second), Developer: developer, Team: team, Model: model,
		Session: "s-" + developer, Outcome: exchange.Completed, Status: 200, Transport: exchange.HTTP, AddedMicros: 1500,
		Usage: exchange.Usage{State: exchange.UsageExact, Usage: openai.Usage{Input: 80 * cents, Cached: 60 * cents, Output: 20 * cents, Total: 100 * cents}},
		Cost:  exchange.Cost{State: exchange.CostPriced, Nanos: cents * 10_000_000},
	}
}

// get asks for a page.
func (f *fixture) get(address string) *httptest.ResponseRecorder {
	f.t.Helper()
	return f.ask(httptest.NewRequestWithContext(f.t.Context(), http.MethodGet, address, http.NoBody))
}

func (f *fixture) ask(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	Handler(f.config).ServeHTTP(w, r)
	return w
}

// page asks for a page that there is.
func (f *fixture) page(address string) string {
	f.t.Helper()
	w := f.get(address)
	if w.Code != http.StatusOK {
		f.t.Fatalf("%s: %d\n%s", address, w.Code, w.Body)
	}
	return w.Body.String()
}

// has checks that a page has texts.
func has(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			t.Errorf("%q is not in:\n%s", text, page)
		}
	}
}

// lacks checks that a page has none of the texts.
func lacks(t *testing.T, page string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(page, text) {
			t.Errorf("%q is in:\n%s", text, page)
		}
	}
}

// frame is the least that the pages need around them.
type frame struct{ viewer access.Viewer }

func (f *frame) Who(http.ResponseWriter, *http.Request) (access.Viewer, bool) { return f.viewer, true }

func (f *frame) Hidden(*http.Request) template.HTML {
	return `<input type="hidden" name="csrf" value="t">`
}

func (f *frame) Name(viewer access.Viewer, developer string) string {
	if viewer.Pseudonyms && developer != "" {
		return fmt.Sprintf("developer-%02x", len(developer))
	}
	return developer
}

var frameTop = template.Must(template.New("").Parse(`<!doctype html><html lang="en"{{with .Theme}} data-theme="{{.}}"{{end}}><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title><link rel="stylesheet" href="/frame.css"><main><h1>{{.Title}}</h1>`))

func (f *frame) Layout(w http.ResponseWriter, r *http.Request, title string, body func(io.Writer) error) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	if err := frameTop.Execute(w, map[string]string{"Title": title, "Theme": r.URL.Query().Get("theme")}); err != nil {
		return err
	}
	if err := body(w); err != nil {
		return err
	}
	_, err := io.WriteString(w, "</main></html>")
	return err
}
