package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"codex-proxy/internal/simulated"
)

// planted is a secret by its form, put together here so that no scanner takes this
// file for a leak.
var planted = "AKIA" + "Q3EGRJ7X5LWNZ4TD"

var placeholder = regexp.MustCompile(`__SECRET_[0-9A-Za-z_]+?__`)

// TestASecretNeverLeavesAndItsPlaceholderWorksOnTheDevelopersMachine lets a tool
// print a key, and the model use what it was shown.
func TestASecretNeverLeavesAndItsPlaceholderWorksOnTheDevelopersMachine(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			p := newProxy(t, simulated.Options{})
			c := p.newCLI(w, p.developer("alice@example.com"))
			if err := os.WriteFile(filepath.Join(c.home, ".env"), []byte("REGION=eu-central-1\nAWS_ACCESS_KEY_ID="+planted+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			p.openai.Play(simulated.Run("cat .env"), simulated.Say("I have read it"))
			c.run("read .env").must(t, "I have read it")
			stand := string(placeholder.Find(last(p.openai.Received()).Body))
			if stand == "" {
				t.Fatal("upstream got no placeholder")
			}

			// The same installation makes the same placeholder in another session.
			turns := []simulated.Answer{simulated.Run("cat .env"), simulated.Run("printf %s '" + stand + "' > used.txt")}
			for range 8 {
				turns = append(turns, simulated.Run("cat used.txt"))
			}
			p.openai.Play(append(turns, simulated.Say("Your key is "+stand+"."))...)
			c.run("use it").must(t, "Your key is "+planted+".")
			if used, err := os.ReadFile(filepath.Join(c.home, "used.txt")); err != nil || string(used) != planted {
				t.Errorf("the command wrote %q, %v", used, err)
			}

			shown := 0
			for i, got := range p.openai.Received() {
				if bytes.Contains(got.Body, []byte(planted)) {
					t.Errorf("upstream got the secret with request %d", i)
				}
				for _, one := range placeholder.FindAllString(string(got.Body), -1) {
					if shown++; one != stand {
						t.Errorf("request %d has the placeholder %s, not %s", i, one, stand)
					}
				}
			}
			if shown < 10 {
				t.Errorf("upstream saw the placeholder %d times", shown)
			}
			want := 2 + 11
			if w != overHTTP {
				want += 2 // the warm-ups
			}
			printed := ""
			for _, r := range p.records(want) {
				printed += p.command("record", "show", r.ID) + p.command("record", "show", r.ID, "--json")
			}
			if strings.Contains(printed+p.written(), planted) {
				t.Error("the secret was written down")
			}
			if list := p.command("secrets", "list"); !strings.Contains(list, "aws") || !strings.Contains(list, "alice@example.com") {
				t.Errorf("secrets list says:\n%s", list)
			}
		})
	}
}

// TestABlockedSecretIsSaidSoAndTheSessionGoesOn reads what the developer reads.
func TestABlockedSecretIsSaidSoAndTheSessionGoesOn(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			settings := filepath.Join(t.TempDir(), "codex-proxy.toml")
			if err := os.WriteFile(settings, []byte("[secrets]\nmode = \"block\"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			p := newProxy(t, simulated.Options{}, "--config", settings)
			c := p.newCLI(w, p.developer("alice@example.com"))
			got := c.run("my key is " + planted)
			if got.code == 0 || !strings.Contains(got.err, "must not leave") || !strings.Contains(got.err, "codex-proxy") || strings.Contains(got.err, "high demand") {
				t.Errorf("codex exited with %d and said %q\n%s", got.code, got.out, got.err)
			}
			p.openai.Play(simulated.Say("Gladly"))
			c.run("resume", "--last", "never mind").must(t, "Gladly")
			for _, received := range p.openai.Received() {
				if bytes.Contains(received.Body, []byte(planted)) {
					t.Error("upstream got the secret")
				}
			}
			if strings.Contains(p.written(), planted) {
				t.Error("the secret was written down")
			}
		})
	}
}

func last[T any](all []T) T { return all[len(all)-1] }
