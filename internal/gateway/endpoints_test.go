package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
)

// plainly sends a request line as it is, with alice's token, and returns the
// answer and its body.
func (f *fixture) plainly(method, target string, headers ...string) (*http.Response, string) {
	f.t.Helper()
	connection := f.connect()
	defer connection.Close()
	_, _ = fmt.Fprintf(connection, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n", method, target, f.token)
	for _, line := range headers {
		_, _ = io.WriteString(connection, line+"\r\n")
	}
	_, _ = io.WriteString(connection, "\r\n")
	response, err := http.ReadResponse(bufio.NewReader(connection), &http.Request{Method: method})
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	return response, string(must(io.ReadAll(response.Body)))
}

func TestWhatIsNotOpenIsRefusedAndOnRecord(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{Contact: "ops@example.com"}})
	requests := []string{
		"GET /v1/responses/resp_1", "DELETE /v1/responses/resp_1", "POST /v1/responses/resp_1/cancel", "GET /v1/conversations/c",
		"GET /v1/files", "DELETE /v1/files/file-1", "POST /v1/batches", "POST /v1/realtime/client_secrets", "POST /realtime/calls",
		"GET /v1/organization/users", "POST /v1/Responses", "POST /v1/v1/responses", "POST /v1/responses/", "POST /v1/RESPONSES",
		"POST /V1/responses", "OPTIONS /v1/responses", "PURGE /v1/models", "TRACE /v1/responses", "TRACK /v1/responses",
		"post /v1/responses", "GET /", "GET /v1", "GET /v1/", "GET /v1/models/a/b", "GET /v1models",
	}
	for _, request := range requests {
		method, target, _ := strings.Cut(request, " ")
		response, body := f.plainly(method, target, "Content-Length: 0", "Originator: codex_exec")
		if response.StatusCode != http.StatusBadRequest || response.Header.Get("X-Codex-Proxy-Refusal") != "endpoint_not_allowed" ||
			!strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s: %s, refusal %q, %s", request, response.Status, response.Header.Get("X-Codex-Proxy-Refusal"), body)
		}
		says := []string{`"` + method + `" "` + target + `"`, "--endpoints", "ops@example.com", "was not sent"}
		if method == "TRACE" || method == "TRACK" { // no setting opens them
			says = []string{`"` + method + `" "` + target + `"`, "never passes this method on", "was not sent"}
		}
		for _, says := range says {
			if !strings.Contains(body, says) {
				t.Errorf("%s: %q does not say %s", request, body, says)
			}
		}
	}
	if got := f.openai.Received(); len(got) != 0 {
		t.Errorf("upstream saw %d of these requests", len(got))
	}
	for i, e := range f.exchanges(len(requests)) {
		if e.Refusal != "endpoint_not_allowed" || e.Developer != "alice@example.com" || e.Outcome != exchange.Refused || e.Usage.State != exchange.UsageNone {
			t.Errorf("%s is on record as %+v", requests[i], e)
		}
	}
}

func TestARefusedEndpointIsJSONForOtherClientsAndItsWordsAreHarmless(t *testing.T) {
	f := newFixture(t, options{})
	response, body := f.plainly("GET", "/v1/files/%1b[31m\""+strings.Repeat("a", 5000))
	if response.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, `"code":"endpoint_not_allowed"`) || !strings.Contains(body, "whoever runs the proxy") {
		t.Errorf("%s: %s", response.Status, body)
	}
	if len(body) > 1000 || strings.Contains(body, "\x1b") || strings.Contains(body, `\u001b`) {
		t.Errorf("the client's words are not bounded and harmless: %s", body)
	}
}

// TestAPathIsJudgedAsItIsForwarded: an escape that hides a plain letter is neither
// undone before it is judged nor passed on to be undone later.
func TestAPathIsJudgedAsItIsForwarded(t *testing.T) {
	for _, setting := range []string{"codex", "all"} {
		f := newFixture(t, options{endpoints: setting})
		for _, target := range []string{"/v1/respons%65s", "/v1/%72esponses", "/%761/responses", "/v1/models/a%2Db", "/v1/models/a%5f", "/v1/models/a%7E", "/v1/models/a%31"} {
			if response, body := f.plainly("GET", target); response.Header.Get("X-Codex-Proxy-Refusal") != "bad_path" {
				t.Errorf("%s, %s: %s %s", setting, target, response.Status, body)
			}
		}
		if got := f.openai.Received(); len(got) != 0 {
			t.Errorf("%s: upstream saw %s", setting, got[0].URI)
		}
		for _, target := range []string{"/v1/models/ft:gpt-4.1:org::a", "/v1/models/ft%3Agpt", "/v1/models/%C3%A4", "/models/a%20b?x=%65&y=;z"} {
			f.plainly("GET", target)
			got := f.openai.Received()
			if want := "/v1" + strings.TrimPrefix(target, "/v1"); len(got) == 0 || got[len(got)-1].URI != want {
				t.Errorf("%s: %s did not reach upstream as it was sent", setting, target)
			}
		}
	}
}

func TestTheTokenIsAskedForBeforeTheEndpoint(t *testing.T) {
	f := newFixture(t, options{})
	f.token = "codexproxy_of_nobody"
	for _, request := range []string{"HEAD /v1/responses", "GET /v1/models", "GET /v1/files", "TRACE /v1/responses"} {
		method, target, _ := strings.Cut(request, " ")
		if response, _ := f.plainly(method, target); response.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s of a stranger: %s", request, response.Status)
		}
	}
	f.exchanges(0)
}

func TestTheSettingOpensMore(t *testing.T) {
	list := filepath.Join(t.TempDir(), "endpoints")
	if err := os.WriteFile(list, []byte("include codex\nGET /files\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for setting, open := range map[string]map[string]bool{
		"codex": {"GET /v1/files": false, "PURGE /v1/files": false, "TRACE /v1/files": false, "trace /v1/files": false},
		"all":   {"GET /v1/files": true, "PURGE /v1/files": true, "TRACE /v1/files": false, "trace /v1/files": false},
		list:    {"GET /v1/files": true, "PURGE /v1/files": false, "TRACE /v1/files": false, "trace /v1/files": false},
	} {
		f := newFixture(t, options{endpoints: setting})
		for request, isOpen := range open {
			before := len(f.openai.Received())
			method, target, _ := strings.Cut(request, " ")
			f.plainly(method, target, "Content-Length: 0")
			if seen := len(f.openai.Received()) > before; seen != isOpen {
				t.Errorf("endpoints %s, %s: reached upstream %t, want %t", setting, request, seen, isOpen)
			}
		}
	}
}

// TestAWebSocketThatLostItsUpgradeHeaderIsSentToHTTP: Codex goes on over HTTP at
// once after a 426.
func TestAWebSocketThatLostItsUpgradeHeaderIsSentToHTTP(t *testing.T) {
	f := newFixture(t, options{})
	response, body := f.plainly("GET", "/v1/responses")
	if response.StatusCode != http.StatusUpgradeRequired || response.Header.Get("X-Codex-Proxy-Refusal") != "websocket_unavailable" {
		t.Errorf("%s %s", response.Status, body)
	}
	if got := f.openai.Received(); len(got) != 0 {
		t.Errorf("upstream saw %s", got[0].URI)
	}
}

// TestCodexUsesHTTPAtOnceWhereTheListOpensNoWebSocket: it has one chance to learn that.
func TestCodexUsesHTTPAtOnceWhereTheListOpensNoWebSocket(t *testing.T) {
	list := filepath.Join(t.TempDir(), "endpoints")
	if err := os.WriteFile(list, []byte("POST /responses\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, options{endpoints: list})
	r := f.request("GET", "/v1/responses", nil)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	if response, body := f.do(r); response.StatusCode != http.StatusUpgradeRequired {
		t.Errorf("the upgrade: %s %s", response.Status, body)
	}
	if response, _ := f.ask("hello"); response.StatusCode != http.StatusOK {
		t.Errorf("plain HTTP: %s", response.Status)
	}
}

// TestATeamsModelsHoldWhereverAModelRuns: an endpoint that runs a model of its own
// choosing when none is named is no way round the list.
func TestATeamsModelsHoldWhereverAModelRuns(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{Models: []string{"gpt-5*"}}})
	for _, path := range []string{"/responses", "/responses/compact", "/completions", "/images/generations", "/embeddings", "/audio/speech", "/alpha/search"} {
		response, body := f.do(f.request("POST", "/v1"+path, strings.NewReader(`{"prompt":"a cat"}`)))
		if response.Header.Get("X-Codex-Proxy-Refusal") != "model_not_allowed" {
			t.Errorf("%s without a model: %s %s", path, response.Status, body)
		}
	}
	if got := f.openai.Received(); len(got) != 0 {
		t.Errorf("upstream saw %s", got[0].URI)
	}
	if response, body := f.do(f.request("POST", "/v1/moderations", bytes.NewReader([]byte(`{"input":"a cat"}`)))); response.Header.Get("X-Codex-Proxy-Refusal") != "" {
		t.Errorf("moderations cost nothing and need no model: %s %s", response.Status, body)
	}
}

// TestAMethodIsNoPlaceForASecret: it is not searched, and what is no method's name is
// neither on record nor in the log.
func TestAMethodIsNoPlaceForASecret(t *testing.T) {
	f := newFixture(t, options{})
	f.plainly(planted, "/v1/responses", "Content-Length: 0")
	if e := f.exchanges(1)[0]; e.Method != "OTHER" {
		t.Errorf("on record is the method %q", e.Method)
	}
	f.mustHoldNowhere(planted)
}

// TestWhatRunsAModelIsNotFreeWithoutNamingOne has upstream say nothing of its usage.
func TestWhatRunsAModelIsNotFreeWithoutNamingOne(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "words")
	}))
	f := newFixture(t, options{upstream: server})
	form := f.request("POST", "/v1/audio/transcriptions", strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x--\r\n"))
	form.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	f.do(form)
	f.do(f.request("POST", "/v1/responses", strings.NewReader(`{"prompt":"x"}`)))
	for _, e := range f.exchanges(2) {
		if e.Usage.State != exchange.UsageMissing {
			t.Errorf("%s has usage %q", e.Path, e.Usage.State)
		}
	}
}
