package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"codex-proxy/internal/openai"
	"codex-proxy/internal/simulated"
)

// TestCodexSetUpForTheProxySendsWhatItSendsDirect compares all that upstream gets of
// a Codex that goes there directly, and of one that setup has made to use the proxy:
// what it offers the model, how it compacts its history, and over which transport.
func TestCodexSetUpForTheProxySendsWhatItSendsDirect(t *testing.T) {
	for _, c := range []struct {
		name, webSocket string
		isOpenAI        bool
	}{
		{name: "OpenAI", webSocket: "on", isOpenAI: true},
		{name: "OpenAI", webSocket: "off", isOpenAI: true},
		{name: "codex-proxy", webSocket: "on"},
	} {
		t.Run(c.name+", websocket "+c.webSocket, func(t *testing.T) {
			p := newProxy(t, simulated.Options{}, "--provider-name", c.name, "--websocket", c.webSocket)
			token := p.developer("alice@example.com")
			proxied := p.newMachine(t, nil)
			p.openai.Play(simulated.Say("Hello"))
			if out, code := proxied.codexProxy("setup", "--url", "http://"+p.address, "--token", token); code != 0 {
				t.Fatalf("setup exited with %d and said:\n%s", code, out)
			}
			direct := p.newMachine(t, fmt.Appendf(nil, `model_provider = "direct"
[model_providers.direct]
name = %q
base_url = %q
env_key = "DIRECT_KEY"
wire_api = "responses"
supports_websockets = %t
`, c.name, p.upstream(), c.webSocket == "on"))
			direct.env = append(direct.env, "DIRECT_KEY="+organisationKey)

			answers := []simulated.Answer{simulated.Run("echo one"), simulated.Say("done")}
			answers[0].Usage = &openai.Usage{Input: 900_000, Output: 10, Total: 900_010}
			if !c.isOpenAI { // it compacts by asking for a summary
				answers = slices.Insert(answers, 1, simulated.Say("what was done"))
			}
			want, got := p.sentBy(direct, answers), p.sentBy(proxied, answers)
			if len(got) != len(want) {
				t.Fatalf("upstream got %d requests, and %d directly", len(got), len(want))
			}
			for i := range want {
				if want[i] != got[i] {
					t.Errorf("request %d differs:\n%s", i, difference(want[i], got[i]))
				}
			}
			all := strings.Join(got, "\n")
			if searches := strings.Contains(all, "web__run"); searches != c.isOpenAI {
				t.Errorf("web search is offered: %t", searches)
			}
			if triggers := strings.Contains(all, `"compaction_trigger"`); triggers != c.isOpenAI {
				t.Errorf("OpenAI is asked to compact: %t", triggers)
			}
		})
	}
}

// upstream is the address of the simulated OpenAI.
func (p *proxy) upstream() string { return p.args[2] }

// sentBy lets a machine's Codex work until its history is compacted, and returns what
// upstream got of it.
func (p *proxy) sentBy(m *machine, answers []simulated.Answer) (sent []string) {
	p.t.Helper()
	p.openai.Play(answers...)
	before := len(p.openai.Received())
	s := m.run("-c", "model_auto_compact_token_limit=20000", "work for a while")
	s.must(p.t, "done")
	s.quiet(p.t)
	for _, r := range p.openai.Received()[before:] {
		if r.URI != "/v1/models" { // the proxy's own question, once for all
			sent = append(sent, plain(m, r))
		}
	}
	return sent
}

// varying is what differs from run to run: ids and times.
var varying = regexp.MustCompile(strings.Join([]string{
	`(resp|cmp|msg|ctc|call)_[0-9a-f-]+`, `[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, `\d{4}-\d\d-\d\d`,
	`_at_unix_ms\\?":\d+`, `start-ms":"\d+`, `create_time":[0-9.]+`, `Wall time [0-9.]+`,
}, "|"))

// plain is a request without what differs from run to run, and without the headers
// that the proxy decides on.
func plain(m *machine, r simulated.Received) string {
	header := http.Header{}
	for name, values := range r.Header {
		header[name] = values
	}
	for _, owned := range []string{"Authorization", "Accept-Encoding", "Content-Length", "Sec-Websocket-Key", "Sec-Websocket-Extensions"} {
		header.Del(owned)
	}
	var body any
	if len(r.Body) > 0 {
		if err := json.Unmarshal(r.Body, &body); err != nil {
			m.t.Fatalf("a body is no JSON: %v", err)
		}
	}
	sorted, err := json.Marshal(body) // Codex writes client_metadata in any order
	if err != nil {
		m.t.Fatal(err)
	}
	text := fmt.Sprintf("%s %s over %s\n%v\n%s", r.Method, r.URI, r.Transport, header, sorted)
	text = strings.ReplaceAll(text, m.home, "HOME")
	return varying.ReplaceAllString(text, "ID")
}

// difference shows where two texts part.
func difference(want, got string) string {
	at := 0
	for at < min(len(want), len(got)) && want[at] == got[at] {
		at++
	}
	around := func(text string) string { return text[max(0, at-100):min(len(text), at+200)] }
	return fmt.Sprintf("direct: …%s…\nproxied: …%s…", around(want), around(got))
}
