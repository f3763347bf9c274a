// Package e2e runs the real Codex CLI through the real codex-proxy binary,
// against a simulated OpenAI, and looks at what each of the three saw.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/simulated"
)

// organisationKey is the key that only upstream may see.
const organisationKey = "sk-organisation-canary-51c2"

var binary, codex string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

// testMain builds the proxy and finds the CLI.
func testMain(m *testing.M) int {
	codex = os.Getenv("CODEX_CLI")
	if codex == "" {
		if path, err := filepath.Abs("node_modules/.bin/codex"); err == nil {
			if _, err := os.Stat(path); err == nil {
				codex = path
			}
		}
	}
	dir, err := os.MkdirTemp("", "codex-proxy-e2e")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "codex-proxy")
	build := exec.Command("go", "build", "-o", binary, "../cmd/codex-proxy")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build codex-proxy:", err)
		return 1
	}
	return m.Run()
}

// proxy is a codex-proxy in a process of its own, in front of a simulated OpenAI.
type proxy struct {
	t         *testing.T
	openai    *simulated.Server
	data      string
	args      []string
	address   string
	scheme    string   // http or https
	variables []string // of the proxy and of Codex, beside this process's
	process   *exec.Cmd
	log       *output
}

func newProxy(t *testing.T, options simulated.Options, args ...string) *proxy {
	t.Helper()
	return newProxyOn(t, t.TempDir(), options, args...)
}

// newProxyOn starts one on a directory of data that is there already.
func newProxyOn(t *testing.T, data string, options simulated.Options, args ...string) *proxy {
	t.Helper()
	if codex == "" {
		t.Skip("the Codex CLI is not installed: run scripts/test.sh, or name it in CODEX_CLI")
	}
	options.Key, options.Keep, options.KeepBody = organisationKey, 200, 4<<20
	p := &proxy{t: t, openai: simulated.New(options), data: data, scheme: "http", log: &output{}}
	p.startBefore(httptest.NewServer(p.openai), args...)
	return p
}

// startBefore starts it in front of an upstream.
func (p *proxy) startBefore(upstream *httptest.Server, args ...string) {
	t := p.t
	t.Helper()
	p.args = append([]string{"serve", "--upstream", upstream.URL + "/v1", "--data", p.data}, args...)
	t.Cleanup(func() {
		if p.process != nil {
			_ = p.process.Process.Kill()
			_ = p.process.Wait()
		}
		p.openai.Close()
		upstream.Close()
		if t.Failed() {
			t.Logf("the proxy's log:\n%s", p.log)
		}
	})
	p.start("127.0.0.1:0")
}

// start starts the process and waits until it serves.
func (p *proxy) start(listen string) {
	p.t.Helper()
	p.process = exec.Command(binary, append(p.args, "--listen", listen)...)
	p.process.Env = append(append(os.Environ(), p.variables...), "OPENAI_API_KEY="+organisationKey)
	p.process.Stdout = io.Discard
	pipe, err := p.process.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	serving := make(chan string, 1)
	go func() {
		address := regexp.MustCompile(`is serving" address=(\S+)`)
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			fmt.Fprintln(p.log, lines.Text())
			if found := address.FindStringSubmatch(lines.Text()); found != nil {
				serving <- found[1]
			}
		}
	}()
	select {
	case p.address = <-serving:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("the proxy does not serve:\n%s", p.log)
	}
}

// command runs a command of codex-proxy beside the server.
func (p *proxy) command(args ...string) string {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), binary, append(args, "--data", p.data)...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		p.t.Fatalf("codex-proxy %v: %v\n%s", args, err, errs.String())
	}
	return string(out)
}

// tries runs a command that may fail, and returns all that it prints.
func (p *proxy) tries(args ...string) (string, error) {
	out, err := exec.CommandContext(p.t.Context(), binary, append(args, "--data", p.data)...).CombinedOutput()
	return string(out), err
}

// developer adds a developer and returns the token.
func (p *proxy) developer(id string, args ...string) string {
	p.t.Helper()
	var added struct{ Token string }
	if err := json.Unmarshal([]byte(p.command(append([]string{"developer", "add", id, "--json"}, args...)...)), &added); err != nil || added.Token == "" {
		p.t.Fatalf("no token: %v", err)
	}
	return added.Token
}

// row is an exchange as record list prints it.
type row struct {
	ID, Developer, Session, Model, Transport, Outcome, Refusal, Path string
	Status                                                           int
	Warmup                                                           bool
	Usage                                                            struct {
		State  string
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	}
}

// records waits until n exchanges are on record and returns them, the oldest
// first.
func (p *proxy) records(n int) []row {
	p.t.Helper()
	var list []row
	p.eventually(fmt.Sprintf("%d exchanges are on record", n), func() bool {
		list = nil
		if err := json.Unmarshal([]byte(p.command("record", "list", "--json", "--limit", "0")), &list); err != nil {
			p.t.Fatal(err)
		}
		return len(list) >= n
	})
	if len(list) != n {
		p.t.Fatalf("%d exchanges are on record, want %d: %+v", len(list), n, list)
	}
	for i, k := 0, len(list)-1; i < k; i, k = i+1, k-1 {
		list[i], list[k] = list[k], list[i]
	}
	return list
}

func (p *proxy) eventually(what string, is func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("it never came to this: %s", what)
		}
	}
}

// way is how Codex is configured to use the proxy.
type way string

const (
	overHTTP      way = "a provider over HTTP"
	overWebSocket way = "a provider over WebSocket"
	builtIn       way = "the built-in provider"
)

// cli is one developer's Codex, in a home of its own.
type cli struct {
	t           *testing.T
	home, token string
	env         []string
}

// newCLI configures Codex for the proxy.
func (p *proxy) newCLI(w way, token string) *cli {
	p.t.Helper()
	c := &cli{t: p.t, home: p.t.TempDir(), token: token}
	c.env = append(append(os.Environ(), p.variables...), "HOME="+c.home, "CODEX_HOME="+filepath.Join(c.home, ".codex"), "CODEX_PROXY_TOKEN="+token, "NO_COLOR=1")
	config := fmt.Sprintf("openai_base_url = %q\n", p.scheme+"://"+p.address+"/v1")
	if w != builtIn {
		config = fmt.Sprintf(`model_provider = "p"
[model_providers.p]
name = "p"
base_url = "%s://%s/v1"
env_key = "CODEX_PROXY_TOKEN"
wire_api = "responses"
supports_websockets = %t
`, p.scheme, p.address, w == overWebSocket)
	}
	if err := os.MkdirAll(filepath.Join(c.home, ".codex"), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.home, ".codex", "config.toml"), []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if w == builtIn {
		login := exec.CommandContext(p.t.Context(), codex, "login", "--with-api-key")
		login.Env, login.Stdin = c.env, strings.NewReader(token)
		if out, err := login.CombinedOutput(); err != nil {
			p.t.Fatalf("codex login: %v\n%s", err, out)
		}
	}
	return c
}

// said is what a run of Codex printed, and how it ended.
type said struct {
	out, err string
	code     int
	took     time.Duration
}

// start runs codex exec in the background.
func (c *cli) start(args ...string) (wait func() said) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	run := exec.CommandContext(ctx, codex, append([]string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"}, args...)...)
	run.Env, run.Dir = c.env, c.home
	var out, errs bytes.Buffer
	run.Stdout, run.Stderr = &out, &errs
	began := time.Now()
	if err := run.Start(); err != nil {
		cancel()
		c.t.Fatal(err)
	}
	return func() said {
		defer cancel()
		err := run.Wait()
		if ctx.Err() != nil {
			c.t.Errorf("codex did not end: %v\n%s", err, errs.String())
		}
		return said{out.String(), errs.String(), run.ProcessState.ExitCode(), time.Since(began)}
	}
}

func (c *cli) run(args ...string) said {
	c.t.Helper()
	return c.start(args...)()
}

// must fails the test when Codex did not answer with want.
func (s said) must(t *testing.T, want string) {
	t.Helper()
	if s.code != 0 || strings.TrimSpace(s.out) != want {
		t.Fatalf("codex exited with %d and said %q, want %q:\n%s", s.code, s.out, want, s.err)
	}
}

// quiet fails the test when Codex printed an error on the way to its answer.
func (s said) quiet(t *testing.T) {
	t.Helper()
	if strings.Contains(s.err, "ERROR") {
		t.Errorf("codex printed an error:\n%s", s.err)
	}
}

// output is a log that is written and read at once.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
