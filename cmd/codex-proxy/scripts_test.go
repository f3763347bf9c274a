package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestTheProxyServesItsSetupScripts(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		env  string
		want func(address string) string
	}{
		"with the address that it is asked at": {nil, "", func(address string) string { return "http://" + address }},
		"with --public-url":                    {[]string{"--public-url", "https://proxy.example.com/"}, "", func(string) string { return "https://proxy.example.com" }},
		"with CODEX_PROXY_PUBLIC_URL":          {nil, "https://proxy.example.com", func(string) string { return "https://proxy.example.com" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OPENAI_API_KEY", "sk-canary") // serve takes it out of the environment
			if c.env != "" {
				t.Setenv("CODEX_PROXY_PUBLIC_URL", c.env)
			}
			s := startServer(t, t.TempDir(), append([]string{"serve", "--websocket", "off"}, c.args...)...)
			want := c.want(s.address)
			for path, text := range map[string]string{
				"/setup.sh":   "served_from='" + want + "'",
				"/setup.ps1":  "$Url = '" + want + "'",
				"/setup.json": `{"base_url":"` + want + `/v1","websocket":false,"provider_name":"OpenAI","version":"` + version + `"}`,
			} {
				response, err := http.Get("http://" + s.address + path)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), text) {
					t.Errorf("GET %s is answered with %s, %v, and without %q", path, response.Status, err, text)
				}
				if strings.Contains(string(body), "sk-canary") {
					t.Errorf("GET %s shows the organisation's key", path)
				}
			}
		})
	}
}

// TestTheProvidersNameFollowsUpstreamAndTheSetting looks at it where setup and the
// scripts read it, and where managed machines get it from.
func TestTheProvidersNameFollowsUpstreamAndTheSetting(t *testing.T) {
	for _, c := range []struct {
		args      []string
		env, want string
	}{
		{args: []string{"serve"}, want: "OpenAI"},
		{args: []string{"serve", "--upstream", "http://127.0.0.1:1/v1"}, want: "codex-proxy"},
		{args: []string{"serve", "--upstream", "http://127.0.0.1:1/v1"}, env: "OpenAI", want: "OpenAI"},
		{args: []string{"serve", "--provider-name", "Example Corp."}, want: "Example Corp."},
		{args: []string{"demo", "--no-seed"}, want: "OpenAI"},
	} {
		t.Run(strings.Join(c.args, " ")+c.env, func(t *testing.T) {
			t.Setenv("OPENAI_API_KEY", "sk-canary")
			t.Setenv("CODEX_PROXY_PROVIDER_NAME", c.env)
			s := startServer(t, t.TempDir(), c.args...)
			url := "http://" + s.address
			response, err := http.Get(url + "/setup.json")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			var about struct {
				Name string `json:"provider_name"`
			}
			if err := json.NewDecoder(response.Body).Decode(&about); err != nil || about.Name != c.want {
				t.Errorf("/setup.json has the name %q, %v, want %q", about.Name, err, c.want)
			}
			for _, args := range [][]string{{"setup", "--print", "--url", url}, {"setup", "--print", "--sign-in", "--url", url}} {
				printed := s.command(args...)
				if blocks := strings.Count(printed, "[model_providers.codex-proxy]\nname = \""+c.want+"\"\n"); blocks != 2 {
					t.Errorf("%d of the 2 blocks have the name %q:\n%s", blocks, c.want, printed)
				}
			}
		})
	}
}

func TestManagedMachinesCanTakeTheirTokensFromASignIn(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-canary")
	s := startServer(t, t.TempDir(), "serve", "--websocket", "off")
	printed := s.command("setup", "--print", "--sign-in", "--url", "http://"+s.address)
	for _, line := range []string{
		`command = "codex-proxy"`, `args = ["token", "get", "--url", "http://` + s.address + `"]`,
		"timeout_ms = 30000", "supports_websockets = false",
	} {
		if strings.Count(printed, "\n"+line+"\n") != 2 {
			t.Errorf("not both blocks have the line %s:\n%s", line, printed)
		}
	}
	if strings.Contains(printed, "codex-proxy-token") {
		t.Errorf("a file with a token is named:\n%s", printed)
	}
}

func TestBlocksForManagedMachinesAreNotGuessed(t *testing.T) {
	var out, errs safeBuffer
	args := []string{"setup", "--print", "--url", "http://127.0.0.1:1"}
	if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != 1 || out.String() != "" ||
		!strings.Contains(errs.String(), "the proxy at http://127.0.0.1:1 cannot be reached") {
		t.Errorf("setup --print exited with %d and said %q and %q", code, out.String(), errs.String())
	}
}

func TestAProvidersNameThatMisleadsIsMisuse(t *testing.T) {
	for _, name := range []string{"openai", `x"y`} {
		t.Setenv("OPENAI_API_KEY", "sk-canary") // serve takes it out of the environment
		var out, errs safeBuffer
		args := []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--provider-name", name}
		code := run(t.Context(), args, strings.NewReader(""), &out, &errs)
		if code != 2 || !strings.Contains(errs.String(), "--provider-name") {
			t.Errorf("serve exited with %d and said %q", code, errs.String())
		}
	}
}

func TestAPublicURLThatCouldRunSomethingIsMisuse(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-canary")
	var out, errs safeBuffer
	args := []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--public-url", "https://a.example.com/$(reboot)"}
	if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != 2 || !strings.Contains(errs.String(), "--public-url") {
		t.Errorf("serve exited with %d and said %q", code, errs.String())
	}
}
