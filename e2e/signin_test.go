package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/signin/signintest"
	"codex-proxy/internal/simulated"
)

// organisation is an issuer with one developer, a proxy that trusts it, and the
// developer's machine.
type organisation struct {
	*proxy
	*machine
	t      *testing.T
	issuer *signintest.Issuer
}

func newOrganisation(t *testing.T, tokenLife time.Duration, webSocket string) *organisation {
	t.Helper()
	issuer := signintest.New(t)
	issuer.SignInAs(signintest.User{Email: "alice@example.com", Name: "Alice", Groups: []string{"platform-engineers"}})
	settings := filepath.Join(t.TempDir(), "codex-proxy.toml")
	text := fmt.Sprintf(`[oidc]
issuer = %q
client_id = %q
allowed_domains = ["example.com"]
token_life = %q

[oidc.teams]
"nobody" = "b"
"platform-engineers" = "platform"
`, issuer.URL, signintest.ClientID, tokenLife)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newProxy(t, simulated.Options{}, "--config", settings, "--websocket", webSocket)
	o := &organisation{proxy: p, machine: p.newMachine(t, nil), t: t, issuer: issuer}
	// A settings file where Codex happens to run is not the developer's.
	if err := os.WriteFile(filepath.Join(o.home, "codex-proxy.toml"), []byte("url = \"http://127.0.0.1:1\"\nnonsense = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return o
}

// url is the proxy's.
func (o *organisation) url() string { return "http://" + o.address }

// signIn runs a command that signs in, and does what a browser does.
func (o *organisation) signIn(args ...string) string {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), time.Minute)
	defer cancel()
	run := exec.CommandContext(ctx, binary, args...)
	run.Env, run.Dir = append(o.env, "DISPLAY=:0"), o.home
	// No opener is found: the address is on the screen.
	run.Env = append(run.Env, "PATH="+filepath.Dir(codex))
	out, err := run.StdoutPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	var errs strings.Builder
	run.Stderr = &errs
	if err := run.Start(); err != nil {
		o.t.Fatal(err)
	}
	address := regexp.MustCompile(`^  (http://\S+)$`)
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if found := address.FindStringSubmatch(lines.Text()); found != nil {
			if err := o.issuer.Browse(ctx, found[1]); err != nil {
				o.t.Errorf("the browser: %v", err)
			}
		}
	}
	if err := run.Wait(); err != nil {
		o.t.Fatalf("codex-proxy %v: %v\n%s%s", args, err, said.String(), errs.String())
	}
	return said.String()
}

// setUp makes Codex use the sign-in.
func (o *organisation) setUp() {
	o.t.Helper()
	o.openai.Play(simulated.Say("Hello from setup"))
	out := o.signIn("setup", "--url", o.url(), "--sign-in", "--no-keyring")
	if !strings.Contains(out, "You are signed in as alice@example.com (team platform).") || !strings.Contains(out, "Hello from setup") {
		o.t.Fatalf("setup said:\n%s", out)
	}
}

// token is what Codex is given.
func (o *organisation) token() string {
	o.t.Helper()
	out, code := o.codexProxy("token", "get", "--url", o.url())
	if code != 0 || !regexp.MustCompile(`^codexproxy_[0-9A-Za-z_]+\n$`).MatchString(out) {
		o.t.Fatalf("token get exited with %d and said:\n%s", code, out)
	}
	return strings.TrimSpace(out)
}

// awaitEnd waits until the proxy takes a token no more.
func (o *organisation) awaitEnd(token string) {
	o.t.Helper()
	o.eventually("the token has ended", func() bool {
		request, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, o.url()+"/v1/models", nil)
		if err != nil {
			o.t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			o.t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode == http.StatusUnauthorized
	})
}

func TestCodexAnswersThroughASignIn(t *testing.T) {
	for _, webSocket := range []string{"on", "off"} {
		t.Run("websocket "+webSocket, func(t *testing.T) {
			o := newOrganisation(t, time.Hour, webSocket)
			o.setUp()
			o.openai.Play(simulated.Say("Hello Alice"))
			s := o.run("say hello")
			s.must(t, "Hello Alice")
			s.quiet(t)
			if _, err := os.Lstat(filepath.Join(o.codexHome(), "codex-proxy-token")); err == nil {
				t.Error("there is a token file, although no token is to stay")
			}
			token := o.token()
			if strings.Contains(o.log.String(), token) {
				t.Error("the proxy's log has the token")
			}
			out, code := o.codexProxy("setup", "--uninstall")
			if code != 0 {
				t.Fatalf("uninstall exited with %d and said:\n%s", code, out)
			}
			o.mustHoldNothingOfOurs()
			if out, code := o.codexProxy("token", "get", "--url", o.url()); code != 1 || !strings.Contains(out, "you are not signed in on this machine") {
				t.Errorf("after uninstalling, token get exited with %d and said %q", code, out)
			}
		})
	}
}

// TestATokenThatEndsWhileCodexWorksIsNotNoticed lets a tool run for longer than
// the token lives.
func TestATokenThatEndsWhileCodexWorksIsNotNoticed(t *testing.T) {
	for _, webSocket := range []string{"on", "off"} {
		t.Run("websocket "+webSocket, func(t *testing.T) {
			o := newOrganisation(t, 6*time.Second, webSocket)
			o.setUp()
			o.openai.Play(simulated.Run("sleep 8"), simulated.Say("Done"))
			o.run("work for a while").must(t, "Done")
			o.awaitEnd(o.token())
			o.openai.Play(simulated.Say("Still here"))
			o.run("and now").must(t, "Still here")
		})
	}
}

func TestWhoIsDisabledIsRefusedDespiteTheSignIn(t *testing.T) {
	o := newOrganisation(t, time.Hour, "on")
	o.setUp()
	o.command("developer", "disable", "alice@example.com")
	if said := o.run("say hello"); said.code == 0 || !strings.Contains(said.err, "access for alice@example.com is disabled") {
		t.Errorf("codex exited with %d and said %q:\n%s", said.code, said.out, said.err)
	}
}

func TestWhoIsRemovedAtTheIssuerIsOutWithinTheTokensLife(t *testing.T) {
	o := newOrganisation(t, 5*time.Second, "off")
	o.setUp()
	token := o.token()
	o.issuer.Remove("alice@example.com")
	o.awaitEnd(token)
	out, code := o.codexProxy("token", "get", "--url", o.url())
	if code != 1 || !strings.Contains(out, "has ended your sign-in") || !strings.Contains(out, "codex-proxy login --url "+o.url()) {
		t.Errorf("token get exited with %d and said:\n%s", code, out)
	}
	asked := len(o.openai.Received())
	said := o.run("say hello")
	if said.code == 0 || len(o.openai.Received()) != asked {
		t.Errorf("codex exited with %d and said %q; upstream was asked %d times", said.code, said.out, len(o.openai.Received())-asked)
	}
	lines := strings.Split(strings.TrimSpace(said.err), "\n")
	if last := lines[len(lines)-1]; !strings.Contains(last, "has ended your sign-in. If you may still use Codex, sign in: run 'codex-proxy login --url "+o.url()+"'") {
		t.Errorf("codex's last words are %q", last)
	}
}
