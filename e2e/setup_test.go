package e2e

import (
	"bytes"
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
	"strings"
	"syscall"
	"testing"

	"codex-proxy/internal/simulated"

	"github.com/rogpeppe/go-internal/txtar"
)

// machine is a developer's machine: a home, and what is run in it.
type machine struct {
	*cli
	as *syscall.SysProcAttr
}

// newMachine returns a machine whose Codex has the given config.toml; nil is none.
func (p *proxy) newMachine(t *testing.T, config []byte) *machine {
	t.Helper()
	m := &machine{cli: &cli{t: t, home: t.TempDir()}}
	m.env = []string{"HOME=" + m.home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1"}
	if err := os.Mkdir(m.codexHome(), 0o755); err != nil {
		t.Fatal(err)
	}
	if config != nil {
		if err := os.WriteFile(m.config(), config, 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// lock makes Codex's directory one in which nothing can be made.
func (m *machine) lock() { m.forbid(m.codexHome()) }

// linkAway makes config.toml a link into a directory in which nothing can be
// made, so that it fails when the token is written already.
func (m *machine) linkAway() {
	m.t.Helper()
	dotfiles := filepath.Join(m.home, "dotfiles")
	if err := os.Mkdir(dotfiles, 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dotfiles, "codex.toml"), []byte("model = \"x\"\n"), 0o644); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dotfiles, "codex.toml"), m.config()); err != nil {
		m.t.Fatal(err)
	}
	m.forbid(dotfiles)
}

// forbid takes the right to write from a directory. Root may write everywhere,
// so commands are then run as nobody, to whom all else in the home belongs.
func (m *machine) forbid(dir string) {
	m.t.Helper()
	if err := os.Chmod(dir, 0o555); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = os.Chmod(dir, 0o755) })
	if os.Getuid() != 0 {
		return
	}
	const nobody = 65534
	m.as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	err := filepath.WalkDir(m.home, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, nobody, nobody))
	})
	err = errors.Join(err, os.Chmod(filepath.Dir(binary), 0o755))
	for parent := m.home; err == nil && parent != os.TempDir() && parent != "/"; parent = filepath.Dir(parent) {
		err = os.Chmod(parent, 0o755)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// mustHoldNothingOfOurs fails when something of setup's is left in the home, but
// for the copy of what there was before.
func (m *machine) mustHoldNothingOfOurs() {
	m.t.Helper()
	if config, err := os.ReadFile(m.config()); err == nil && bytes.Contains(config, []byte("written by codex-proxy setup")) {
		m.t.Errorf("config.toml still says:\n%s", config)
	}
	if _, err := os.Lstat(filepath.Join(m.codexHome(), "codex-proxy-token")); err == nil {
		m.t.Error("the token file is still there")
	}
}

func (m *machine) codexHome() string { return filepath.Join(m.home, ".codex") }
func (m *machine) config() string    { return filepath.Join(m.codexHome(), "config.toml") }

// codexProxy runs a command of codex-proxy on the machine.
func (m *machine) codexProxy(args ...string) (out string, code int) {
	m.t.Helper()
	run := exec.CommandContext(m.t.Context(), binary, args...)
	run.Env, run.Dir, run.SysProcAttr = m.env, m.home, m.as
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
		p := newProxy(t, simulated.Options{}, "--websocket", map[bool]string{true: "on", false: "off"}[webSocket])
		token := p.developer("alice@example.com")
		address := "http://" + p.address
		for _, name := range []string{
			"none", "empty", "other_settings", "other_provider", "openai_base_url", "crlf_no_last_newline",
			"byte_order_mark", "multi_line_strings", "dotted_keys", "set_up_before", "codex_wrote_inside",
		} {
			t.Run(fmt.Sprintf("%s, websocket %t", name, webSocket), func(t *testing.T) {
				config := before(t, name)
				m := p.newMachine(t, config)
				p.openai.Play(simulated.Say("Hello from setup"), simulated.Say("Hello from Codex"))
				out, code := m.codexProxy("setup", "--url", address, "--token", token)
				if code != 0 || !strings.Contains(out, "belongs to alice@example.com (team default)") || !strings.Contains(out, "Hello from setup") || strings.Contains(out, token) {
					t.Fatalf("setup exited with %d and said:\n%s", code, out)
				}
				asked := len(p.openai.Received())
				s := m.run("say hello")
				s.must(t, "Hello from Codex")
				s.quiet(t)
				posts, frames := 0, 0
				for _, r := range p.openai.Received()[asked:] {
					switch {
					case r.Transport == simulated.WebSocket:
						frames++
					case r.Method == http.MethodPost:
						posts++
					}
				}
				if (frames > 0) != webSocket || (posts > 0) == webSocket {
					t.Errorf("Codex sent %d frames over a WebSocket and %d requests over HTTP", frames, posts)
				}
				if out, code := m.codexProxy("setup", "--uninstall"); code != 0 {
					t.Fatalf("uninstall exited with %d and said:\n%s", code, out)
				}
				m.mustHoldNothingOfOurs()
				if name == "set_up_before" || name == "codex_wrote_inside" {
					return // it was ours before
				}
				if got, err := os.ReadFile(m.config()); !bytes.Equal(got, config) || (err == nil) != (config != nil) {
					t.Errorf("uninstall left %q, %v, want %q", got, err, config)
				}
			})
		}
	}
}

func TestCodexGoesItsEarlierWayAfterUninstall(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			earlier, now := newProxy(t, simulated.Options{}), newProxy(t, simulated.Options{})
			m := &machine{cli: earlier.newCLI(w, earlier.developer("alice@example.com"))}
			token := now.developer("alice@example.com")
			config, err := os.ReadFile(m.config())
			if err != nil {
				t.Fatal(err)
			}
			now.openai.Play(simulated.Say("Hello"), simulated.Say("Now"))
			if out, code := m.codexProxy("setup", "--url", "http://"+now.address, "--token", token); code != 0 {
				t.Fatalf("setup exited with %d and said:\n%s", code, out)
			}
			m.run("where are you").must(t, "Now")
			if sent := len(earlier.openai.Received()); sent > 0 {
				t.Errorf("the earlier proxy was sent %d requests", sent)
			}
			if out, code := m.codexProxy("setup", "--uninstall"); code != 0 {
				t.Fatalf("uninstall exited with %d and said:\n%s", code, out)
			}
			m.mustHoldNothingOfOurs()
			if got, err := os.ReadFile(m.config()); err != nil || !bytes.Equal(got, config) {
				t.Errorf("uninstall left %q, %v, want %q", got, err, config)
			}
			earlier.openai.Play(simulated.Say("As before"))
			m.run("where are you").must(t, "As before")
		})
	}
}

// TestWhatCodexWritesWhileSetUpStays holds uninstalling to keep what Codex has
// put between our lines.
func TestWhatCodexWritesWhileSetUpStays(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	m := p.newMachine(t, []byte("[tui]\nnotifications = true\n"))
	p.openai.Play(simulated.Say("Hello"))
	if out, code := m.codexProxy("setup", "--url", "http://"+p.address, "--token", token); code != 0 {
		t.Fatalf("setup exited with %d and said:\n%s", code, out)
	}
	for _, args := range [][]string{{"mcp", "add", "files", "--", "files", "--root", "/srv"}, {"features", "enable", "fast_mode"}} {
		run := exec.CommandContext(t.Context(), codex, args...)
		run.Env, run.Dir = m.env, m.home
		if out, err := run.CombinedOutput(); err != nil {
			t.Fatalf("codex %v: %v\n%s", args, err, out)
		}
	}
	if out, code := m.codexProxy("setup", "--uninstall"); code != 0 {
		t.Fatalf("uninstall exited with %d and said:\n%s", code, out)
	}
	m.mustHoldNothingOfOurs()
	got, err := os.ReadFile(m.config())
	if want := "[tui]\nnotifications = true\n\n[mcp_servers.files]\ncommand = \"files\"\nargs = [\"--root\", \"/srv\"]\n\n[features]\nfast_mode = true\n"; err != nil || string(got) != want {
		t.Errorf("uninstall left %q, %v, want %q", got, err, want)
	}
}

// TestAFailedSetupChangesNothing looks at every byte and mode below the home.
func TestAFailedSetupChangesNothing(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	address := "http://" + p.address
	nobody := httptest.NewServer(http.NotFoundHandler())
	defer nobody.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, c := range []struct {
		name, url, token, config string
		arrange                  func(*machine)
		code                     int
		says                     string
	}{
		{name: "an unknown token", url: address, token: "nonsense", code: 1, says: "the proxy does not know this token"},
		{name: "no token", url: address, code: 2, says: "there is no token and no terminal to ask for one"},
		{name: "an unreachable proxy", url: gone.URL, token: token, code: 1, says: "the proxy at " + gone.URL + " cannot be reached"},
		{name: "no proxy there", url: nobody.URL, token: token, code: 1, says: nobody.URL + " is not a codex-proxy"},
		{name: "no address", url: "nowhere", token: token, code: 2, says: `"nowhere" is not an address of the proxy`},
		{name: "a broken config.toml", url: address, token: token, config: "model = \"open\nx = 1\n", code: 1, says: "config.toml: line 1: "},
		{name: "a provider made by hand", url: address, token: token, config: string(before(t, "hand_made_provider")), code: 1, says: "config.toml: line 3: there is a provider"},
		{name: "a directory that cannot be written", url: address, token: token, config: "model = \"x\"\n", arrange: (*machine).lock, code: 1, says: "permission denied. Nothing was changed"},
		{name: "a linked config.toml that cannot be written", url: address, token: token, arrange: (*machine).linkAway, code: 1, says: "permission denied. Nothing was changed"},
		{name: "a dry run", url: address, token: token, config: "model = \"x\"\n", arrange: func(m *machine) {}, code: 0, says: "+model_provider = \"codex-proxy\"\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var config []byte
			if c.config != "" {
				config = []byte(c.config)
			}
			m := p.newMachine(t, config)
			if c.arrange != nil {
				c.arrange(m)
			}
			was := m.hash()
			args := []string{"setup", "--url", c.url}
			if c.token != "" {
				args = append(args, "--token", c.token)
			}
			if c.code == 0 {
				args = append(args, "--dry-run")
			}
			out, code := m.codexProxy(args...)
			if code != c.code || !strings.Contains(out, c.says) || strings.Contains(out, token) {
				t.Errorf("setup exited with %d, want %d, and said, where %q was expected:\n%s", code, c.code, c.says, out)
			}
			if m.hash() != was {
				t.Error("the home is not as it was")
			}
		})
	}
}

// TestAManagedMachineCannotGoRoundTheProxy puts what setup --print prints into
// /etc/codex, in a mount namespace of its own, and lets the developer try.
func TestAManagedMachineCannotGoRoundTheProxy(t *testing.T) {
	if os.Getuid() != 0 || exec.Command("unshare", "--mount", "true").Run() != nil {
		t.Skip("/etc/codex can be made only where root may have mounts of its own (unshare --mount)")
	}
	managed, own := newProxy(t, simulated.Options{}), newProxy(t, simulated.Options{})
	m := managed.newMachine(t, []byte(fmt.Sprintf(`model_provider = "own"
[model_providers.own]
name = "own"
base_url = "http://%[1]s/v1"
wire_api = "responses"
[model_providers.own.auth]
command = "echo"
args = [%[2]q]
[model_providers.codex-proxy]
base_url = "http://%[1]s/v1"
`, own.address, own.developer("alice@example.com"))))
	if err := os.WriteFile(filepath.Join(m.codexHome(), "codex-proxy-token"), []byte(managed.developer("alice@example.com")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	printed, code := m.codexProxy("setup", "--print", "--url", "http://"+managed.address)
	if code != 0 {
		t.Fatalf("setup --print exited with %d and said:\n%s", code, printed)
	}
	unix, _, _ := strings.Cut(printed, "# Windows")
	etc := filepath.Join(t.TempDir(), "etc")
	if out, err := exec.Command("cp", "-a", "/etc", etc).CombinedOutput(); err != nil {
		t.Fatalf("copy /etc: %v\n%s", err, out)
	}
	if err := os.MkdirAll(filepath.Join(etc, "codex"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "codex", "requirements.toml"), []byte(unix), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, attempt := range [][]string{
		nil,
		{"-c", `model_provider="own"`},
		{"-c", `model_provider="openai"`, "-c", fmt.Sprintf(`openai_base_url="http://%s/v1"`, own.address)},
		{"-c", fmt.Sprintf(`model_providers.codex-proxy.base_url="http://%s/v1"`, own.address)},
	} {
		managed.openai.Play(simulated.Say("through the proxy"))
		script := `mount --bind "$0" /etc && exec "$@"`
		args := append([]string{"--mount", "sh", "-c", script, etc, codex, "exec", "--skip-git-repo-check"}, attempt...)
		run := exec.CommandContext(t.Context(), "unshare", append(args, "say hello")...)
		run.Env, run.Dir = m.env, m.home
		var errs bytes.Buffer
		run.Stderr = &errs
		out, err := run.Output()
		if err != nil || strings.TrimSpace(string(out)) != "through the proxy" {
			t.Errorf("codex %v said %q, %v\n%s", attempt, out, err, errs.String())
		}
	}
	if went := len(own.openai.Received()); went > 0 {
		t.Errorf("%d requests went round the proxy", went)
	}
}

func TestDoctorFindsASetUpMachineHealthy(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	m := p.newMachine(t, nil)
	m.env = append(m.env, "PATH="+filepath.Dir(codex)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	p.openai.Play(simulated.Say("Hello"), simulated.Say("Still here"))
	if out, code := m.codexProxy("setup", "--url", "http://"+p.address, "--token", token); code != 0 {
		t.Fatalf("setup exited with %d and said:\n%s", code, out)
	}
	out, code := m.codexProxy("doctor", "--client", "--json")
	var findings []struct{ Check, Verdict, Detail string }
	if err := json.Unmarshal([]byte(out), &findings); err != nil || code != 0 {
		t.Fatalf("doctor exited with %d and said:\n%s", code, out)
	}
	for _, f := range findings {
		if f.Verdict != "ok" {
			t.Errorf("%+v", f)
		}
	}
	if err := os.Truncate(filepath.Join(m.codexHome(), "codex-proxy-token"), 0); err != nil {
		t.Fatal(err)
	}
	if out, code := m.codexProxy("doctor", "--client"); code != 1 || !strings.Contains(out, "codex-proxy-token is empty") {
		t.Errorf("doctor exited with %d and said:\n%s", code, out)
	}
	if s := m.run("hello"); s.code == 0 || !strings.Contains(s.err, "provider auth command `cat` produced an empty token") {
		t.Errorf("without a token, codex said %q\n%s", s.out, s.err)
	}
	if err := os.WriteFile(filepath.Join(m.codexHome(), "codex-proxy-token"), []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.command("developer", "disable", "alice@example.com")
	if out, code := m.codexProxy("doctor", "--client"); code != 1 || !strings.Contains(out, "access for alice@example.com is disabled") || strings.Contains(out, token) {
		t.Errorf("doctor exited with %d and said:\n%s", code, out)
	}
}
