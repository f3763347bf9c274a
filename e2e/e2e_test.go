package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"codex-proxy/internal/record"
	"codex-proxy/internal/simulated"
)

// ways are all the ways in which Codex can be configured.
var ways = []way{overHTTP, overWebSocket, builtIn}

func TestCodexAnswersThroughTheProxy(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			p := newProxy(t, simulated.Options{})
			token := p.developer("alice@example.com", "--team", "platform")
			p.openai.Play(simulated.Say("Hello Alice"))
			p.newCLI(w, token).run("say hello").must(t, "Hello Alice")

			want := 1
			if w != overHTTP {
				want = 2 // Codex warms the WebSocket up
			}
			list := p.records(want)
			last := list[len(list)-1]
			if last.Developer != "alice@example.com" || last.Outcome != "completed" || last.Usage.State != "exact" || last.Usage.Input == 0 || last.Session == "" || last.Warmup {
				t.Errorf("on record as %+v", last)
			}
			if w != overHTTP && (!list[0].Warmup || list[0].Transport != "websocket") {
				t.Errorf("the warm-up is on record as %+v", list[0])
			}
			for _, r := range p.openai.Received() {
				if r.Header.Get("Authorization") != "Bearer "+organisationKey {
					t.Error("upstream was not shown the organisation's key")
				}
				if bytes.Contains(r.Body, []byte(token)) {
					t.Error("upstream was shown the developer's token")
				}
			}
			shown := p.command("record", "show", last.ID)
			for _, text := range []string{"say hello", "Hello Alice", "alice@example.com", "platform"} {
				if !strings.Contains(shown, text) {
					t.Errorf("record show lacks %q:\n%s", text, shown)
				}
			}
			var doc struct {
				Request, Response struct{ Body string }
			}
			if err := json.Unmarshal([]byte(p.command("record", "show", last.ID, "--json")), &doc); err != nil {
				t.Fatal(err)
			}
			received := p.openai.Received()
			if sent := string(received[len(received)-1].Body); strings.TrimSuffix(doc.Request.Body, "\n") != sent {
				t.Errorf("the record's request is not what upstream received")
			}
			if !strings.Contains(p.command("usage"), "alice@example.com") {
				t.Errorf("usage does not name alice")
			}
		})
	}
}

func TestAToolLoopRunsOnTheDevelopersMachine(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			p := newProxy(t, simulated.Options{})
			c := p.newCLI(w, p.developer("alice@example.com"))
			p.openai.Play(
				simulated.Run("echo first > one.txt"), simulated.Run("cat one.txt > two.txt"), simulated.Run("cat one.txt two.txt > three.txt"),
				simulated.Say("All three are there"),
			)
			c.run("make three files").must(t, "All three are there")
			if got, err := os.ReadFile(filepath.Join(c.home, "three.txt")); err != nil || string(got) != "first\nfirst\n" {
				t.Errorf("the commands left %q, %v", got, err)
			}
			want := 4
			if w != overHTTP {
				want++ // the warm-up
			}
			sessions := map[string]bool{}
			for _, r := range p.records(want) {
				sessions[r.Session] = true
				if r.Outcome != "completed" || r.Usage.State != "exact" {
					t.Errorf("a turn is on record as %+v", r)
				}
			}
			if len(sessions) != 1 {
				t.Errorf("the turns are in %d sessions", len(sessions))
			}
			var usage struct {
				Rows []struct {
					Developer string
					Requests  int
				}
			}
			if err := json.Unmarshal([]byte(p.command("usage", "--json")), &usage); err != nil {
				t.Fatal(err)
			}
			if len(usage.Rows) != 1 || usage.Rows[0].Requests != 4 {
				t.Errorf("usage counts %+v, want 4 requests", usage.Rows)
			}
		})
	}
}

func TestASessionIsResumedAndAnImageIsSeen(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	c := p.newCLI(overHTTP, p.developer("alice@example.com"))
	file := filepath.Join(c.home, "dot.png")
	dot, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, dot, 0o600); err != nil {
		t.Fatal(err)
	}
	p.openai.Play(simulated.Say("A dot"), simulated.Say("You asked about a dot"))
	c.run("-i", file, "--", "what is this").must(t, "A dot")
	c.run("resume", "--last", "what did I ask").must(t, "You asked about a dot")
	list := p.records(2)
	if list[0].Session != list[1].Session {
		t.Errorf("the sessions are %q and %q", list[0].Session, list[1].Session)
	}
	if !bytes.Contains(p.openai.Received()[0].Body, []byte("data:image/png;base64,")) {
		t.Error("the image did not reach upstream")
	}
	if shown := p.command("record", "show", list[0].ID); !strings.Contains(shown, "image/png") {
		t.Errorf("record show lacks the image:\n%s", shown)
	}
}

func TestTwoDevelopersAtOnceAreToldApart(t *testing.T) {
	p := newProxy(t, simulated.Options{Pace: 5 * time.Millisecond})
	alice := p.newCLI(overHTTP, p.developer("alice@example.com")).start("I am alice")
	bob := p.newCLI(builtIn, p.developer("bob@example.com")).start("I am bob")
	for _, wait := range []func() said{alice, bob} {
		if s := wait(); s.code != 0 {
			t.Fatalf("codex exited with %d:\n%s", s.code, s.err)
		}
	}
	for _, r := range p.records(3) { // bob's warm-up is one
		shown := p.command("record", "show", r.ID, "--request", "--raw")
		name, _, _ := strings.Cut(r.Developer, "@")
		if !r.Warmup && !strings.Contains(shown, "I am "+name) {
			t.Errorf("a request of somebody else is on record as %s's", r.Developer)
		}
	}
}

// TestRefusalsAreReadAtOnce holds what the developer reads when the proxy says
// no, and that Codex does not go on asking when the answer will not change.
func TestRefusalsAreReadAtOnce(t *testing.T) {
	for _, c := range []struct {
		name    string
		ways    []way
		arrange func(*proxy, *cli)
		reads   []string
		// most is how many requests may be refused before the developer reads it.
		most int
	}{
		{
			name: "model_not_allowed", ways: ways, most: 1,
			arrange: func(p *proxy, _ *cli) { p.command("team", "set", "default", "--models", "nothing-*") },
			reads:   []string{"codex-proxy: your team \"default\" may not use the model", "(request "},
		},
		{
			name: "budget_exceeded", ways: ways, most: 1,
			arrange: func(p *proxy, c *cli) {
				p.command("team", "set", "default", "--developer-budget", "0.000001", "--contact", "ops@example.com")
				p.openai.Play(simulated.Answer{Text: "spent", Model: "gpt-5.1-codex"})
				if s := c.run("-m", "gpt-5.1-codex", "spend it"); s.code != 0 {
					p.t.Fatalf("codex exited with %d:\n%s", s.code, s.err)
				}
			},
			reads: []string{"hit your usage limit", "codex-proxy: your budget of $0.00", "Ask ops@example.com", "try again at"},
		},
		{
			name: "rate_limited", ways: []way{overHTTP}, most: 1,
			arrange: func(p *proxy, c *cli) {
				p.command("team", "set", "default", "--rate", "1")
				c.run("first")
			},
			reads: []string{"hit your usage limit", "codex-proxy: you have made 1 requests within a minute"},
		},
		{
			name: "token_disabled", ways: []way{overHTTP}, most: 12,
			arrange: func(p *proxy, _ *cli) { p.command("developer", "disable", "alice@example.com") },
			reads:   []string{"401 Unauthorized", "codex-proxy: access for alice@example.com is disabled."},
		},
		{
			name: "token_revoked", ways: []way{overHTTP}, most: 12,
			arrange: func(p *proxy, c *cli) {
				p.command("token", "revoke", strings.Split(c.token, "_")[1])
			},
			reads: []string{"401 Unauthorized", "was revoked on"},
		},
	} {
		for _, w := range c.ways {
			t.Run(c.name+"/"+string(w), func(t *testing.T) {
				p := newProxy(t, simulated.Options{})
				alice := p.newCLI(w, p.developer("alice@example.com"))
				c.arrange(p, alice)
				s := alice.run("do something")
				if s.code == 0 {
					t.Fatalf("codex said %q", s.out)
				}
				for _, want := range c.reads {
					if !strings.Contains(s.err, want) {
						t.Errorf("the developer does not read %q:\n%s", want, s.err)
					}
				}
				refused := 0
				for _, r := range p.recordsOf(c.name) {
					refused++
					if r.Outcome != "refused" || r.Developer != "alice@example.com" {
						t.Errorf("on record as %+v", r)
					}
				}
				most := c.most
				if w != overHTTP {
					most++ // the warm-up is refused first
				}
				if refused == 0 || refused > most {
					t.Errorf("%d requests were refused before the developer read it, want 1 to %d", refused, most)
				}
				if origin := p.command("record", "origin", "codex-proxy:"); !strings.Contains(origin, "proxy") {
					t.Errorf("record origin does not say who said it:\n%s", origin)
				}
			})
		}
	}
}

// recordsOf waits for refusals of a reason and returns those on record.
func (p *proxy) recordsOf(reason string) (list []row) {
	p.t.Helper()
	p.eventually("a refusal is on record", func() bool {
		var all []row
		if err := json.Unmarshal([]byte(p.command("record", "list", "--json", "--limit", "0", "--outcome", "refused")), &all); err != nil {
			p.t.Fatal(err)
		}
		list = nil
		for _, r := range all {
			if r.Refusal == reason {
				list = append(list, r)
			}
		}
		return len(list) > 0
	})
	return list
}

func TestATokenThatIsUnknownIsSaidSo(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	s := p.newCLI(overHTTP, "sk-my-own-key-from-before").run("hello")
	if s.code == 0 || !strings.Contains(s.err, "401 Unauthorized") || !strings.Contains(s.err, "codex-proxy: this looks like a key of OpenAI's") {
		t.Errorf("codex exited with %d:\n%s", s.code, s.err)
	}
	if len(p.openai.Received()) > 0 {
		t.Error("upstream saw it")
	}
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	p := newProxy(t, simulated.Options{}, "--max-body", "1")
	c := p.newCLI(overHTTP, p.developer("alice@example.com"))
	noise := image.NewRGBA(image.Rect(0, 0, 900, 900))
	for i := range noise.Pix {
		noise.Pix[i] = byte(rand.Uint32()) | byte(i%4/3*255) // opaque
	}
	var picture bytes.Buffer
	if err := png.Encode(&picture, noise); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(c.home, "noise.png")
	if err := os.WriteFile(file, picture.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := c.run("-i", file, "--", "what is this")
	if s.code == 0 || !strings.Contains(s.err, "codex-proxy: the request's body is larger than the 1 MiB") {
		t.Errorf("codex exited with %d:\n%.2000s", s.code, s.err)
	}
	if refused := p.recordsOf("too_large"); len(refused) != 1 {
		t.Errorf("it was refused %d times", len(refused))
	}
}

func TestWithoutWebSocketsCodexGoesOnOverHTTPAtOnce(t *testing.T) {
	p := newProxy(t, simulated.Options{}, "--websocket", "off")
	p.openai.Play(simulated.Say("over HTTP"))
	s := p.newCLI(builtIn, p.developer("alice@example.com")).run("hello")
	s.must(t, "over HTTP")
	for _, r := range p.openai.Received() {
		if r.Transport != "http" || r.Method != "POST" {
			t.Errorf("upstream saw %s %s over %s", r.Method, r.URI, r.Transport)
		}
	}
}

func TestUpstreamThatCannotBeReachedIsSaidSo(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	p.stop(syscall.SIGTERM)
	p.args = []string{"serve", "--upstream", "http://127.0.0.1:1/v1", "--data", p.data}
	p.start("127.0.0.1:0")
	s := p.newCLI(overHTTP, token).run("hello")
	if s.code == 0 || !strings.Contains(s.err, "502 Bad Gateway") || !strings.Contains(s.err, "codex-proxy: OpenAI (127.0.0.1:1) could not be reached") {
		t.Errorf("codex exited with %d:\n%s", s.code, s.err)
	}
}

// stop ends the process and waits for it.
func (p *proxy) stop(signal syscall.Signal) error {
	_ = p.process.Process.Signal(signal)
	err := p.process.Wait()
	p.process = nil
	return err
}

func TestCodexRecoversFromACutStream(t *testing.T) {
	for _, w := range ways {
		t.Run(string(w), func(t *testing.T) {
			p := newProxy(t, simulated.Options{})
			p.openai.Play(simulated.Cut("half of an answer", 4), simulated.Say("whole again"))
			p.newCLI(w, p.developer("alice@example.com")).run("hello").must(t, "whole again")
			outcomes := map[string]int{}
			want := 2
			if w != overHTTP {
				want = len(p.waitRecords("upstream_error", "completed"))
			}
			for _, r := range p.records(want) {
				outcomes[r.Outcome]++
				if r.Outcome == "upstream_error" && r.Usage.State != "estimated" {
					t.Errorf("the usage of the cut one is %s", r.Usage.State)
				}
			}
			if outcomes["upstream_error"] != 1 || outcomes["completed"] == 0 {
				t.Errorf("on record as %v", outcomes)
			}
		})
	}
}

// waitRecords waits until exchanges with all these outcomes are on record.
func (p *proxy) waitRecords(outcomes ...string) (list []row) {
	p.t.Helper()
	p.eventually("all outcomes are on record", func() bool {
		list = nil
		if err := json.Unmarshal([]byte(p.command("record", "list", "--json", "--limit", "0")), &list); err != nil {
			p.t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, r := range list {
			seen[r.Outcome] = true
		}
		for _, o := range outcomes {
			if !seen[o] {
				return false
			}
		}
		return true
	})
	time.Sleep(300 * time.Millisecond) // whatever else is on its way to the archive
	if err := json.Unmarshal([]byte(p.command("record", "list", "--json", "--limit", "0")), &list); err != nil {
		p.t.Fatal(err)
	}
	return list
}

func TestADeveloperDisabledInMidStreamIsCutOff(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	p.openai.Play(simulated.Stall("thinking", 5))
	wait := p.newCLI(overHTTP, p.developer("alice@example.com")).start("hello")
	if err := p.openai.Await(t.Context(), func(all []simulated.Received) bool { return len(all) == 1 }); err != nil {
		t.Fatal(err)
	}
	p.command("developer", "disable", "alice@example.com")
	disabled := time.Now()
	if err := p.openai.Await(t.Context(), func(all []simulated.Received) bool { return all[0].ClientGone }); err != nil {
		t.Fatal(err)
	}
	if after := time.Since(disabled); after > 10*time.Second { // 5 s, and room for a busy machine
		t.Errorf("the stream ended %s after", after)
	}
	if s := wait(); s.code == 0 || !strings.Contains(s.err, "access for alice@example.com is disabled") {
		t.Errorf("codex exited with %d:\n%s", s.code, s.err)
	}
	list := p.waitRecords("interrupted", "refused")
	if list[len(list)-1].Outcome != "interrupted" {
		t.Errorf("the first is on record as %s", list[len(list)-1].Outcome)
	}
}

func TestAKilledProxyLosesNoRecordAndCodexRecovers(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	p.openai.Play(simulated.Stall("thinking", 5), simulated.Say("after the restart"))
	wait := p.newCLI(overHTTP, p.developer("alice@example.com")).start("hello")
	if err := p.openai.Await(t.Context(), func(all []simulated.Received) bool { return len(all) == 1 }); err != nil {
		t.Fatal(err)
	}
	p.eventually("the request is in the spool", func() bool { return p.spooled() > 4<<10 })
	address := p.address
	_ = p.stop(syscall.SIGKILL)
	p.start(address)
	wait().must(t, "after the restart")
	list := p.records(2)
	if list[0].Outcome != "interrupted" || list[0].Usage.State != "estimated" || list[1].Outcome != "completed" {
		t.Errorf("on record as %+v", list)
	}
}

// spooled is how many bytes the spool has on disk.
func (p *proxy) spooled() (size int64) {
	logs, _ := filepath.Glob(filepath.Join(p.data, "spool", "*.log")) // the pattern is well formed
	for _, path := range logs {
		if info, err := os.Stat(path); err == nil {
			size += info.Size()
		}
	}
	return size
}

func TestAStreamFinishesBeforeTheProxyExits(t *testing.T) {
	for _, w := range []way{overHTTP, builtIn} {
		t.Run(string(w), func(t *testing.T) {
			p := newProxy(t, simulated.Options{})
			p.openai.Play(simulated.Answer{Text: "slow but whole", Fault: simulated.Fault{Between: 150 * time.Millisecond}})
			wait := p.newCLI(w, p.developer("alice@example.com")).start("hello")
			if err := p.openai.Await(t.Context(), func(all []simulated.Received) bool {
				return len(all) > 0 && bytes.Contains(all[len(all)-1].Body, []byte("hello"))
			}); err != nil {
				t.Fatal(err)
			}
			if err := p.stop(syscall.SIGTERM); err != nil {
				t.Errorf("the proxy exited with %v", err)
			}
			wait().must(t, "slow but whole")
			list := p.records(map[way]int{overHTTP: 1, builtIn: 2}[w])
			if last := list[len(list)-1]; last.Outcome != "completed" || last.Usage.State != "exact" {
				t.Errorf("on record as %+v", last)
			}
			if left, _ := filepath.Glob(filepath.Join(p.data, "spool", "*.log")); len(left) > 0 {
				t.Errorf("the spool still holds %v", left)
			}
		})
	}
}

func TestNoCredentialIsAnywhere(t *testing.T) {
	p := newProxy(t, simulated.Options{})
	token := p.developer("alice@example.com")
	for _, w := range ways {
		p.newCLI(w, token).run("hello")
	}
	p.records(5)
	printed := p.written()
	for name, secret := range map[string]string{"the organisation's key": organisationKey, "the token": token} {
		if strings.Contains(printed, secret) {
			t.Errorf("%s was written down", name)
		}
	}
}

// written returns everything that the proxy has written down, logged, and prints
// of it.
func (p *proxy) written() (printed string) {
	p.t.Helper()
	printed = p.command("usage") + p.command("record", "list", "--json") + p.command("token", "list", "--json") + p.log.String()
	err := filepath.WalkDir(p.data, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".zst") {
			doc, err := record.ReadDocument(bytes.NewReader(raw))
			if err != nil {
				return err
			}
			if raw, err = json.Marshal(doc); err != nil {
				return err
			}
		}
		printed += string(raw)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return printed
}
