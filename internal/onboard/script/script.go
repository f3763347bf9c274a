// Package script serves the scripts that set up Codex on a developer's machine,
// with the proxy's own address put in:
//
//	curl -fsSL https://proxy.example.com/setup.sh | sh
//	irm https://proxy.example.com/setup.ps1 | iex
//
// and what the scripts, and 'codex-proxy setup', need to know of the proxy, as
// /setup.json. No token is asked for, and nothing secret is in any of them.
package script

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

//go:embed setup.sh
var shell string

//go:embed setup.ps1
var powerShell string

// placeholder is where the scripts take the proxy's address.
const placeholder = "@PUBLIC_URL@"

// Paths are the paths that the handler answers.
var Paths = [...]string{"/setup.sh", "/setup.ps1", "/setup.json"}

// About is what is to be known of a proxy; /setup.json.
type About struct {
	// BaseURL is what Codex takes as a provider's base_url.
	BaseURL string `json:"base_url"`
	// WebSocket says that the proxy carries Codex's WebSocket.
	WebSocket bool `json:"websocket"`
	// ProviderName is the name that Codex's provider is to have.
	ProviderName string `json:"provider_name"`
	Version      string `json:"version"`
}

// Config says what the scripts are served with.
type Config struct {
	// PublicURL is the address that developers reach the proxy at, as ParseURL
	// returns it. When empty, each request's own Host and TLS say it.
	PublicURL string
	WebSocket bool
	// ProviderName is as CheckProviderName accepts it.
	ProviderName string
	Version      string
}

// Handler answers GET and HEAD for Paths.
func Handler(c Config) http.Handler {
	mux := http.NewServeMux()
	serve := func(path, contentType string, page func(address string) string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			address, err := c.Address(r)
			if err != nil {
				http.Error(w, "codex-proxy: "+err.Error(), http.StatusBadRequest)
				return
			}
			text := page(address)
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			w.Header().Set("Cache-Control", "no-store")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = w.Write([]byte(text)) // the asker may be gone
		})
	}
	fill := func(template string) func(string) string {
		return func(address string) string { return strings.Replace(template, placeholder, address, 1) }
	}
	serve("/setup.sh", "text/x-shellscript; charset=utf-8", fill(shell))
	serve("/setup.ps1", "text/plain; charset=utf-8", fill(powerShell)) // a type that Invoke-RestMethod returns as text
	serve("/setup.json", "application/json", func(address string) string {
		about, _ := json.Marshal(About{
			BaseURL: address + "/v1", WebSocket: c.WebSocket, ProviderName: c.ProviderName, Version: c.Version,
		})
		return string(about) + "\n"
	})
	return mux
}

// Address returns the address that an answer to the request is to name. What a
// request says of itself is put into a program that someone will run, so nothing
// but a plain host passes; and X-Forwarded-Proto, which anyone can send, is not
// asked.
func (c Config) Address(r *http.Request) (string, error) {
	if c.PublicURL != "" {
		return c.PublicURL, nil
	}
	if err := checkHost(r.Host); err != nil {
		return "", err
	}
	if r.TLS != nil {
		return "https://" + r.Host, nil
	}
	return "http://" + r.Host, nil
}

var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)

// ParseURL checks the address that developers reach a proxy at, and returns it
// without a slash, or /v1, at its end. It is an http or https URL without user,
// query or fragment, and holds only characters that mean nothing in a shell.
func ParseURL(text string) (string, error) {
	trimmed := strings.TrimSuffix(strings.TrimSuffix(text, "/"), "/v1")
	u, err := url.Parse(trimmed)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%q is not an address like https://proxy.example.com", text)
	}
	if err := checkHost(u.Host); err != nil {
		return "", err
	}
	if !plainPath.MatchString(u.Path) || u.Scheme+"://"+u.Host+u.Path != trimmed {
		return "", fmt.Errorf("%q has more in it than a scheme, a host, a port and a plain path", text)
	}
	return trimmed, nil
}

var (
	plainHost = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	bracketed = regexp.MustCompile(`^\[(.+)\]`)
)

// checkHost accepts a host name or IP address, with or without a port.
func checkHost(host string) error {
	if len(host) > 260 || !plainHost.MatchString(host) {
		return fmt.Errorf("the host %q is not a plain host name or address", host)
	}
	if ip := bracketed.FindStringSubmatch(host); ip != nil {
		if _, err := netip.ParseAddr(ip[1]); err != nil {
			return fmt.Errorf("the host %q is not an IP address", host)
		}
	}
	return nil
}
