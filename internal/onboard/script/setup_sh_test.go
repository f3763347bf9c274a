//go:build unix

package script

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// inEveryShell runs a test once for each shell.
func inEveryShell(t *testing.T, test func(t *testing.T, m *machine)) {
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) { test(t, newMachine(t, shell)) })
	}
}

func TestTheShellScriptLeavesWhatTheCaseSays(t *testing.T) {
	cases := readCases(t)
	proxies := newProxies(t, cases)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			inEveryShell(t, func(t *testing.T, m *machine) { holdToCase(t, m, proxies[c.serves], c, "/setup.sh") })
		})
	}
}

// original-awk is what macOS has.
func TestEveryAwkEditsAlike(t *testing.T) {
	cases := readCases(t)
	proxies := newProxies(t, cases)
	for _, awk := range []string{"original-awk", "mawk", "gawk", "busybox"} {
		t.Run(awk, func(t *testing.T) {
			path := lookPath(t, awk)
			if usual, _ := filepath.EvalSymlinks(lookPath(t, "awk")); usual == path {
				t.Skip("it is what awk is here")
			}
			bin := t.TempDir()
			if err := os.Symlink(path, filepath.Join(bin, "awk")); err != nil {
				t.Fatal(err)
			}
			for _, c := range cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					m := newMachine(t, "sh")
					m.env = append(m.env, "PATH="+bin+":"+os.Getenv("PATH"))
					holdToCase(t, m, proxies[c.serves], c, "/setup.sh")
				})
			}
		})
	}
}

// holdToCase sets up, sets up again, and takes it out.
func holdToCase(t *testing.T, m *machine, p *aProxy, c configCase, path string) {
	c = c.on(p.URL, m.token())
	script := p.script(t, path)
	if c.before != nil {
		m.write(m.config(), string(c.before), 0o640)
	}
	if c.fails != "" {
		m.fails(1, c.fails, script)
		return
	}
	shown := m.state()
	if s := m.succeeds(script, "--dry-run"); (string(c.before) != string(c.after)) != strings.Contains(s.out, "\n+") {
		t.Errorf("--dry-run shows no change, or one where there is none:\n%s", s.out)
	}
	if m.state() != shown {
		t.Error("--dry-run changed something")
	}

	m.succeeds(script)
	if diff := cmp.Diff(string(c.after), m.read(m.config())); diff != "" {
		t.Errorf("config.toml (-want +got):\n%s", diff)
	}
	if m.read(m.token()) != goodToken+"\n" || m.mode(m.token()) != 0o600 {
		t.Errorf("the token file is %v and holds %q", m.mode(m.token()), m.read(m.token()))
	}
	wantMode := os.FileMode(0o600)
	if c.before != nil {
		wantMode = 0o640
	}
	if m.mode(m.config()) != wantMode {
		t.Errorf("config.toml has mode %v, want %v", m.mode(m.config()), wantMode)
	}
	if c.before != nil && !strings.Contains(string(c.before), "# codex-proxy: begin (written") {
		if copies := m.backups(); len(copies) != 1 || m.read(copies[0]) != string(c.before) || m.mode(copies[0]) != wantMode {
			t.Errorf("the backups are %v", copies)
		}
	} else if copies := m.backups(); len(copies) != 0 {
		t.Errorf("there are backups of what is all ours: %v", copies)
	}

	before := m.state()
	m.succeeds(script)
	if m.state() != before {
		t.Errorf("a second run changed something; config.toml (-first +second):\n%s", cmp.Diff(string(c.after), m.read(m.config())))
	}

	m.succeeds(script, "--uninstall")
	switch {
	case m.exists(m.token()):
		t.Error("--uninstall left the token")
	case c.uninstalled == nil && m.exists(m.config()):
		t.Errorf("--uninstall left a config.toml that was not there before: %q", m.read(m.config()))
	case c.uninstalled != nil:
		if diff := cmp.Diff(string(c.uninstalled), m.read(m.config())); diff != "" {
			t.Errorf("--uninstall left (-want +got):\n%s", diff)
		}
		if m.mode(m.config()) != wantMode {
			t.Errorf("--uninstall left config.toml with mode %v", m.mode(m.config()))
		}
	}
	if s := m.succeeds(script, "--uninstall"); !strings.Contains(s.out, "nothing to remove") {
		t.Errorf("a second --uninstall said %q", s.out)
	}
}

func TestSetupSaysWhoseTheTokenIsAndShowsAFirstAnswer(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		s := m.succeeds(p.script(t, "/setup.sh"))
		for _, want := range []string{"This token belongs to alice@example.com (team platform).", `A first request was answered: Hello "gpt-6.1-sol" from here, Alice` + "\n"} {
			if !strings.Contains(s.out, want) {
				t.Errorf("it did not say %q:\n%s%s", want, s.out, s.err)
			}
		}
		m.write(m.config(), "model = 'gpt-6.1-luna' # mine\n[x]\nmodel = \"other\"\n", 0o600)
		if s := m.succeeds(p.script(t, "/setup.sh")); !strings.Contains(s.out, "gpt-6.1-luna") {
			t.Errorf("the developer's model was not asked:\n%s", s.out)
		}
	})
}

func TestSettingUpForAnotherAddressIsAMigration(t *testing.T) {
	old, p := newProxy(t, false), newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.write(m.config(), "# mine\nmodel_provider = \"corp\"\n", 0o600)
		before := m.read(m.config())
		m.succeeds(old.script(t, "/setup.sh"))
		m.succeeds(p.script(t, "/setup.sh"))
		if got := m.read(m.config()); strings.Contains(got, old.URL) || !strings.Contains(got, p.URL+"/v1") || !strings.Contains(got, "supports_websockets = true") {
			t.Errorf("config.toml is\n%s", got)
		}
		if copies := m.backups(); len(copies) != 1 || m.read(copies[0]) != before {
			t.Errorf("the backups are %v", copies)
		}
		m.succeeds(p.script(t, "/setup.sh"), "--uninstall")
		if got := m.read(m.config()); got != before {
			t.Errorf("--uninstall left %q", got)
		}
	})
}

func TestAReadOnlyConfigIsReplacedAndStaysReadOnly(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.write(m.config(), "# mine\n", 0o444)
		m.unprivileged()
		m.succeeds(p.script(t, "/setup.sh"))
		if m.mode(m.config()) != 0o444 || !strings.Contains(m.read(m.config()), p.URL) {
			t.Errorf("config.toml is %v:\n%s", m.mode(m.config()), m.read(m.config()))
		}
		m.succeeds(p.script(t, "/setup.sh"), "--uninstall")
		if m.mode(m.config()) != 0o444 || m.read(m.config()) != "# mine\n" {
			t.Errorf("--uninstall left it %v: %q", m.mode(m.config()), m.read(m.config()))
		}
	})
}

func TestWithoutPermissionNothingIsChanged(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.write(m.config(), "# mine\n", 0o644)
		m.unprivileged()
		if err := os.Chmod(m.codexHome(), 0o555); err != nil {
			t.Fatal(err)
		}
		m.fails(1, "you have no permission to write in "+m.codexHome(), p.script(t, "/setup.sh"))
		if err := os.Chmod(m.codexHome(), 0o755); err != nil {
			t.Fatal(err)
		}
		m.succeeds(p.script(t, "/setup.sh"))
		if err := os.Chmod(m.codexHome(), 0o555); err != nil {
			t.Fatal(err)
		}
		m.fails(1, "you have no permission to write in "+m.codexHome(), p.script(t, "/setup.sh"), "--uninstall")
	})
}

func TestAConfigThatCannotBeReadIsLeftAlone(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.write(m.config(), "# mine\n", 0o200)
		m.unprivileged()
		want := "you have no permission to read " + m.config()
		if s := m.run(p.script(t, "/setup.sh")); s.code != 1 || !strings.Contains(s.err, want) {
			t.Errorf("it exited with %d and said %q", s.code, s.err)
		}
		if m.exists(m.token()) || m.mode(m.config()) != 0o200 {
			t.Error("something was changed")
		}
	})
}

func TestASymbolicLinkIsFollowedAndStays(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		target := filepath.Join(m.home, "dot files", "codex.toml")
		m.write(target, "# mine\n", 0o600)
		m.write(filepath.Join(m.codexHome(), "keep"), "", 0o600)
		for link, to := range map[string]string{m.config(): "second.toml", filepath.Join(m.codexHome(), "second.toml"): "../dot files/codex.toml"} {
			if err := os.Symlink(to, link); err != nil {
				t.Fatal(err)
			}
		}
		m.succeeds(p.script(t, "/setup.sh"))
		if to, err := os.Readlink(m.config()); err != nil || to != "second.toml" {
			t.Errorf("the link is %q, %v", to, err)
		}
		if got := m.read(target); !strings.Contains(got, p.URL) || !strings.Contains(got, "# mine\n") {
			t.Errorf("its target holds\n%s", got)
		}
		m.succeeds(p.script(t, "/setup.sh"), "--uninstall")
		if got := m.read(target); got != "# mine\n" {
			t.Errorf("--uninstall left %q", got)
		}
	})
	t.Run("in a circle", func(t *testing.T) {
		m := newMachine(t, "sh")
		m.write(filepath.Join(m.codexHome(), "keep"), "", 0o600)
		if err := os.Symlink("config.toml", m.config()); err != nil {
			t.Fatal(err)
		}
		m.fails(1, "leads in a circle", p.script(t, "/setup.sh"))
	})
}

func TestCodexHomeIsWhereCodexLooks(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		dir := filepath.Join(m.home, `a "quoted" \ folder`)
		m.env = append(m.env, "CODEX_HOME="+dir)
		m.succeeds(p.script(t, "/setup.sh"))
		got := m.read(filepath.Join(dir, "config.toml"))
		if !strings.Contains(got, `a \"quoted\" \\ folder/codex-proxy-token"]`) || m.exists(m.codexHome()) {
			t.Errorf("config.toml is\n%s", got)
		}
		if m.mode(dir) != 0o700 {
			t.Errorf("the new folder has mode %v", m.mode(dir))
		}
	})
}

func TestARefusedTokenChangesNothing(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.write(m.config(), "# mine\n", 0o600)
		s := m.fails(1, "codex-proxy: this token is not known. Ask <ops@example.com> for one.", p.script(t, "/setup.sh"), "--token", "codexproxy_wrong")
		if strings.Contains(s.out+s.err, "codexproxy_wrong") {
			t.Error("it printed the token")
		}
	})
}

func TestNoTokenAndNoTerminalIsAClearError(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.env = append(m.env, "CODEX_PROXY_TOKEN=")
		m.fails(1, "no token: set CODEX_PROXY_TOKEN", p.script(t, "/setup.sh"))
	})
}

func TestAnUnreachableProxyChangesNothing(t *testing.T) {
	p := newProxy(t, true)
	script := p.script(t, "/setup.sh")
	p.Close()
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.fails(1, "cannot reach the proxy at "+p.URL, script)
	})
}

func TestWhatIsNoProxyChangesNothing(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a web page":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`<html>"developer": "x"`)) },
		"nothing found": http.NotFound,
		"JSON of its own": func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, 200, map[string]any{"a": map[string]any{"developer": "x"}})
		},
		"sent elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.com/", http.StatusFound)
		},
		"an empty answer":  func(http.ResponseWriter, *http.Request) {},
		"half a JSON":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"developer`)) },
		"a list":           func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, []string{"developer"}) },
		"an error page":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>oops", 500) },
		"a number of ours": func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, 7) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, true)
			script := p.script(t, "/setup.sh")
			p.Config.Handler = answer
			newMachine(t, "sh").fails(1, "is not a codex-proxy", script)
		})
	}
}

func TestAStoreThatCannotAnswerIsSaidToBeThat(t *testing.T) {
	p := newProxy(t, true)
	script := p.script(t, "/setup.sh")
	p.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"error": map[string]any{"message": "codex-proxy: the store cannot answer just now."}})
	})
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.fails(1, "cannot check the token: codex-proxy: the store cannot answer just now.", script)
	})
}

func TestARefusedFirstRequestLeavesTheSetupAndSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, string)
		want   string
	}{
		"JSON": {func(w http.ResponseWriter, _ string) {
			writeJSON(w, 429, map[string]any{"error": map[string]any{"message": "codex-proxy: the budget is spent."}})
		}, "a first request was refused: codex-proxy: the budget is spent."},
		"a sentence": {func(w http.ResponseWriter, _ string) { http.Error(w, "codex-proxy: this model is not allowed.", 400) }, "a first request was refused: codex-proxy: this model is not allowed."},
		"an event": {func(w http.ResponseWriter, _ string) {
			_, _ = w.Write([]byte("data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"x\",\"message\":\"No more.\"}}}\n\n"))
		}, "a first request failed: No more."},
		"nothing": {func(http.ResponseWriter, string) {}, "got an empty answer"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxy(t, true)
			p.answer = c.answer
			m := newMachine(t, "sh")
			if s := m.run(p.script(t, "/setup.sh")); s.code != 1 || !strings.Contains(s.err, "Codex is set up, but "+c.want) && !strings.Contains(s.err, c.want) {
				t.Errorf("it exited with %d and said %q", s.code, s.err)
			}
			if !strings.Contains(m.read(m.config()), p.URL) || m.read(m.token()) != goodToken+"\n" {
				t.Error("the set-up is not in place")
			}
		})
	}
}

func TestLeftoversAreNamedAndStay(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.env = append(m.env, "OPENAI_API_KEY=sk-canary-in-env", "OPENAI_BASE_URL=https://old.example.com")
		m.write(filepath.Join(m.home, ".bashrc"), "# export OPENAI_API_KEY=x\nexport A=1 OPENAI_API_KEY=sk-canary-in-rc\n", 0o600)
		m.write(filepath.Join(m.home, ".zprofile"), "\n\nexport OPENAI_BASE_URL=\"https://old.example.com\"\n", 0o600)
		m.write(filepath.Join(m.home, ".config/fish/config.fish"), "set -gx OPENAI_API_KEY sk-canary-in-fish\n", 0o600)
		m.write(filepath.Join(m.codexHome(), "auth.json"), `{"OPENAI_API_KEY": "sk-canary-in-auth", "tokens": null}`, 0o600)
		s := m.succeeds(p.script(t, "/setup.sh"))
		for _, want := range []string{
			"OPENAI_API_KEY is set in the environment", "OPENAI_BASE_URL is set in the environment",
			".bashrc, line 2, sets OPENAI_API_KEY", ".zprofile, line 3, sets OPENAI_BASE_URL", "config.fish, line 1, sets OPENAI_API_KEY",
			"auth.json holds an OpenAI API key",
		} {
			if !strings.Contains(s.err, want) {
				t.Errorf("it did not warn that %s:\n%s", want, s.err)
			}
		}
		if strings.Contains(s.out+s.err, "canary") || strings.Contains(s.err, "line 1, sets OPENAI_API_KEY: x") {
			t.Error("it printed a key")
		}
		m.write(filepath.Join(m.codexHome(), "auth.json"), `{"OPENAI_API_KEY":null,"tokens":{"OPENAI_API_KEY":"x"}}`, 0o600)
		if s := m.succeeds(p.script(t, "/setup.sh")); strings.Contains(s.err, "auth.json") {
			t.Errorf("it warned of a login without a key:\n%s", s.err)
		}
	})
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && !info.IsDir() {
			return filepath.Join(dir, name)
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
}
