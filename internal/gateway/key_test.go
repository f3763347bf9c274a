package gateway_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/coder/websocket"

	"codex-proxy/internal/exchange"
)

// TestAKeyThatWasReplacedIsNoticedByNobody: upstream refuses the key from before
// with 401, and the proxy asks again with the one of now.
func TestAKeyThatWasReplacedIsNoticedByNobody(t *testing.T) {
	t.Run("a request with a body", func(t *testing.T) {
		f := newFixture(t, options{oldKey: "sk-of-yesterday"})
		response, body := f.ask("hello")
		if response.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("response.completed")) {
			t.Fatalf("got %s: %s", response.Status, body)
		}
		if e := f.exchanges(1)[0]; e.Outcome != exchange.Completed || e.RequestBytes != int64(len(askBody("hello"))) {
			t.Errorf("on record as %s with a request of %d bytes, sent %d", e.Outcome, e.RequestBytes, len(askBody("hello")))
		}
	})
	t.Run("a request without a body", func(t *testing.T) {
		f := newFixture(t, options{oldKey: "sk-of-yesterday"})
		response, err := f.proxy.Client().Do(f.request("GET", "/v1/models", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("got %s", response.Status)
		}
	})
	t.Run("a WebSocket", func(t *testing.T) {
		f := newFixture(t, options{oldKey: "sk-of-yesterday"})
		request := f.request("GET", "/v1/responses", nil)
		conn, response, err := websocket.Dial(t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{HTTPClient: f.proxy.Client(), HTTPHeader: request.Header})
		if err != nil {
			t.Fatalf("%v, %v", response, err)
		}
		_ = conn.CloseNow()
	})
}

// TestARequestThatIsNotAtHandIsNotSentTwice: without rules for secrets a body
// goes up as it comes, and is gone when the key is refused. Upstream's answer
// passes, and the next request has the new key.
func TestARequestThatIsNotAtHandIsNotSentTwice(t *testing.T) {
	f := newFixture(t, options{oldKey: "sk-of-yesterday", unsearched: true})
	response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello"))))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized || response.Header.Get("X-Codex-Proxy-Refusal") != "" {
		t.Errorf("got %s, want upstream's own 401", response.Status)
	}
	if response, _ := f.ask("again"); response.StatusCode != http.StatusOK {
		t.Errorf("the next request got %s", response.Status)
	}
}
