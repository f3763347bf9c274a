package onboard

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testToken = "codexproxy_abcdefgh_test"

// fakeProxy is what a codex-proxy shows a developer's machine. Its fields change
// what it says.
type fakeProxy struct {
	whoami  string
	date    string
	upgrade int
	answer  http.HandlerFunc
}

func (p fakeProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.date != "" {
		w.Header().Set("Date", p.date)
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /setup.json":
		fmt.Fprint(w, `{"base_url":"https://proxy.example.com/v1","websocket":true,"version":"test"}`)
	case "GET /whoami":
		if r.Header.Get("Authorization") != "Bearer "+testToken {
			w.Header().Set("X-Codex-Proxy-Refusal", "token_unknown")
			w.Header().Set("X-Request-Id", "req-1")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"message":"codex-proxy: this token is not known. (request req-1)"}}`)
			return
		}
		fmt.Fprint(w, p.whoami)
	case "GET /v1/responses":
		w.WriteHeader(p.upgrade)
	case "POST /v1/responses":
		p.answer(w, r)
	default:
		http.NotFound(w, r)
	}
}

func healthyProxy() fakeProxy {
	return fakeProxy{
		whoami:  `{"developer":"alice@example.com","name":"Alice","team":"platform","token_id":"abcdefgh"}`,
		upgrade: http.StatusUpgradeRequired,
		answer: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hello \"}\n\n"+
				"data: {\"type\":\"response.output_text.delta\",\"delta\":\"there\\nsecond\"}\n\n"+
				"data: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"status\":\"completed\"}}\n\n")
		},
	}
}

// examine sets a home up for the proxy, lets change spoil it, and examines it.
func examine(t *testing.T, p fakeProxy, change func(*Doctor)) map[string]Finding {
	t.Helper()
	server := httptest.NewTLSServer(p)
	defer server.Close()
	address, err := ParseAddress(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	dir := t.TempDir()
	codex := filepath.Join(dir, "codex")
	if err := os.WriteFile(codex, []byte("#!/bin/sh\necho codex-cli 0.169.0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := &Doctor{
		Home: Home(filepath.Join(dir, ".codex")), System: filepath.Join(dir, "etc"), Codex: codex, Now: time.Now, RootCAs: roots,
		Getenv: func(name string) string { return map[string]string{"HOME": dir}[name] },
	}
	plan, err := PlanSetup(d.Home, Provider{BaseURL: address.BaseURL(), WebSocket: true, TokenCommand: PrintCommand(d.Home.TokenFile())}, testToken)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Apply(time.Now()); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(d)
	}
	findings := map[string]Finding{}
	d.Examine(context.Background(), func(f Finding) {
		if strings.Contains(f.Detail+f.Fix, testToken) {
			t.Errorf("%s shows the token", f.Check)
		}
		if (f.Verdict == OK) != (f.Fix == "") {
			t.Errorf("%s is %s and says to do %q", f.Check, f.Verdict, f.Fix)
		}
		findings[f.Check] = f
	})
	return findings
}

func TestAHealthyMachineIsFoundHealthy(t *testing.T) {
	found := examine(t, healthyProxy(), nil)
	for _, check := range []string{"config", "token file", "codex", "reach", "tls", "clock", "token", "websocket", "answer"} {
		if f := found[check]; f.Verdict != OK {
			t.Errorf("%s: %+v", check, f)
		}
	}
	if got := found["answer"].Detail; !strings.Contains(got, `"Hello there"`) {
		t.Errorf("the answer is told as %s", got)
	}
}

func TestWhatIsWrongIsNamedWithItsFix(t *testing.T) {
	write := func(d *Doctor, path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			panic(err)
		}
	}
	for _, c := range []struct {
		name    string
		proxy   func(*fakeProxy)
		machine func(*Doctor)
		check   string
		verdict Verdict
		says    string
	}{
		{name: "no config.toml", machine: func(d *Doctor) { _ = os.Remove(d.Home.Config()) }, check: "config", verdict: Fail, says: "goes to OpenAI itself"},
		{name: "no TOML", machine: func(d *Doctor) { write(d, d.Home.Config(), "a = 1\nb = \"\n") }, check: "config", verdict: Fail, says: "line 2"},
		{name: "no token", machine: func(d *Doctor) { _ = os.Remove(d.Home.TokenFile()) }, check: "token file", verdict: Fail, says: "there is no"},
		{name: "a token for all to read", machine: func(d *Doctor) { _ = os.Chmod(d.Home.TokenFile(), 0o644) }, check: "token file", verdict: Warn, says: "0644"},
		{name: "a wrong token", machine: func(d *Doctor) { write(d, d.Home.TokenFile(), "nonsense\n") }, check: "token", verdict: Fail, says: "this token is not known. (request req-1)"},
		{name: "a token that ends soon", proxy: func(p *fakeProxy) {
			p.whoami = fmt.Sprintf(`{"developer":"alice@example.com","expires":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}, check: "token", verdict: Warn, says: "expires at"},
		{name: "no Codex", machine: func(d *Doctor) { d.Codex = filepath.Join(string(d.Home), "none") }, check: "codex", verdict: Fail, says: "does not run"},
		{name: "another Codex", machine: func(d *Doctor) { write(d, d.Codex, "#!/bin/sh\necho codex-cli 9.9.9\n") }, check: "codex", verdict: Warn, says: "9.9.9"},
		{name: "an authority that is not trusted", machine: func(d *Doctor) { d.RootCAs = x509.NewCertPool() }, check: "reach", verdict: Fail, says: "does not trust"},
		{name: "a certificate that ends soon", machine: func(d *Doctor) {
			soon := time.Date(2084, 1, 25, 0, 0, 0, 0, time.UTC) // httptest's certificate ends on 2084-01-29
			d.Now = func() time.Time { return soon }
		}, check: "tls", verdict: Warn, says: "valid until 2084-01-29"},
		{name: "a clock that is off", proxy: func(p *fakeProxy) { p.date = "Mon, 02 Jan 2006 15:04:05 GMT" }, check: "clock", verdict: Warn, says: "off the proxy's"},
		{name: "something that eats upgrades", proxy: func(p *fakeProxy) { p.upgrade = http.StatusForbidden }, check: "websocket", verdict: Warn, says: "403"},
		{name: "a refusal", proxy: func(p *fakeProxy) {
			p.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Codex-Proxy-Refusal", "model_not_allowed")
				w.Header().Set("X-Request-Id", "req-2")
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"error":{"message":"codex-proxy: not that model. (request req-2)"}}`)
			}
		}, check: "answer", verdict: Fail, says: "codex-proxy: not that model. (request req-2)"},
		{name: "a stream that is cut", proxy: func(p *fakeProxy) {
			p.answer = func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, "data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hel\"}\n\n")
			}
		}, check: "answer", verdict: Fail, says: "broke off"},
		{name: "a key left in a profile", machine: func(d *Doctor) {
			write(d, filepath.Join(d.Getenv("HOME"), ".zshrc"), "# x\nexport OPENAI_API_KEY=sk-canary\n")
		}, check: "leftover", verdict: Warn, says: ".zshrc, line 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := healthyProxy()
			if c.proxy != nil {
				c.proxy(&p)
			}
			found := examine(t, p, c.machine)
			f := found[c.check]
			if f.Verdict != c.verdict || !strings.Contains(f.Detail, c.says) {
				t.Errorf("%+v, want %s and %q", f, c.verdict, c.says)
			}
		})
	}
}

func TestAManagedMachineNeedsNoConfigOfTheDevelopers(t *testing.T) {
	found := examine(t, healthyProxy(), func(d *Doctor) {
		config, err := d.Home.ReadConfig()
		if err != nil {
			panic(err)
		}
		if err := os.MkdirAll(d.System, 0o755); err != nil {
			panic(err)
		}
		if err := os.WriteFile(filepath.Join(d.System, "requirements.toml"), config, 0o644); err != nil {
			panic(err)
		}
		if err := os.WriteFile(d.Home.Config(), []byte("model_provider = \"mine\"\n"), 0o600); err != nil {
			panic(err)
		}
	})
	for _, check := range []string{"config", "token", "answer"} {
		if f := found[check]; f.Verdict != OK {
			t.Errorf("%s: %+v", check, f)
		}
	}
}

func TestLeftoversAreFoundInEveryShell(t *testing.T) {
	home := t.TempDir()
	for name, line := range map[string]string{
		".profile":                 "export OPENAI_API_KEY=sk-canary",
		".bashrc":                  "  export LANG=C OPENAI_BASE_URL=\"x\"",
		".zprofile":                "echo OPENAI_API_KEY\n#export OPENAI_API_KEY=x",
		".config/fish/config.fish": "set -gx OPENAI_API_KEY sk-canary",
		".config/powershell/Microsoft.PowerShell_profile.ps1": "$env:OPENAI_API_KEY = 'sk-canary'",
		".codex/auth.json": `{"OPENAI_API_KEY":"sk-canary"}`,
	} {
		file := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var places []string
	for _, left := range FindLeftovers(Home(filepath.Join(home, ".codex")), func(name string) string {
		return map[string]string{"HOME": home, "OPENAI_BASE_URL": "sk-canary"}[name]
	}) {
		if strings.Contains(left.String(), "sk-canary") {
			t.Errorf("a value is shown: %s", left)
		}
		places = append(places, strings.TrimPrefix(left.Place, home+"/"))
	}
	want := "the environment variable OPENAI_BASE_URL; .profile, line 1; .bashrc, line 1; .config/fish/config.fish, line 1; .config/powershell/Microsoft.PowerShell_profile.ps1, line 1; .codex/auth.json"
	if got := strings.Join(places, "; "); got != want {
		t.Errorf("found\n%s\nwant\n%s", got, want)
	}
}
