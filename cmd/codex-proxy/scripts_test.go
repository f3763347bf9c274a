package main

import (
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
				"/setup.json": `{"base_url":"` + want + `/v1","websocket":false,"version":"` + version + `"}`,
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

func TestAPublicURLThatCouldRunSomethingIsMisuse(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-canary")
	var out, errs safeBuffer
	args := []string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--public-url", "https://a.example.com/$(reboot)"}
	if code := run(t.Context(), args, strings.NewReader(""), &out, &errs); code != 2 || !strings.Contains(errs.String(), "--public-url") {
		t.Errorf("serve exited with %d and said %q", code, errs.String())
	}
}
