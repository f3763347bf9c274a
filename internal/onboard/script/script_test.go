package script

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, c Config, method, path, host string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "http://placeholder"+path, nil)
	r.Host = host
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	Handler(c).ServeHTTP(w, r)
	return w
}

func TestTheScriptsNameTheProxysAddress(t *testing.T) {
	overTLS := func(r *http.Request) { r.TLS = &tls.ConnectionState{} }
	forwarded := func(r *http.Request) {
		r.Header.Set("X-Forwarded-Proto", "https")
		r.Header.Set("X-Forwarded-Host", "evil.example.com")
		r.Header.Set("Forwarded", "proto=https;host=evil.example.com")
	}
	for name, c := range map[string]struct {
		config Config
		host   string
		change func(*http.Request)
		want   string
	}{
		"the request's host":          {Config{}, "proxy.example.com:8080", func(*http.Request) {}, "http://proxy.example.com:8080"},
		"the request's TLS":           {Config{}, "proxy.example.com", overTLS, "https://proxy.example.com"},
		"an IPv6 address":             {Config{}, "[::1]:8080", func(*http.Request) {}, "http://[::1]:8080"},
		"what anyone can forward":     {Config{}, "proxy.example.com", forwarded, "http://proxy.example.com"},
		"the setting before the rest": {Config{PublicURL: "https://gw.example.com/codex"}, "$(evil)", overTLS, "https://gw.example.com/codex"},
	} {
		t.Run(name, func(t *testing.T) {
			for path, line := range map[string]string{
				"/setup.sh":  "\nserved_from='" + c.want + "'\n",
				"/setup.ps1": "'" + c.want + "'",
			} {
				w := get(t, c.config, "GET", path, c.host, c.change)
				if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), line) || strings.Contains(w.Body.String(), placeholder) {
					t.Errorf("%s is answered with %d, and without %q", path, w.Code, line)
				}
				if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/") || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%s has the headers %v", path, w.Header())
				}
			}
			var about About
			w := get(t, c.config, "GET", "/setup.json", c.host, c.change)
			if err := json.Unmarshal(w.Body.Bytes(), &about); err != nil || about.BaseURL != c.want+"/v1" {
				t.Errorf("/setup.json is %q, %v", w.Body, err)
			}
		})
	}
}

func TestSetupJSONSaysWhatTheProxyServes(t *testing.T) {
	w := get(t, Config{WebSocket: true, ProviderName: OpenAI, Version: "1.2.3"}, "GET", "/setup.json", "proxy.example.com")
	if want := `{"base_url":"http://proxy.example.com/v1","websocket":true,"provider_name":"OpenAI","version":"1.2.3"}` + "\n"; w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("it is %q as %s", w.Body, w.Header().Get("Content-Type"))
	}
}

func TestOnlyGetAndHeadAreAnswered(t *testing.T) {
	for _, path := range Paths {
		if w := get(t, Config{}, "HEAD", path, "proxy.example.com"); w.Code != http.StatusOK || w.Header().Get("Content-Length") == "" {
			t.Errorf("HEAD %s is answered with %d", path, w.Code)
		}
		if w := get(t, Config{}, "POST", path, "proxy.example.com"); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s is answered with %d", path, w.Code)
		}
	}
}

var badHosts = []string{
	"", "$(reboot)", "a'b", `a"b`, "a b", "a\nb", "a\r\nb", "a`b`", "a;b", "a/b", "a@b", "a%20b", "a\x00b", "é.example.com", "-o.example.com",
	"a:b", "a:123456", "a:", "[::1", "::1", "[x]", "[::1]:80:80", "[:::]", "@PUBLIC_URL@", strings.Repeat("a", 300),
}

func TestAHostileHostIsRefused(t *testing.T) {
	for _, host := range badHosts {
		for _, path := range Paths {
			if w := get(t, Config{}, "GET", path, host); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "#!") {
				t.Errorf("%s for the host %q is answered with %d", path, host, w.Code)
			}
		}
		if got, err := ParseURL("https://" + host); err == nil && host != "a/b" {
			t.Errorf("the address of the host %q is %q", host, got)
		}
	}
}

func FuzzNothingGetsOutOfTheQuotes(f *testing.F) {
	for _, host := range append(badHosts, "proxy.example.com:443", "[::1]:8080") {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.:-[]"
		if checkHost(host) == nil && (strings.Trim(host, plain) != "" || len(host) == 0 || host[0] == '-') {
			t.Errorf("the host %q passes", host)
		}
		const inURL = plain + "/_"
		if got, err := ParseURL(host); err == nil && (strings.Trim(got, inURL) != "" || !strings.HasPrefix(got, "http")) {
			t.Errorf("the address %q passes as %q", host, got)
		}
	})
}

func TestAPublicURLIsReadAsPeopleGiveIt(t *testing.T) {
	for text, want := range map[string]string{
		"https://proxy.example.com":        "https://proxy.example.com",
		"https://proxy.example.com/":       "https://proxy.example.com",
		"https://proxy.example.com/v1":     "https://proxy.example.com",
		"https://proxy.example.com/v1/":    "https://proxy.example.com",
		"http://127.0.0.1:8080":            "http://127.0.0.1:8080",
		"https://gw.example.com/team-a/v1": "https://gw.example.com/team-a",
	} {
		if got, err := ParseURL(text); err != nil || got != want {
			t.Errorf("%s is read as %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "proxy.example.com", "ftp://proxy.example.com", "https://", "https://a.example.com/?x", "https://a.example.com/#x", "https://alice@a.example.com", "https://a.example.com/$(x)", "https://a.example.com/../b", "https://a.example.com//b", "https://a.example.com/a%27b", "HTTPS://a.example.com/b c"} {
		if got, err := ParseURL(text); err == nil {
			t.Errorf("%q is read as %q", text, got)
		}
	}
}

func TestAProvidersNameIsPlainAndNotMistakenForOpenAI(t *testing.T) {
	for _, name := range []string{"OpenAI", "codex-proxy", "Example Corp. AI_2", "x"} {
		if err := CheckProviderName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range append([]string{
		"", " OpenAI", "OpenAI ", "openai", "OPENAI", "a\tb", "-a", `a"b`, `a\b`, "a\nb", strings.Repeat("a", 65),
	}, evilNames...) {
		if err := CheckProviderName(name); err == nil {
			t.Errorf("%q passes", name)
		}
	}
}

var evilNames = []string{"$(reboot)", "a'b", "a`b`", "a;b", "a/b", "a@b", "a%sb", "a\x00b", "é"}
