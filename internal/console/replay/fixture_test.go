package replay

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/console/access"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/memory"
	"codex-proxy/internal/metrics"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/secrets"
	"codex-proxy/internal/simulated"
	"codex-proxy/internal/sqlite"
	"codex-proxy/internal/upstream"
)

const (
	alice = "alice@example.com"
	bob   = "bob@example.com"
	// thread is the session of the tests' conversations.
	thread = "0198a000-0000-7000-8000-000000000001"
)

// fixture is a whole proxy with real parts in front of a simulated OpenAI, and
// the pages over what it records.
type fixture struct {
	t       testing.TB
	openai  *simulated.Server
	proxy   *httptest.Server
	archive *disk.Archive
	ledger  *sqlite.Ledger
	token   string
	frame   *frame
	pages   http.Handler
	sent    int
	home    string
}

func newFixture(t testing.TB) *fixture { return newFixtureUnder(t, "") }

// newFixtureUnder is newFixture with settings of the rules for secrets, as TOML.
func newFixtureUnder(t testing.TB, settings string) *fixture {
	t.Helper()
	dir, ctx := t.TempDir(), t.Context()
	f := &fixture{t: t, home: dir, openai: simulated.New(simulated.Options{}), frame: &frame{viewer: access.Viewer{Name: "auditor", Role: access.Auditor}}}
	log := slog.New(slog.DiscardHandler)
	api := httptest.NewServer(f.openai)
	developers := must(sqlite.OpenDevelopers(ctx, filepath.Join(dir, "developers.db")))
	f.ledger = must(sqlite.OpenLedger(ctx, filepath.Join(dir, "ledger.db")))
	f.archive = must(disk.NewArchive(filepath.Join(dir, "archive")))
	spool := must(record.OpenSpool(filepath.Join(dir, "spool"), record.Options{Archive: f.archive, Ledger: f.ledger.Add, Quiet: time.Millisecond, Log: log}))
	now := time.Now()
	token, credential, err := developer.Issue(rand.Reader, alice, "", now, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	f.token = token.Reveal()
	if err := developers.AddDeveloper(ctx, must(developer.New(alice, "", "platform", now)), credential); err != nil {
		t.Fatal(err)
	}
	transport := upstream.NewTransport(upstream.TransportOptions{})
	key := must(upstream.NewKey("sk-only-for-upstream"))
	limits := gateway.DefaultLimits()
	g := gateway.New(gateway.Config{
		Memory:   memory.NewBudget(512<<20, time.Second),
		Upstream: must(url.Parse(api.URL + "/v1")), Key: func() upstream.Key { return key }, Transport: transport,
		Conversations: redaction.NewConversations(must(redaction.New(must(redaction.ParseSettings([]byte(settings))), secrets.Key{1, 2, 3}, time.Now)), redaction.MaxRemembered, time.Now),
		Authenticator: developer.NewAuthenticator(developers, time.Now), Desk: admission.NewDesk(f.ledger, time.Now), Recorder: spool,
		Rate: func(_, _ string, _ time.Time, u exchange.Usage) exchange.Cost {
			return exchange.Cost{State: exchange.CostPriced, Nanos: u.Total * 1000}
		},
		Meter: metrics.New(spool.Depth), Log: log, Now: time.Now, WebSocket: true, Limits: limits,
	})
	f.proxy = httptest.NewServer(g)
	t.Cleanup(func() {
		f.proxy.Close()
		f.openai.Close()
		api.Close()
		transport.CloseIdleConnections()
		settling, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		for _, err := range []error{spool.Close(settling), developers.Close(), f.ledger.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	f.pages = Handler(Config{
		Archive: f.archive, Ledger: f.ledger, Frame: f.frame, Now: time.Now, Log: log,
		Advice: func(e exchange.Exchange) string { return "Advice about " + string(e.Outcome) + "." },
	})
	return f
}

// post sends a request as Codex does, in a session.
func (f *fixture) post(path, session string, body []byte) []byte {
	f.t.Helper()
	r := must(http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.proxy.URL+path, bytes.NewReader(body)))
	r.Header = http.Header{
		"Authorization": {"Bearer " + f.token}, "Content-Type": {"application/json"}, "Session-Id": {session},
		"User-Agent": {"codex_exec/0.169.0 (Debian)"}, "Originator": {"codex_exec"},
	}
	f.sent++
	response, err := f.proxy.Client().Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, _ := io.ReadAll(response.Body) // it may be cut, as it was asked to be
	return answer
}

// talk is a conversation as Codex has it: each turn sends all that was said.
type talk struct {
	f       *fixture
	session string
	input   []json.RawMessage
}

// say adds items, sends the request and takes the answer's items.
func (c *talk) say(items ...string) []gjson.Result {
	c.f.t.Helper()
	for _, item := range items {
		c.input = append(c.input, json.RawMessage(item))
	}
	body := must(json.Marshal(map[string]any{"model": "gpt-5.1-codex", "stream": true, "store": false, "instructions": "You are Codex.", "input": c.input}))
	var answered []gjson.Result
	for line := range bytes.Lines(c.f.post("/v1/responses", c.session, body)) {
		event := gjson.ParseBytes(bytes.TrimPrefix(line, []byte("data: ")))
		if event.Get("type").String() == "response.output_item.done" {
			answered = append(answered, event.Get("item"))
			c.input = append(c.input, json.RawMessage(event.Get("item").Raw))
		}
	}
	return answered
}

// prompt is a message of the developer's.
func prompt(text string) string { return roleSaid("user", text) }

func roleSaid(role, text string) string {
	return `{"type":"message","role":"` + role + `","content":[{"type":"input_text","text":` + string(must(json.Marshal(text))) + `}]}`
}

// output is what a tool returned.
func output(call gjson.Result, text string) string {
	return `{"type":"function_call_output","call_id":"` + call.Get("call_id").String() + `","output":` + string(must(json.Marshal(text))) + `}`
}

// exchanges waits until all that was sent is in the ledger and in the archive, and
// returns it in order.
func (f *fixture) exchanges() []exchange.Exchange {
	f.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		all := must(f.ledger.Exchanges(f.t.Context(), ledger.ExchangeQuery{Limit: 10_000}))
		if len(all) >= f.sent && !slices.ContainsFunc(all, f.unarchived) {
			slices.Reverse(all)
			return all
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d of %d exchanges are in the ledger", len(all), f.sent)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (f *fixture) unarchived(e exchange.Exchange) bool {
	file, err := f.archive.Get(f.t.Context(), record.Key(e))
	if err == nil {
		err = file.Close()
	}
	return err != nil
}

// transcript writes turns as text, a line for each thing that the page has.
func transcript(turns func(func(*Turn) bool)) string {
	var out strings.Builder
	for t := range turns {
		fmt.Fprintf(&out, "turn %d %s", t.Number, t.Exchange.Outcome)
		if t.Exchange.Warmup {
			out.WriteString(" warm-up")
		}
		if t.Retry > 0 {
			fmt.Fprintf(&out, " again %d", t.Retry)
		}
		if t.RetriedBy > 0 {
			fmt.Fprintf(&out, " retried by %d", t.RetriedBy)
		}
		if t.Repeated > 0 {
			fmt.Fprintf(&out, " repeats %d", t.Repeated)
		}
		out.WriteString("\n")
		for _, side := range []struct {
			mark  string
			items []Item
		}{{"…", t.Earlier}, {">", t.Asked}, {"<", t.Answered}} {
			for _, item := range side.items {
				fmt.Fprintf(&out, "%s %s: %s\n", side.mark, item.Title, strings.TrimSpace(runText(item.Shown)+runText(item.Rest)))
			}
		}
		if t.Unread != "" {
			fmt.Fprintf(&out, "! %s\n", t.Unread)
		}
	}
	return out.String()
}

// runText is the text of runs, with what stands out between brackets.
func runText(runs []Run) string {
	var out strings.Builder
	for _, run := range runs {
		for _, span := range run.Spans {
			text := span.Text
			if span.Class != "" {
				text = "⟦" + text + "⟧"
			}
			if run.Class != "" {
				text = run.Class + "|" + text
			}
			out.WriteString(text)
		}
	}
	return out.String()
}

// frame is a console with nothing but what the pages need of one.
type frame struct {
	viewer access.Viewer
	// withheld are the developers whose words the viewer may not read.
	withheld []string
	reads    []string
}

func (f *frame) Who(http.ResponseWriter, *http.Request) (access.Viewer, bool) { return f.viewer, true }

func (f *frame) MayRead(_ context.Context, _ access.Viewer, developer string) (bool, error) {
	f.reads = append(f.reads, developer)
	return !slices.Contains(f.withheld, developer), nil
}

func (f *frame) Ask(w http.ResponseWriter, _ *http.Request, _ access.Viewer, developer string) {
	http.Error(w, "Why do you want to read what "+developer+" wrote?", http.StatusForbidden)
}

func (f *frame) Hidden(*http.Request) template.HTML {
	return `<input type="hidden" name="csrf" value="t">`
}

var frameTop = template.Must(template.New("").Parse(`<!doctype html><html lang="en"{{with .Theme}} data-theme="{{.}}"{{end}}><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title><link rel="stylesheet" href="/frame.css"><main><h1>{{.Title}}</h1>`))

func (f *frame) Layout(w http.ResponseWriter, r *http.Request, title string, body func(io.Writer) error) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
	if err := frameTop.Execute(w, map[string]string{"Title": title, "Theme": r.URL.Query().Get("theme")}); err != nil {
		return err
	}
	if err := body(w); err != nil {
		return err
	}
	_, err := io.WriteString(w, "</main></html>")
	return err
}

// get asks for a page.
func (f *fixture) get(address string) *httptest.ResponseRecorder {
	return f.ask(httptest.NewRequestWithContext(f.t.Context(), http.MethodGet, address, http.NoBody))
}

func (f *fixture) ask(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.pages.ServeHTTP(w, r)
	return w
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
