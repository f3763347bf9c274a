package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"codex-proxy/internal/simulated"
)

// administrator makes the credential of the console's administrator.
func (p *proxy) administrator() string {
	p.t.Helper()
	var made struct{ Credential string }
	if err := json.Unmarshal([]byte(p.command("console", "reset-admin", "--json")), &made); err != nil {
		p.t.Fatal(err)
	}
	return made.Credential
}

// status is how the proxy answers whoever has a token.
func (p *proxy) status(token string) int {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.address+"/whoami", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

// press clicks what a selector finds, waits for the page that it leads to, and for
// what in it.
func (b *browser) press(selector, what string) {
	b.t.Helper()
	b.leads(selector, chromedp.Click(selector, chromedp.ByQuery), what)
}

// leads does something, waits for the page that it leads to, and for what in it.
func (b *browser) leads(done string, action chromedp.Action, what string) {
	b.t.Helper()
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := chromedp.RunResponse(ctx, action)
		return err
	}), chromedp.WaitReady(what, chromedp.ByQuery))
	b.check(done)
}

// TestWhatAnAdministratorDoesInTheBrowserHolds presses every button of the console's:
// what it does is seen from outside.
func TestWhatAnAdministratorDoesInTheBrowserHolds(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	first := p.developer("alice@example.com")
	b := newBrowser(t, p.address)
	b.signIn(p.administrator())
	page := "/console/developers/alice@example.com"
	fresh := func() (token string) {
		t.Helper()
		b.do(chromedp.Text(".fresh pre", &token, chromedp.ByQuery))
		return strings.TrimSpace(token)
	}

	b.open(page)
	b.do(chromedp.SendKeys("input[name=label]", "a second laptop", chromedp.ByQuery))
	b.press("form.row button.main", ".fresh pre")
	second := fresh()
	if p.status(first) != http.StatusOK || p.status(second) != http.StatusOK {
		t.Errorf("the tokens are answered with %d and %d", p.status(first), p.status(second))
	}
	b.open(page)
	if strings.Contains(b.text(), second) {
		t.Error("the token is shown twice")
	}

	b.press(`form[action$="/rotate"] button`, ".fresh pre") // of the newest
	third := fresh()
	if p.status(second) != http.StatusOK || p.status(third) != http.StatusOK || third == second {
		t.Errorf("after the rotation: %d and %d", p.status(second), p.status(third))
	}
	b.open(page)
	b.press(`form[action$="/revoke"] button`, "main") // of the newest
	p.eventually("the token is revoked", func() bool { return p.status(third) == http.StatusUnauthorized })
	if p.status(first) != http.StatusOK {
		t.Errorf("another token than the revoked: %d", p.status(first))
	}

	b.open(page)
	b.press(`form[action$="/access"] button.danger`, ".chip.bad")
	p.eventually("alice is shut out", func() bool { return p.status(first) != http.StatusOK })
	b.press(`form[action$="/access"] button:not(.danger)`, `form[action$="/access"] button.danger`)
	p.eventually("alice is let in", func() bool { return p.status(first) == http.StatusOK })

	// A running exchange is ended.
	p.openai.Play(simulated.Stall("thinking", 5))
	wait := p.newCLI(overHTTP, first).start("hello")
	if err := p.openai.Await(t.Context(), func(all []simulated.Received) bool { return len(all) == 1 }); err != nil {
		t.Fatal(err)
	}
	b.open("/console/live")
	b.press(`form[action="/console/live/stop"] button`, "#live")
	if s := wait(); s.code == 0 || !strings.Contains(s.err, "stopped") {
		t.Errorf("codex exited with %d:\n%s", s.code, s.err)
	}

	// A secret is found, and marked as a false positive.
	p.openai.Play(simulated.Say("Noted."))
	p.newCLI(overHTTP, first).run("The key is AKIA" + "Z7QGN4T2KXW3PLVD, remember it.")
	b.open("/console/findings")
	found := b.links(`main a[href^="/console/findings/"]`)
	if len(found) == 0 {
		t.Fatalf("no finding is listed:\n%s", b.text())
	}
	b.open(found[0])
	b.do(chromedp.Click(`input[name=as][value*="false"]`, chromedp.ByQuery), chromedp.SendKeys("textarea[name=note]", "an example of the documentation", chromedp.ByQuery))
	b.press("form.mark button.main", "form.mark")
	if list := p.command("secrets", "list"); !strings.Contains(list, "false") {
		t.Errorf("the command line lists:\n%s", list)
	}

	// No script can read the session, which ends with signing out.
	var cookies string
	b.do(chromedp.Evaluate("document.cookie", &cookies))
	if strings.Contains(cookies, "console") {
		t.Error("a script can read the session")
	}
	b.press(".whoever form button", "input[name=credential]")
	b.open("/console/overview")
	b.do(chromedp.WaitReady("input[name=credential]", chromedp.ByQuery))
}

// TestAHundredThousandExchangesAreLookedAtInTheBrowser opens the pages that list and
// sum them. How long each takes is in the test's log, as a machine's speed is no fact
// about the pages.
func TestAHundredThousandExchangesAreLookedAtInTheBrowser(t *testing.T) {
	data := t.TempDir()
	// Written by a program of its own, as the race detector would make it take minutes.
	if out, err := exec.CommandContext(t.Context(), "go", "run", "codex-proxy/bench/organisation", "-data", data, "-exchanges", "100000", "-developers", "200").CombinedOutput(); err != nil {
		t.Fatalf("write a ledger: %v\n%s", err, out)
	}
	p := newProxyOn(t, data, simulated.Options{})
	b := newBrowser(t, p.address)
	b.signIn(p.administrator())
	for path, shows := range map[string]string{
		"/console/overview?range=90d":    `100,000`,
		"/console/sessions":              `developer-\d{5}@example.com`,
		"/console/records":               `developer-\d{5}@example.com`,
		"/console/records?model=gpt-5.2": `gpt-5.2`,
		"/console/developers":            `200 developers`,
		"/console/findings":              `github-token`,
	} {
		b.open(path)
		if text := b.text(); !regexp.MustCompile(shows).MatchString(text) {
			t.Errorf("%s does not show %q:\n%s", path, shows, text)
		}
		var millis float64
		b.do(chromedp.Evaluate(`performance.getEntriesByType("navigation")[0].responseEnd`, &millis))
		t.Logf("%s was there after %.0f ms", path, millis)
	}
}
