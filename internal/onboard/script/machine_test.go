//go:build unix

package script

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// goodToken is the one token that the proxy knows. It has what a shell, awk and
// curl could stumble over.
const goodToken = "codexproxy_abcd1234_\"$(:>pwned)`:>pwned`'\\n%s&"

// shells are those that the script must run under: what /bin/sh is on Debian,
// macOS and Alpine, and what people type into.
var shells = []string{"dash", "bash", "zsh", "busybox sh"}

// aProxy stands in for a codex-proxy: the handler, and what lies beside it.
type aProxy struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string // method, path, and the body if there is one
	answer   func(w http.ResponseWriter, model string)
}

func newProxy(t *testing.T, webSocket bool) *aProxy {
	return newProxyServing(t, serves{webSocket, OpenAI})
}

// newProxies starts a proxy for each that the cases stand for.
func newProxies(t *testing.T, cases []configCase) map[serves]*aProxy {
	t.Helper()
	all := map[serves]*aProxy{}
	for _, c := range cases {
		if all[c.serves] == nil {
			all[c.serves] = newProxyServing(t, c.serves)
		}
	}
	return all
}

func newProxyServing(t *testing.T, s serves) *aProxy {
	t.Helper()
	p := &aProxy{answer: sayHello}
	scripts := Handler(Config{WebSocket: s.webSocket, ProviderName: s.providerName, Version: "1.2.3"})
	mux := http.NewServeMux()
	for _, path := range Paths {
		mux.Handle(path, scripts)
	}
	mux.HandleFunc("GET /whoami", p.checked(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{
			"name": "Alice \u001b[31m\u009b ü", "developer": "alice@example.com", "team": "platform", "token_id": "abcd1234",
			"budget": map[string]any{"developer": "not this one", "team": nil},
		})
	}))
	mux.HandleFunc("POST /v1/responses", p.checked(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Model, Input, Instructions string
			Stream, Store              bool
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Input == "" || !asked.Stream || asked.Store {
			t.Errorf("the first request is %+v, %v", asked, err)
		}
		p.answer(w, asked.Model)
	}))
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.requests = append(p.requests, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
		if r.URL.Path == "/setup.json" && r.Header.Get("Authorization") != "" {
			t.Error("the token was shown to a path that needs none")
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *aProxy) checked(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+goodToken {
			writeJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{
				"type": "invalid_request_error", "message": "codex-proxy: this token is not known. Ask \u003cops@example.com\u003e for one.",
			}})
			return
		}
		next(w, r)
	}
}

func (p *aProxy) received() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.requests...)
}

// script fetches a script as curl would.
func (p *aProxy) script(t *testing.T, path string) string {
	t.Helper()
	response, err := http.Get(p.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", path, response.Status, err)
	}
	return text.String()
}

func writeJSON(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc)
}

// sayHello answers with two lines, in pieces, naming the model.
func sayHello(w http.ResponseWriter, model string) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"error\":null}}\n\n")
	for _, piece := range []string{"Hello \\\"", model, "\\\" from", " here,\\u0020Alice\\nand a second line"} {
		fmt.Fprintf(w, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"%s\"}\n\n", piece)
	}
	fmt.Fprint(w, "data: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"type\":\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"x\"}]}]}}\n\n")
}

// machine is a developer's machine: a throw-away home directory.
type machine struct {
	t     *testing.T
	home  string
	shell string
	env   []string
	uid   uint32 // 0 runs as the tests do
}

func newMachine(t *testing.T, shell string) *machine {
	t.Helper()
	if _, err := exec.LookPath(strings.Fields(shell)[0]); err != nil {
		t.Skipf("%s is not installed", shell)
	}
	m := &machine{t: t, home: filepath.Join(t.TempDir(), "Alice's home"), shell: shell}
	if err := os.Mkdir(m.home, 0o755); err != nil {
		t.Fatal(err)
	}
	m.env = []string{"HOME=" + m.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir(), "CODEX_PROXY_TOKEN=" + goodToken}
	return m
}

// unprivileged makes the script run as someone whom permissions bind.
func (m *machine) unprivileged() {
	m.t.Helper()
	if os.Getuid() != 0 {
		return
	}
	m.uid = 65534
	temporary := filepath.Dir(m.home)
	for dir := temporary; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
	m.env = append(m.env, "TMPDIR="+os.TempDir())
	m.each(func(path string, _ fs.FileInfo) {
		if err := os.Lchown(path, int(m.uid), int(m.uid)); err != nil {
			m.t.Fatal(err)
		}
	})
}

func (m *machine) codexHome() string { return filepath.Join(m.home, ".codex") }
func (m *machine) config() string    { return filepath.Join(m.codexHome(), "config.toml") }
func (m *machine) token() string     { return filepath.Join(m.codexHome(), "codex-proxy-token") }

func (m *machine) write(path, text string, mode fs.FileMode) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(path string) string {
	m.t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(raw)
}

func (m *machine) exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func (m *machine) mode(path string) fs.FileMode {
	m.t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		m.t.Fatal(err)
	}
	return info.Mode().Perm()
}

func (m *machine) backups() []string {
	m.t.Helper()
	entries, err := os.ReadDir(m.codexHome())
	if err != nil {
		m.t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if regexp.MustCompile(`^config\.toml\.backup-\d{8}-\d{6}(-\d+)?$`).MatchString(e.Name()) {
			found = append(found, filepath.Join(m.codexHome(), e.Name()))
		}
	}
	return found
}

func (m *machine) each(visit func(path string, info fs.FileInfo)) {
	m.t.Helper()
	err := filepath.Walk(m.home, func(path string, info fs.FileInfo, err error) error {
		if err == nil {
			visit(path, info)
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// state is all there is in the home directory, as one hash.
func (m *machine) state() string {
	hash := sha256.New()
	m.each(func(path string, info fs.FileInfo) {
		fmt.Fprintf(hash, "%q %v ", path, info.Mode())
		switch {
		case info.Mode().IsRegular():
			fmt.Fprintf(hash, "%q", m.read(path))
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			fmt.Fprintf(hash, "%q", target)
		}
	})
	return fmt.Sprintf("%x", hash.Sum(nil))
}

// said is what a run of the script printed, and how it ended.
type said struct {
	out, err string
	code     int
}

// run pipes the script into the shell, as 'curl … | sh -s -- args' does, or 'irm …
// | iex', with no terminal.
func (m *machine) run(script string, args ...string) said {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	words, env := append(strings.Fields(m.shell), "-s", "--"), m.env
	if m.shell == "pwsh" {
		words = []string{m.shell, "-NoProfile", "-NonInteractive", "-Command", "[Console]::In.ReadToEnd() | iex"}
		env = append(env, "CODEX_PROXY_SETUP="+strings.TrimPrefix(strings.Join(args, " "), "--"))
		args = nil
	}
	c := exec.CommandContext(ctx, words[0], append(words[1:], args...)...)
	c.Env, c.Dir, c.Stdin = env, m.home, strings.NewReader(script)
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if m.uid != 0 {
		c.SysProcAttr.Credential = &syscall.Credential{Uid: m.uid, Gid: m.uid}
	}
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	s := said{out.String(), errs.String(), c.ProcessState.ExitCode()}
	if strings.Contains(s.out+s.err, goodToken) {
		m.t.Error("the script printed the token")
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(m.home), "*", "codex-proxy-setup.*"))
	if err != nil || len(left) > 0 {
		m.t.Errorf("temporary files are left: %v, %v", left, err)
	}
	if m.exists(filepath.Join(m.home, "pwned")) {
		m.t.Error("a part of the input was run")
	}
	return s
}

// succeeds runs the script and fails the test when it does not exit with 0.
func (m *machine) succeeds(script string, args ...string) said {
	m.t.Helper()
	s := m.run(script, args...)
	if s.code != 0 {
		m.t.Fatalf("the script with %v exited with %d\n%s%s", args, s.code, s.out, s.err)
	}
	return s
}

// fails runs the script and wants it to exit with code, to say this, and to leave
// the home directory as it was.
func (m *machine) fails(code int, want, script string, args ...string) said {
	m.t.Helper()
	before := m.state()
	s := m.run(script, args...)
	if s.code != code || !strings.Contains(s.err, want) {
		m.t.Errorf("the script with %v exited with %d, want %d, and said, without %q:\n%s%s", args, s.code, code, want, s.out, s.err)
	}
	if m.state() != before {
		m.t.Error("the home directory is not as it was")
	}
	return s
}
