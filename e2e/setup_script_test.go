package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"codex-proxy/internal/simulated"
)

// TestCodexAnswersAfterTheSetupScript pipes the script that the proxy serves into
// a shell, as a developer does, runs Codex, and takes it out again.
func TestCodexAnswersAfterTheSetupScript(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com", "--team", "platform")
	address := "http://" + p.address

	type existing struct {
		name, config string
		mode         os.FileMode
		link         bool
	}
	shells := []string{"dash", "bash", "zsh"}
	for i, e := range []existing{
		{name: "no config"},
		{name: "empty", mode: 0o644},
		{name: "commented", config: "# my Codex\n# model = \"x\"\n\n[tui]\n# nothing\n", mode: 0o644},
		{name: "another provider", config: "model_provider = \"corp\"\n[model_providers.corp]\nname = \"corp\"\nbase_url = \"http://127.0.0.1:1/v1\"\nenv_key = \"NONE\"\n", mode: 0o600},
		{name: "openai_base_url", config: "openai_base_url = \"http://127.0.0.1:1/v1\"\n", mode: 0o600},
		{name: "read-only", config: "# mine\n", mode: 0o444},
		{name: "symbolic link", config: "# mine", mode: 0o600, link: true},
		{name: "CR LF", config: "# mine\r\nmodel_provider = \"openai\"\r\n[tui]\r\nnotifications = true\r\n", mode: 0o600},
		{name: "set up for another address", config: "# codex-proxy: begin\nmodel_provider = \"codex-proxy\"\n# codex-proxy: end\n\n# codex-proxy: begin\n[model_providers.codex-proxy]\nname = \"codex-proxy\"\nbase_url = \"http://127.0.0.1:1/v1\"\nenv_key = \"NONE\"\n# codex-proxy: end\n", mode: 0o600},
	} {
		shell := shells[i%len(shells)]
		t.Run(e.name+" under "+shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skipf("%s is not installed", shell)
			}
			c := &cli{t: t, home: t.TempDir(), token: token}
			c.env = []string{"HOME=" + c.home, "PATH=" + os.Getenv("PATH"), "NO_COLOR=1"}
			config := filepath.Join(c.home, ".codex", "config.toml")
			if e.mode != 0 {
				file := config
				if e.link {
					file = filepath.Join(c.home, "codex.toml")
				}
				if err := os.Mkdir(filepath.Join(c.home, ".codex"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(e.config), e.mode); err != nil {
					t.Fatal(err)
				}
				if e.link {
					if err := os.Symlink("../codex.toml", config); err != nil {
						t.Fatal(err)
					}
				}
			}

			p.openai.Play(simulated.Say("Hello from\nthe setup"))
			out := c.pipe(shell, address, "")
			if !strings.Contains(out, "This token belongs to alice@example.com (team platform).") || !strings.Contains(out, "A first request was answered: Hello from\n") {
				t.Errorf("the script said:\n%s", out)
			}
			p.openai.Play(simulated.Say("Hello Alice"))
			s := c.run("say hello")
			s.must(t, "Hello Alice")
			s.quiet(t)

			c.pipe(shell, address, "--uninstall")
			after, err := os.ReadFile(config)
			switch {
			case e.mode == 0:
				if !os.IsNotExist(err) {
					t.Errorf("--uninstall left %q", after)
				}
			case strings.Contains(e.config, "codex-proxy: begin"):
				if err != nil && !os.IsNotExist(err) || strings.Contains(string(after), "model_provider") {
					t.Errorf("--uninstall left %q", after)
				}
			case err != nil || !strings.HasPrefix(string(after), e.config):
				// Codex may have written behind it.
				t.Errorf("--uninstall left %q, %v", after, err)
			}
		})
	}
	for _, r := range p.openai.Received() {
		if r.Header.Get("Authorization") != "Bearer "+organisationKey {
			t.Error("upstream was not shown the organisation's key")
		}
	}
}

// pipe does 'curl … | shell' and returns what it printed.
func (c *cli) pipe(shell, address, option string) string {
	c.t.Helper()
	run := exec.CommandContext(c.t.Context(), shell, "-c", `curl -fsSL "$1/setup.sh" | "$0" -s -- $2`, shell, address, option)
	run.Env, run.Dir = append(c.env, "CODEX_PROXY_TOKEN="+c.token), c.home
	out, err := run.CombinedOutput()
	if err != nil {
		c.t.Fatalf("the script failed: %v\n%s", err, out)
	}
	return string(out)
}
