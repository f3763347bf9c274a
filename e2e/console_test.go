package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"codex-proxy/internal/signin/signintest"
	"codex-proxy/internal/simulated"
)

// hostile is what a model, a tool or a web page might have written.
const hostile = `<script>document.title='run'</script><img src=x onerror="document.title='run'"><a href="javascript:document.title='run'">click</a> ` + "\u202egnp.exe \x1b[31mred"

// TestWhatTheRealCLISaidIsReplayedAndRunsNothing looks in a browser at an exchange of
// the real CLI whose prompt and answer are hostile.
func TestWhatTheRealCLISaidIsReplayedAndRunsNothing(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	p.openai.Play(simulated.Say("The answer: " + hostile))
	p.newCLI(overHTTP, token).run("The prompt: " + strings.ReplaceAll(hostile, "\x1b", ""))
	p.records(1)
	b := newBrowser(t, p.address)
	b.signIn(token) // as a developer, who sees what is theirs without a reason
	b.open("/console/sessions")
	b.open(b.links("table a[href^='/console/sessions/view']")[0])
	text := b.text()
	for _, part := range []string{"The prompt: <script>", "The answer: <script>", "javascript:document.title"} {
		if !strings.Contains(text, part) {
			t.Errorf("the page does not show %q", part)
		}
	}
	if strings.ContainsAny(text, "\u202e\x1b") {
		t.Error("what could hide text is not spelled out")
	}
	b.open("/console/records")
	b.open(b.links("table a[href^='/console/records/']")[0])
	var title string
	var dangerous int
	b.do(chromedp.Title(&title), chromedp.Evaluate(`document.querySelectorAll('main script:not([src]), main [onerror], main a[href^="javascript:"], main img:not([src^="data:"])').length`, &dangerous))
	if title == "run" || dangerous > 0 {
		t.Errorf("the title is %q, and %d elements are dangerous", title, dangerous)
	}
}

// TestARunningExchangeIsSeenAndStopped uses the command line, which uses the API.
func TestARunningExchangeIsSeenAndStopped(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	p.openai.Play(simulated.Stall("thinking", 5))
	wait := p.newCLI(overHTTP, p.developer("alice@example.com")).start("hello")
	if err := p.openai.Await(t.Context(), func(all []simulated.Received) bool { return len(all) == 1 }); err != nil {
		t.Fatal(err)
	}
	var made struct{ Credential string }
	if err := json.Unmarshal([]byte(p.command("console", "token", "add", "test", "--role", "admin", "--json")), &made); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CODEX_PROXY_API_TOKEN", made.Credential)
	address := "http://" + p.address
	var live struct {
		Running []struct{ ID, Developer string }
	}
	if err := json.Unmarshal([]byte(p.command("live", "--url", address, "--json")), &live); err != nil || len(live.Running) != 1 || live.Running[0].Developer != "alice@example.com" {
		t.Fatalf("running: %+v, %v", live, err)
	}
	if out := p.command("live", "list", "--url", address); !strings.Contains(out, "alice@example.com") {
		t.Errorf("the list says:\n%s", out)
	}
	p.command("live", "stop", live.Running[0].ID, "--url", address)
	if s := wait(); s.code == 0 || !strings.Contains(s.err, "stopped") {
		t.Errorf("codex exited with %d:\n%s", s.code, s.err)
	}
	if list := p.records(1); list[0].Outcome != "interrupted" {
		t.Errorf("on record as %+v", list[0])
	}
	t.Setenv("CODEX_PROXY_API_TOKEN", "codexconsole_wrong")
	out, err := exec.CommandContext(t.Context(), binary, "live", "--url", address).CombinedOutput()
	if err == nil || !strings.Contains(string(out), http.StatusText(http.StatusUnauthorized)) {
		t.Errorf("with a wrong credential: %v %s", err, out)
	}
}

// TestPeopleSignInToTheConsoleWithTheOrganisationsAccount does so in a browser, at a
// real issuer: their groups give them a role, and a developer sees what is theirs.
func TestPeopleSignInToTheConsoleWithTheOrganisationsAccount(t *testing.T) {
	issuer := signintest.New(t)
	settings := filepath.Join(t.TempDir(), "codex-proxy.toml")
	if err := os.WriteFile(settings, fmt.Appendf(nil, `[oidc]
issuer = %q
client_id = %q
allowed_domains = ["example.com"]

[console.oidc.roles]
"security" = "auditor"
"everyone" = "finance"
`, issuer.URL, signintest.ClientID), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, simulated.Options{}, "--config", settings)
	p.developer("alice@example.com")
	b := newBrowser(t, p.address)
	b.issuer = strings.TrimPrefix(issuer.URL, "http://")
	signIn := func(u signintest.User) string {
		t.Helper()
		issuer.SignInAs(u)
		b.open("/console/")
		b.do(chromedp.Click("a.button.main", chromedp.ByQuery), chromedp.WaitReady(".whoever form, [role=alert]", chromedp.ByQuery))
		var bar string
		b.do(chromedp.Text("body", &bar, chromedp.ByQuery))
		return strings.Join(strings.Fields(bar), " ")
	}
	signOut := func() {
		t.Helper()
		b.do(chromedp.Click(".whoever form button", chromedp.ByQuery), chromedp.WaitReady("input[name=credential]", chromedp.ByQuery))
	}
	if bar := signIn(signintest.User{Email: "bob@example.com", Groups: []string{"everyone", "security"}}); !strings.Contains(bar, "bob@example.com auditor") {
		t.Errorf("the page says:\n%s", bar)
	}
	b.open("/console/settings")
	if list := p.command("console", "user", "list"); !strings.Contains(list, "bob@example.com  auditor") {
		t.Errorf("who may sign in:\n%s", list)
	}
	signOut()
	if bar := signIn(signintest.User{Email: "carol@example.com", Groups: []string{"everyone"}}); !strings.Contains(bar, "carol@example.com finance") {
		t.Errorf("the page says:\n%s", bar)
	}
	// Who is removed here is out at once.
	p.command("console", "user", "remove", "carol@example.com")
	b.open("/console/overview")
	b.do(chromedp.WaitReady("input[name=credential]", chromedp.ByQuery))
	if bar := signIn(signintest.User{Email: "alice@example.com", Groups: []string{"engineers"}}); !strings.Contains(bar, "alice@example.com developer") {
		t.Errorf("the page says:\n%s", bar)
	}
	p.command("developer", "disable", "alice@example.com")
	b.open("/console/me")
	b.do(chromedp.WaitReady("input[name=credential]", chromedp.ByQuery))
	b.forgives403()
	for _, nobody := range []signintest.User{
		{Email: "alice@example.com"}, {Email: "dave@example.com"}, {Email: "eve@evil.example"},
	} {
		if bar := signIn(nobody); !strings.Contains(bar, "Ask whoever runs the proxy") && !strings.Contains(bar, "may not sign in here") {
			t.Errorf("%s is told:\n%s", nobody.Email, bar)
		}
	}
	// An answer that this browser has not asked for begins nothing.
	response, err := http.Get("http://" + p.address + "/console/sign-in/callback?code=c&state=s")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("somebody else's answer: %s", response.Status)
	}
}
