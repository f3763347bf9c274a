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

	"github.com/coder/websocket"
)

const testToken = "codexproxy_abcdefgh_test"

// fakeProxy is what a codex-proxy shows a developer's machine. Its fields change
// what it says.
type fakeProxy struct {
	name    string
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
		const about = `{"base_url":"https://proxy.example.com/v1","websocket":true,"provider_name":%q,"version":"test"}`
		fmt.Fprintf(w, about, p.name)
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
		if p.upgrade == http.StatusSwitchingProtocols {
			if conn, err := websocket.Accept(w, r, nil); err == nil {
				_ = conn.CloseNow()
			}
			return
		}
		w.WriteHeader(p.upgrade)
	case "POST /v1/responses":
		p.answer(w, r)
	default:
		http.NotFound(w, r)
	}
}

func healthyProxy() fakeProxy {
	return fakeProxy{
		name:    "OpenAI",
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
	if err := os.WriteFile(codex, []byte("#!/bin/sh\necho codex-cli 0.171.0\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := &Doctor{
		Home: Home(filepath.Join(dir, ".codex")), System: filepath.Join(dir, "etc"), Codex: codex, Now: time.Now, RootCAs: roots,
		Getenv: func(name string) string { return map[string]string{"HOME": dir}[name] },
	}
	provider := Offer{ProviderName: p.name, WebSocket: true}.Provider(address)
	provider.TokenCommand = PrintCommand(d.Home.TokenFile())
	plan, err := PlanSetup(d.Home, provider, testToken)
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
	for _, check := range []string{
		"config", "token file", "codex", "reach", "tls", "clock", "token", "provider", "websocket", "answer",
	} {
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
		{name: "another Codex", machine: func(d *Doctor) { write(d, d.Codex, "#!/bin/sh\necho codex-cli 0.99.0\n") }, check: "codex", verdict: Warn, says: "older"},
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

func TestANewerCodexThanWasTriedIsNoFault(t *testing.T) {
	for version, want := range map[string]struct {
		verdict Verdict
		says    string
	}{
		"0.169.0":         {OK, "known to work"},
		"0.171.0":         {OK, "known to work"},
		"0.170.3":         {OK, "expected to work"},
		"0.171.1":         {OK, "newer than what was tried (0.171.0), expected to work"},
		"0.172.0-alpha.4": {OK, "newer than what was tried (0.171.0), expected to work"},
		"0.1000.0":        {OK, "newer than what was tried (0.171.0), expected to work"},
		"1.0.0+build.7":   {OK, "newer than what was tried (0.171.0), expected to work"},
		"0.168.9":         {Warn, "older than what was tried"},
		"0.99.0":          {Warn, "older than what was tried"},
		"nightly":         {Warn, "is not understood"},
		"1.2":             {Warn, "is not understood"},
		"":                {Warn, "is not understood"},
	} {
		f := judgeVersion(version)
		if f.Verdict != want.verdict || !strings.Contains(f.Detail, want.says) || (f.Fix == "") != (f.Verdict == OK) {
			t.Errorf("of version %q it says %+v, want %s and %q", version, f, want.verdict, want.says)
		}
		if strings.Contains(f.Fix, "@openai/codex@") {
			t.Errorf("of version %q it advises a certain one: %s", version, f.Fix)
		}
	}
}

// TestTheProviderThatCodexUsesIsExamined lets the developer have made one by hand,
// beside the one of setup, which Codex does not look at then.
func TestTheProviderThatCodexUsesIsExamined(t *testing.T) {
	const (
		webSockets  = "supports_websockets = true\n"
		namedOpenAI = "name = \"OpenAI\"\n"
		namedP      = "name = \"p\"\n"
		builtIn     = "openai_base_url = \"PROXY\"\n"
		byCommand   = "[model_providers.p.auth]\ncommand = \"echo\"\nargs = [\"" + testToken + "\"]\n"
		ours        = "[model_providers.codex-proxy]\nbase_url = \"http://127.0.0.1:1/v1\"\n" + namedOpenAI + webSockets
	)
	byHand := func(lines string) string {
		return "model_provider = \"p\"\n[model_providers.p]\nwire_api = \"responses\"\nbase_url = \"PROXY\"\n" + lines
	}
	for _, c := range []struct {
		name, config, proxy string
		want                map[string]Verdict
		fixes               map[string]string
	}{
		{
			name: "with WebSockets", config: byHand(namedOpenAI + webSockets + byCommand), proxy: "OpenAI",
			want: map[string]Verdict{
				"config": OK, "token command": OK, "token": OK, "provider": OK, "websocket": OK, "answer": OK,
			},
		},
		{
			name: "without, beside ours", config: byHand(namedP+byCommand) + ours, proxy: "OpenAI",
			want: map[string]Verdict{"config": OK, "provider": Warn, "websocket": Warn, "answer": OK},
			fixes: map[string]string{
				"websocket": "set supports_websockets = true in [model_providers.p]",
				"provider":  "set name = \"OpenAI\" in [model_providers.p]",
			},
		},
		{
			name: "taken for OpenAI, which it is not", config: byHand(namedOpenAI + webSockets + byCommand), proxy: "codex-proxy",
			want:  map[string]Verdict{"provider": Warn},
			fixes: map[string]string{"provider": "set name = \"codex-proxy\" in [model_providers.p]"},
		},
		{
			name: "at an older proxy", config: byHand(namedP + webSockets + byCommand), proxy: "",
			want: map[string]Verdict{"config": OK, "websocket": OK, "answer": OK, "provider": ""},
		},
		{
			name:   "a command that prints nothing",
			config: byHand("[model_providers.p.auth]\ncommand = \"true\"\n"), proxy: "OpenAI",
			want: map[string]Verdict{"token command": Fail, "websocket": ""},
		},
		{
			name: "without a token, beside an address of the built-in one", config: builtIn + byHand(""), proxy: "OpenAI",
			want: map[string]Verdict{"config": Fail},
		},
		{
			name: "the built-in one", config: builtIn, proxy: "OpenAI",
			want: map[string]Verdict{
				"config": OK, "login": OK, "token": OK, "provider": OK, "websocket": OK, "answer": OK, "leftover": "",
			},
		},
		{
			name: "the built-in one where OpenAI is not", config: builtIn, proxy: "codex-proxy",
			want: map[string]Verdict{"provider": Warn},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := healthyProxy()
			p.name, p.upgrade = c.proxy, http.StatusSwitchingProtocols
			found := examine(t, p, func(d *Doctor) {
				before, err := d.Home.ReadConfig()
				if err != nil {
					t.Fatal(err)
				}
				settings, err := ReadSettings(before)
				if err != nil {
					t.Fatal(err)
				}
				place(t, d.Home.Config(), strings.ReplaceAll(c.config, "PROXY", settings.Proxy().BaseURL), 0o600)
				place(t, d.Home.Auth(), `{"OPENAI_API_KEY":"`+testToken+`"}`, 0o600)
				if err := os.Remove(d.Home.TokenFile()); err != nil {
					t.Fatal(err)
				}
			})
			for check, want := range c.want {
				f := found[check]
				if fix := c.fixes[check]; f.Verdict != want || !strings.Contains(f.Fix, fix) {
					t.Errorf("%s: %+v, want %q and the fix %q", check, f, want, fix)
				}
			}
		})
	}
}
