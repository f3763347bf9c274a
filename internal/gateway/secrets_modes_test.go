package gateway_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/simulated"
)

const block = `mode = "block"`

// mention is a request of a conversation in which a message has a text, and so
// many more follow.
func mention(text string, later int) []byte {
	body := `{"type":"response.create","model":"gpt-5.1-codex","stream":true,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"` + text + `"}]}`
	return []byte(body + strings.Repeat(`,{"type":"message","role":"user","content":[{"type":"input_text","text":"go on"}]}`, later) + `]}`)
}

// TestABlockedSecretRefusesItsRequestAndNotTheConversation: Codex keeps what was
// refused in its history.
func TestABlockedSecretRefusesItsRequestAndNotTheConversation(t *testing.T) {
	f := newFixture(t, options{secrets: block})
	ask := func(body []byte) (*http.Response, string) {
		r := f.request("POST", "/v1/responses", bytes.NewReader(body))
		r.Header.Set("Session_id", "0199a213-81c0-7800-8aa1-bbab2a035a53")
		response, answer := f.do(r)
		return response, string(answer)
	}
	for range 2 { // Codex's own retry is the same request
		response, answer := ask(mention(planted, 0))
		if response.StatusCode != http.StatusBadRequest || response.Header.Get("X-Codex-Proxy-Refusal") != "secret_blocked" ||
			!strings.Contains(answer, "aws") || !strings.Contains(answer, "input[0].content[0].text") || strings.Contains(answer, planted) {
			t.Errorf("%s %s", response.Status, answer)
		}
	}
	if got := f.openai.Received(); len(got) > 0 {
		t.Fatalf("upstream got %d requests", len(got))
	}
	response, answer := ask(mention(planted, 1))
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the conversation ends with %s %s", response.Status, answer)
	}
	if sent := f.openai.Received()[0].Body; bytes.Contains(sent, []byte(planted)) || !placeholders.Match(sent) {
		t.Error("the secret left with the next turn")
	}
	all := f.exchanges(3)
	for i, want := range []exchange.FindingMode{exchange.Blocked, exchange.Blocked, exchange.Redacted} {
		if found := all[i].Findings; len(found) != 1 || found[0].Mode != want {
			t.Errorf("exchange %d has the findings %+v", i, found)
		}
	}
	if all[0].Outcome != exchange.Refused || all[2].Outcome != exchange.Completed {
		t.Errorf("the outcomes are %s and %s", all[0].Outcome, all[2].Outcome)
	}
	f.mustHoldNowhere(planted)
}

func TestABlockedSecretIsRefusedInsideAWebSocketThatGoesOn(t *testing.T) {
	f := newFixture(t, options{secrets: block})
	c := f.dial()
	defer func() { _ = c.CloseNow() }()
	ask := func(body []byte) string {
		if err := c.Write(t.Context(), websocket.MessageText, body); err != nil {
			t.Fatal(err)
		}
		for {
			_, message, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if said := string(message); strings.Contains(said, `"error"`) && !strings.Contains(said, `"error":null`) || strings.Contains(said, `"response.completed"`) {
				return said
			}
		}
	}
	if said := ask(mention(planted, 0)); !strings.Contains(said, "must not leave") || strings.Contains(said, planted) {
		t.Errorf("it answers %s", said)
	}
	if said := ask(mention(planted, 1)); !strings.Contains(said, `"response.completed"`) {
		t.Errorf("then %s", said)
	}
	for _, got := range f.openai.Received() {
		if bytes.Contains(got.Body, []byte(planted)) {
			t.Error("upstream got the secret")
		}
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
	f.exchanges(2)
	f.mustHoldNowhere(planted)
}

func TestWhereSecretsAreOnlyReportedEverythingLeaves(t *testing.T) {
	f := newFixture(t, options{secrets: `mode = "report"`, limits: func(l *gateway.Limits) { l.Search = 4 << 10 }})
	large := mention(strings.Repeat("long ", 2000), 0)
	odd := []byte("not of this coding")
	for i, c := range []struct {
		body   []byte
		coding string
		found  int
	}{{mention(planted, 0), "", 1}, {large, "", 0}, {odd, "br", 0}} {
		r := f.request("POST", "/v1/responses", bytes.NewReader(c.body))
		if c.coding != "" {
			r.Header.Set("Content-Encoding", c.coding)
		}
		f.do(r)
		if got := f.openai.Received(); len(got) != i+1 || !bytes.Equal(got[i].Body, c.body) {
			t.Fatalf("request %d did not leave as it was", i)
		}
		if e := f.exchanges(i + 1)[i]; len(e.Findings) != c.found || c.found > 0 && e.Findings[0].Mode != exchange.Reported {
			t.Errorf("request %d has the findings %+v", i, e.Findings)
		}
	}
	if said := f.log.String(); !strings.Contains(said, "too large to be searched") || !strings.Contains(said, "could not be searched") {
		t.Errorf("nobody is told: %s", said)
	}
}

func TestWhatIsTooLargeToBeSearchedDoesNotLeave(t *testing.T) {
	f := newFixture(t, options{limits: func(l *gateway.Limits) { l.Search = 64 << 10 }})
	bomb := must(zstd.NewWriter(nil)).EncodeAll(bytes.Repeat([]byte(" "), 1<<20), nil)
	for i, c := range []struct {
		body   []byte
		coding string
	}{{bytes.Repeat([]byte(" "), 1<<20), ""}, {bomb, "zstd"}} {
		r := f.request("POST", "/v1/responses", bytes.NewReader(c.body))
		if c.coding != "" {
			r.Header.Set("Content-Encoding", c.coding)
		}
		response, answer := f.do(r)
		if response.StatusCode != http.StatusBadRequest || response.Header.Get("X-Codex-Proxy-Refusal") != "too_large" {
			t.Errorf("%s %s", response.Status, answer)
		}
		f.exchanges(i + 1)
	}
	if got := f.openai.Received(); len(got) > 0 {
		t.Errorf("upstream got %d requests", len(got))
	}
}

func TestRestoringMayStopAtTextOrNotBegin(t *testing.T) {
	for reach, want := range map[string]bool{"all": true, "text": true, "off": false} {
		f := newFixture(t, options{secrets: `restore = "` + reach + `"`})
		f.do(f.request("POST", "/v1/responses", bytes.NewReader(mention(planted, 0))))
		stand := string(placeholders.Find(f.openai.Received()[0].Body))
		f.openai.Play(simulated.Say("it is " + stand))
		_, answer := f.do(f.request("POST", "/v1/responses", bytes.NewReader(mention(planted, 1))))
		if got := strings.Contains(string(answer), planted); got != want {
			t.Errorf("restore = %q gives the secret back: %t", reach, got)
		}
	}
}
