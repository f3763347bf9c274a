package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"codex-proxy/internal/simulated"
)

// person adds somebody who signs in to the console by name.
func (p *proxy) person(name, role string) (credential string) {
	p.t.Helper()
	var made struct{ Credential string }
	if err := json.Unmarshal([]byte(p.command("console", "user", "add", name, "--role", role, "--json")), &made); err != nil {
		p.t.Fatal(err)
	}
	return made.Credential
}

// settingsFile writes a settings file and returns the flag that names it.
func settingsFile(t *testing.T, toml string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "codex-proxy.toml")
	if err := os.WriteFile(path, []byte(toml), 0o600); err != nil {
		t.Fatal(err)
	}
	return "--config=" + path
}

// ask sends a request as a program does, with more headers than Codex has, and
// returns the answer when it has begun.
func (p *proxy) ask(token string, headers map[string]string, body any) *http.Response {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.address+"/v1/responses", bytes.NewReader(marshalled(p.t, body)))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { response.Body.Close() })
	return response
}

// marshalled is JSON that leaves the characters of HTML as they are, as Codex's does.
func marshalled(t *testing.T, v any) []byte {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(out.Bytes())
}

// asked sends a request and waits for the whole answer.
func (p *proxy) asked(token string, headers map[string]string, body any) {
	p.t.Helper()
	if _, err := io.Copy(io.Discard, p.ask(token, headers, body).Body); err != nil {
		p.t.Fatal(err)
	}
}

// navigation is what the pages' menu has.
func (b *browser) navigation() (labels []string) {
	b.t.Helper()
	b.js(`[...document.querySelectorAll(".bar nav a")].map(a => a.textContent)`, &labels)
	return labels
}

// source is all that a page is made of, shown or not.
func (b *browser) source() (html string) {
	b.t.Helper()
	b.js(`document.documentElement.outerHTML`, &html)
	return html
}

// TestEachRoleSeesItsPagesInABrowser signs in as each of the four roles, over
// exchanges of the real CLI by two developers.
func TestEachRoleSeesItsPagesInABrowser(t *testing.T) {
	p := newProxy(t, simulated.Options{}, settingsFile(t, "[console]\npseudonyms = true\n"))
	const alice, bob = "alice@example.com", "bob@example.com"
	prompts := map[string]string{alice: "Where do the apples grow?", bob: "Where do the pears grow?"}
	secrets := map[string]string{alice: "AKIA" + "Z7QGN4T2KXW3PLVD", bob: "AKIA" + "Q5RHM3V6JZB2TKWE"}
	tokens := map[string]string{}
	p.openai.Play(simulated.Say("On trees."), simulated.Say("On trees."))
	var waits []func() said
	for _, id := range []string{alice, bob} {
		name, _, _ := strings.Cut(id, "@")
		tokens[id] = p.developer(id, "--name", strings.ToUpper(name)+" EXAMPLE", "--team", "team of "+name)
		waits = append(waits, p.newCLI(overHTTP, tokens[id]).start(prompts[id]+" The key is "+secrets[id]+"."))
	}
	for _, wait := range waits {
		wait().must(t, "On trees.")
	}
	records := map[string]row{}
	for _, r := range p.records(2) {
		records[r.Developer] = r
	}
	// And one of bob's that goes on.
	p.openai.Play(simulated.Stall("thinking", 5))
	p.ask(tokens[bob], nil, map[string]any{"model": "gpt-5.1-codex", "stream": true, "input": "Go on."})

	session := func(id string) string {
		return "/console/sessions/view?developer=" + id + "&session=" + records[id].Session
	}
	record := func(id string) string { return "/console/records/" + records[id].ID }
	b := newBrowser(t, p.address)
	b.forgives403()
	navigation := func(want ...string) {
		t.Helper()
		if got := b.navigation(); !slices.Equal(got, want) {
			t.Errorf("the menu has %q, want %q", got, want)
		}
	}
	// forbidden opens addresses that somebody has typed.
	forbidden := func(status int64, paths ...string) {
		t.Helper()
		for _, path := range paths {
			got := b.visit(path)
			if text := b.text(); got != status || !regexp.MustCompile(`\w+ \w+ \w+.*\.`).MatchString(text) {
				t.Errorf("%s is answered with %d, want %d, and says:\n%s", path, got, status, text)
			}
			if html := b.source(); strings.Contains(html, "apples") || strings.Contains(html, "pears") {
				t.Errorf("%s shows what was written", path)
			}
		}
	}
	// changes are the forms that change something.
	changes := func(paths ...string) (found []string) {
		t.Helper()
		for _, path := range paths {
			if status := b.visit(path); status != http.StatusOK {
				t.Errorf("%s is answered with %d:\n%s", path, status, b.text())
			}
			var buttons []string
			b.js(`[...document.querySelectorAll("main form[method=post] button, main template")].flatMap(e => e.content ? [...e.content.querySelectorAll("form button")] : [e]).map(e => e.textContent)`, &buttons)
			found = append(found, buttons...)
		}
		slices.Sort(found)
		return slices.Compact(found)
	}
	// finding is the address of the first secret listed.
	finding := func() string {
		t.Helper()
		b.visit("/console/findings")
		return b.links(`main a[href^="/console/findings/"]:not([download])`)[0]
	}

	b.signIn(p.administrator())
	navigation("Overview", "Live", "Sessions", "Records", "Findings", "Developers", "Access", "Settings")
	all := []string{
		"/console/overview", "/console/live", "/console/sessions", "/console/records", "/console/findings", finding(),
		"/console/developers", "/console/developers/" + alice, "/console/access", "/console/settings",
	}
	if got, want := changes(all...), []string{"Disable", "Issue a token", "Mark", "Revoke", "Rotate", "Stop"}; !slices.Equal(got, want) {
		t.Errorf("an administrator is offered %q, want %q", got, want)
	}
	b.open("/console/me") // is the first page of who has none of their own
	if text := b.text(); !strings.HasPrefix(text, "Overview") {
		t.Errorf("an administrator's own page is:\n%s", text)
	}
	b.signOut()

	b.signIn(p.person("audrey@example.com", "auditor"))
	navigation("Overview", "Live", "Sessions", "Records", "Findings", "Developers", "Access", "Settings")
	if got := changes(all...); len(got) > 0 {
		t.Errorf("an auditor is offered %q", got)
	}
	forbidden(http.StatusForbidden, session(alice), record(alice), record(bob)+"/raw?side=request")
	b.signOut()

	b.signIn(p.person("fiona@example.com", "finance"))
	navigation("Overview", "Developers")
	pseudonym := regexp.MustCompile(`developer-[0-9a-f]{8}`)
	for _, path := range []string{"/console/overview?by=developer", "/console/developers", "/console/developers?find=developer", "/console/overview?by=developer&metric=requests"} {
		if status := b.visit(path); status != http.StatusOK || len(pseudonym.FindAllString(b.text(), -1)) < 2 {
			t.Errorf("%s is answered with %d, and shows:\n%s", path, status, b.text())
		}
		html := strings.ToLower(b.source())
		for _, name := range []string{alice, bob, "alice example", "bob example"} {
			if strings.Contains(html, name) {
				t.Errorf("%s holds %s", path, name)
			}
		}
		for _, what := range []string{"sessions", "records", "findings", "live", "developers/"} {
			if links := b.links(`a[href^="/console/` + what + `"]`); len(links) > 0 {
				t.Errorf("%s leads to %q", path, links)
			}
		}
	}
	// A pseudonym leads to that developer's numbers alone.
	b.visit("/console/overview?by=developer")
	b.press(`tbody th a[href*="developer-"]`, ".narrowed")
	if text := b.text(); !strings.Contains(text, "Requests\n1") {
		t.Errorf("of one developer:\n%s", text)
	}
	var csv string
	b.js(`fetch(document.querySelector("a[download]").href).then(r => r.text())`, &csv)
	if strings.Contains(csv, "example.com") || csv == "" {
		t.Errorf("a file for finance holds:\n%s", csv)
	}
	forbidden(http.StatusForbidden, "/console/live", "/console/live/data", "/console/sessions", "/console/sessions?developer="+alice, session(alice),
		"/console/records", record(alice), record(alice)+"/item?side=request&n=0", record(alice)+"/raw?side=request", record(alice)+"/body?side=request", record(alice)+"/download",
		"/console/records/search", "/console/records/origin", "/console/findings", "/console/findings/csv", all[5],
		"/console/developers/"+alice, "/console/access", "/console/settings")
	b.signOut()

	b.signIn(tokens[alice])
	navigation("You", "Overview", "Live", "Sessions", "Records", "Findings")
	b.do(chromedp.WaitReady(".facts", chromedp.ByQuery)) // the first page is their own
	for path, rows := range map[string]int{
		"/console/me": -1, "/console/live": 0, "/console/sessions": 1, "/console/records": 1, "/console/findings": 1,
		"/console/overview": -1, "/console/overview?by=team": -1, "/console/overview?developer=" + bob: -1,
		"/console/live?developer=" + bob: 0, "/console/sessions?developer=" + bob: 1, "/console/records?developer=" + bob: 1, "/console/findings?developer=" + bob: 1,
	} {
		if got := changes(path); len(got) > 0 {
			t.Errorf("a developer is offered %q by %s", got, path)
		}
		var got int
		b.js(`[...document.querySelectorAll("main tbody tr")].filter(row => !row.querySelector(".nothing")).length`, &got)
		if html := b.source(); rows >= 0 && got != rows || strings.Contains(html, "bob") || strings.Contains(html, "pears") || strings.Contains(html, records[bob].Session) {
			t.Errorf("%s has %d rows, want %d, or what is not alice's:\n%s", path, got, rows, b.text())
		}
	}
	b.visit("/console/overview")
	if text := b.text(); !strings.Contains(text, "Requests\n1") || strings.Contains(text, "Active developers") {
		t.Errorf("alice's overview says:\n%s", text)
	}
	forbidden(http.StatusForbidden, "/console/developers", "/console/developers/"+alice, "/console/access", "/console/settings")
	b.forgives("404")
	forbidden(http.StatusNotFound, session(bob), record(bob), record(bob)+"/body?side=request", record(bob)+"/download")
	if status := b.visit(session(alice)); status != http.StatusOK || !strings.Contains(b.text(), "apples") {
		t.Errorf("alice's own session is answered with %d:\n%s", status, b.text())
	}
	b.visit("/console/records/search")
	b.do(chromedp.SendKeys("input[name=text]", "grow", chromedp.ByQuery))
	b.press("form.filter button", ".progress.ended")
	if text := b.text(); !strings.Contains(text, "apples") || strings.Contains(text, "pears") || !strings.Contains(text, "in 1 exchange searched") {
		t.Errorf("alice's search shows:\n%s", text)
	}
}
