package simulated_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"codex-proxy/internal/openai"
	"codex-proxy/internal/simulated"
)

// The tests here run the real Codex CLI. They are skipped where it is not
// installed: see codexCLI.

func TestCodexPrintsAnAnswer(t *testing.T) {
	sim := simulated.New(simulated.Options{Key: "sk-simulated", Keep: 10})
	codex := newCodex(t, sim, overHTTP)
	sim.Play(simulated.Answer{Text: "Hello from the simulation.", Reasoning: "Thinking it over."})

	out := codex.exec(t, "say hello")

	if !strings.Contains(out.stdout, "Hello from the simulation.") {
		t.Errorf("Codex did not print the answer:\n%s", out)
	}
	if warnings := strings.Count(out.stderr, "warning:"); warnings != 0 {
		t.Errorf("Codex warned:\n%s", out)
	}
}

func TestCodexRunsAToolLoop(t *testing.T) {
	for _, way := range []way{overHTTP, overWebSocket, builtIn} {
		for _, model := range []string{"gpt-6.1-sol", "gpt-5.1-codex"} {
			t.Run(string(way)+"/"+model, func(t *testing.T) {
				sim := simulated.New(simulated.Options{Key: "sk-simulated", Keep: 100})
				codex := newCodex(t, sim, way)
				if err := os.WriteFile(filepath.Join(codex.work, "file"), []byte("three\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				sim.Play(
					simulated.Run("echo one"),
					simulated.Run("echo two"),
					simulated.Run("cat file"),
					simulated.Say("done"),
				)

				out := codex.exec(t, "-m", model, "run the three commands")

				if out.stdout != "done\n" {
					t.Errorf("Codex did not print just the last answer:\n%s", out)
				}
				calls := modelCalls(sim, way)
				if len(calls) != 4 {
					t.Fatalf("%d model calls came %s, want 4:\n%s", len(calls), way, out)
				}
				for i, want := range []string{"one", "two", "three"} {
					if output := lastOutput(calls[i+1].Body); !strings.Contains(output, want) {
						t.Errorf("the output of command %d is %q, want it to hold %q", i+1, output, want)
					}
				}
			})
		}
	}
}

// modelCalls are the calls that were to generate something, and came the way
// that they should.
func modelCalls(sim *simulated.Server, w way) []simulated.Received {
	transport := simulated.WebSocket
	if w == overHTTP {
		transport = simulated.HTTP
	}
	var calls []simulated.Received
	for _, received := range sim.Received() {
		warmUp := gjson.GetBytes(received.Body, "generate").Raw == "false"
		if received.Transport == transport && received.URI == "/v1/responses" && received.BodyBytes > 0 && !warmUp {
			calls = append(calls, received)
		}
	}
	return calls
}

func TestCodexShowsWhatAPromptAsksToBreak(t *testing.T) {
	for _, test := range []struct{ prompt, says string }{
		{"simulate: quota", "Quota exceeded. Check your plan and billing details."},
		{"simulate: usage-limit", "You’ve hit your usage limit."},
		{"simulate: 400", "Bad Request"},
		{"simulate: tools", "Nothing was changed."},
	} {
		t.Run(test.prompt, func(t *testing.T) {
			sim := simulated.New(simulated.Options{})
			out := newCodex(t, sim, overHTTP).exec(t, test.prompt)
			if !strings.Contains(out.stdout+out.stderr, test.says) {
				t.Errorf("Codex did not say %q:\n%s", test.says, out)
			}
		})
	}
}

func TestCodexFallsBackToHTTPWhenTheUpgradeIsRefused(t *testing.T) {
	sim := simulated.New(simulated.Options{RefuseUpgrade: 426, Keep: 10})
	codex := newCodex(t, sim, overWebSocket)
	sim.Play(simulated.Say("over HTTP then"))

	out := codex.exec(t, "say something")

	if !strings.Contains(out.stdout, "over HTTP then") {
		t.Errorf("Codex did not print the answer:\n%s", out)
	}
}

func TestCodexCompactsItsHistory(t *testing.T) {
	sim := simulated.New(simulated.Options{Keep: 10})
	codex := newCodex(t, sim, builtIn)
	full := simulated.Run("echo one")
	full.Usage = &openai.Usage{Input: 900_000, Output: 10, Total: 900_010}
	sim.Play(full, simulated.Say("compacted and done"))

	out := codex.exec(t, "-c", "model_auto_compact_token_limit=20000", "work for a while")

	if out.stdout != "compacted and done\n" {
		t.Errorf("Codex did not go on after it had compacted:\n%s", out)
	}
	if !strings.Contains(out.stderr, "context compacted") {
		t.Errorf("Codex did not compact:\n%s", out)
	}
}

func TestCodexSearchesTheWeb(t *testing.T) {
	sim := simulated.New(simulated.Options{Keep: 10})
	sim.Play(
		simulated.Answer{Calls: []simulated.Call{{
			Name: "exec", Input: `text(JSON.stringify(await tools.web__run({search_query: [{q: "weather in Oslo"}]})))`,
		}}},
		simulated.Say("it rains"),
	)

	out := newCodex(t, sim, builtIn).exec(t, "look it up")

	if out.stdout != "it rains\n" {
		t.Errorf("Codex did not go on after its search:\n%s", out)
	}
	calls := modelCalls(sim, builtIn)
	if got := lastOutput(calls[len(calls)-1].Body); !strings.Contains(got, "Simulated page about weather in Oslo") {
		t.Errorf("what Codex found is %s", got)
	}
}

// way is how Codex is told to reach the simulated OpenAI.
type way string

const (
	overHTTP      way = "over HTTP"
	overWebSocket way = "over a WebSocket"
	builtIn       way = "by the built-in provider" // which uses a WebSocket
)

// codex is a Codex CLI with a home of its own, configured for one simulated
// OpenAI.
type codex struct {
	cli, home, work string
}

func newCodex(t *testing.T, sim *simulated.Server, w way) *codex {
	t.Helper()
	c := &codex{cli: codexCLI(t), home: t.TempDir(), work: t.TempDir()}
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Cleanup(sim.Close)

	config := fmt.Sprintf("openai_base_url = %q\n", server.URL+"/v1")
	if w != builtIn {
		config = fmt.Sprintf(`model_provider = "simulated"

[model_providers.simulated]
name = "simulated"
base_url = "%s/v1"
env_key = "SIMULATED_KEY"
wire_api = "responses"
supports_websockets = %t
`, server.URL, w == overWebSocket)
	}
	if err := os.WriteFile(filepath.Join(c.home, "config.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if w == builtIn {
		login := c.command(t.Context(), "login", "--with-api-key")
		login.Stdin = strings.NewReader("sk-simulated")
		if out, err := login.CombinedOutput(); err != nil {
			t.Fatalf("codex login: %v\n%s", err, out)
		}
	}
	return c
}

func (c *codex) command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, c.cli, args...)
	command.Dir = c.work
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "CODEX_HOME=" + c.home,
		"SIMULATED_KEY=sk-simulated", "NO_PROXY=127.0.0.1",
	}
	command.WaitDelay = 5 * time.Second
	return command
}

// codexCLI finds the Codex CLI.
func codexCLI(t *testing.T) string {
	t.Helper()
	candidates := []string{"../../node_modules/.bin/codex", "../../e2e/node_modules/.bin/codex"}
	if named := os.Getenv("CODEX_CLI"); named != "" {
		candidates = []string{named}
	}
	for _, candidate := range candidates {
		if _, err := os.Stat(candidate); err == nil {
			path, err := filepath.Abs(candidate)
			if err != nil {
				t.Fatal(err)
			}
			return path
		}
	}
	t.Skipf("the Codex CLI is in none of %q: run 'npm install @openai/codex' in e2e, or set CODEX_CLI to its path", candidates)
	return ""
}

// printed is what Codex printed, and how it ended.
type printed struct {
	stdout, stderr string
	err            error
}

func (p printed) String() string {
	return fmt.Sprintf("--- stdout\n%s\n--- stderr\n%s\n--- %v", p.stdout, p.stderr, p.err)
}

// exec runs codex exec with the arguments, the prompt last, for a minute at most.
func (c *codex) exec(t *testing.T, args ...string) printed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	args = append([]string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"}, args...)
	command := c.command(ctx, args...)
	var stdout, stderr strings.Builder
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if ctx.Err() != nil {
		t.Errorf("codex %q did not end within a minute", args)
	}
	return printed{stdout.String(), stderr.String(), err}
}

// lastOutput is the text of the last tool output in a call's input.
func lastOutput(body []byte) string {
	var text string
	gjson.GetBytes(body, "input").ForEach(func(_, item gjson.Result) bool {
		if strings.HasSuffix(item.Get("type").Str, "_call_output") {
			text = item.Get("output").Raw
		}
		return true
	})
	return text
}
