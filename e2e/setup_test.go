package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"codex-proxy/internal/simulated"

	"github.com/rogpeppe/go-internal/txtar"
)

// front is the proxy's address with what a developer's machine asks it beside the
// API.
func (p *proxy) front(webSocket bool, developers map[string]string) string {
	p.t.Helper()
	target := &url.URL{Scheme: "http", Host: p.address}
	mux := http.NewServeMux()
	mux.Handle("/", httputil.NewSingleHostReverseProxy(target))
	mux.HandleFunc("GET /whoami", func(w http.ResponseWriter, r *http.Request) {
		id := developers[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		w.Header().Set("Content-Type", "application/json")
		if id == "" {
			w.Header().Set("X-Codex-Proxy-Refusal", "token_unknown")
			w.Header().Set("X-Request-Id", "req-1")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"message":"codex-proxy: this token is not known. Ask for a new one. (request req-1)"}}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"developer": id, "team": "default", "token_id": "abcdefgh"})
	})
	mux.HandleFunc("GET /setup.json", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"base_url": "http://" + r.Host + "/v1", "websocket": webSocket, "version": "test"})
	})
	server := httptest.NewServer(mux)
	p.t.Cleanup(server.Close)
	return server.URL
}

// machine is a developer's machine: a home, and what is run in it.
type machine struct {
	*cli
}

// newMachine returns a machine whose Codex has the given config.toml; nil is none.
func (p *proxy) newMachine(config []byte) *machine {
	p.t.Helper()
	home := p.t.TempDir()
	m := &machine{&cli{t: p.t, home: home}}
	m.env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1"}
	if err := os.Mkdir(m.codexHome(), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if config != nil {
		if err := os.WriteFile(m.config(), config, 0o640); err != nil {
			p.t.Fatal(err)
		}
	}
	return m
}

func (m *machine) codexHome() string { return filepath.Join(m.home, ".codex") }
func (m *machine) config() string    { return filepath.Join(m.codexHome(), "config.toml") }

// codexProxy runs a command of codex-proxy on the machine.
func (m *machine) codexProxy(args ...string) (out string, code int) {
	m.t.Helper()
	run := exec.CommandContext(m.t.Context(), binary, args...)
	run.Env, run.Dir = m.env, m.home
	var all bytes.Buffer
	run.Stdout, run.Stderr = &all, &all
	if err := run.Run(); err != nil && run.ProcessState == nil {
		m.t.Fatal(err)
	}
	return all.String(), run.ProcessState.ExitCode()
}

// hash is of every file below the home: its path, mode and bytes.
func (m *machine) hash() string {
	m.t.Helper()
	sum := sha256.New()
	err := filepath.WalkDir(m.home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, path, info.Mode())
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintln(sum, len(raw))
			sum.Write(raw)
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// before is the config.toml of a case that the edit's own tests are held to.
func before(t *testing.T, name string) []byte {
	t.Helper()
	archive, err := txtar.ParseFile(filepath.Join("..", "internal", "onboard", "testdata", "cases", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		if f.Name != "before" {
			continue
		}
		text := f.Data
		if strings.Contains(string(archive.Comment), "\nline endings: CRLF\n") {
			text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		}
		if strings.Contains(string(archive.Comment), "\nlast newline: no\n") {
			text = bytes.TrimRight(text, "\r\n")
		}
		if strings.Contains(string(archive.Comment), "\nbyte order mark: yes\n") {
			text = append([]byte("\xef\xbb\xbf"), text...)
		}
		return text
	}
	return nil
}

func TestCodexAnswersOnceItsMachineIsSetUp(t *testing.T) {
	for _, webSocket := range []bool{true, false} {
		p := newProxy(t, simulated.Options{})
		token := p.developer("alice@example.com")
		address := p.front(webSocket, map[string]string{token: "alice@example.com"})
		for _, name := range []string{"none", "other_settings", "other_provider", "openai_base_url", "crlf_no_last_newline", "byte_order_mark", "multi_line_strings", "set_up_before", "codex_wrote_inside"} {
			t.Run(fmt.Sprintf("%s websocket=%t", name, webSocket), func(t *testing.T) {
				p.t = t
				m := p.newMachine(before(t, name))
				was := m.hash()
				p.openai.Play(simulated.Say("Hello from the setup"), simulated.Say("Hello from Codex"))
				out, code := m.codexProxy("setup", "--url", address, "--token", token)
				if code != 0 || !strings.Contains(out, "belongs to alice@example.com (team default)") || !strings.Contains(out, "Hello from the setup") || strings.Contains(out, token) {
					t.Fatalf("setup exited with %d and said:\n%s", code, out)
				}
				first := len(p.openai.Received())
				m.run("say hello").must(t, "Hello from Codex")
				for _, r := range p.openai.Received()[first:] {
					if got := r.Transport; (got == simulated.WebSocket) != webSocket {
						t.Errorf("Codex came over %s", got)
					}
				}
				if out, code := m.codexProxy("setup", "--uninstall"); code != 0 {
					t.Fatalf("uninstall exited with %d and said:\n%s", code, out)
				}
				_ = was
			})
		}
	}
}
