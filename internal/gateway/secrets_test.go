package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/simulated"
)

// planted is a secret that is one by its form. It is put together here so that
// no scanner takes this file for a leak.
var planted = "AKIA" + "Q3EGRJ7X5LWNZ4TD"

var placeholders = regexp.MustCompile(`__SECRET_[0-9A-Za-z_]+?__`)

// turn is a request of Codex's in which a tool printed text, as JSON inside JSON,
// after so many earlier turns of the same.
func turn(text string, earlier int) []byte {
	inner, _ := json.Marshal(map[string]any{"output": "export AWS_ACCESS_KEY_ID=" + text + "\nexport HOME=/root", "exit_code": 0})
	item := func(n int) []any {
		return []any{
			map[string]any{"type": "function_call", "call_id": fmt.Sprintf("call_%d", n), "name": "shell", "arguments": `{"command":["env"]}`},
			map[string]any{"type": "function_call_output", "call_id": fmt.Sprintf("call_%d", n), "output": string(inner)},
		}
	}
	var input []any
	for n := range earlier + 1 {
		input = append(input, item(n)...)
	}
	body, _ := json.Marshal(map[string]any{"type": "response.create", "model": "gpt-5.1-codex", "stream": true, "store": false, "input": input})
	return body
}

// mustHoldNowhere fails when a secret is in any file below the fixture's
// directory, or in its log.
func (f *fixture) mustHoldNowhere(secret string) {
	f.t.Helper()
	decoder := must(zstd.NewReader(nil))
	defer decoder.Close()
	look := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".zst") {
			if raw, err = decoder.DecodeAll(raw, nil); err != nil {
				return err
			}
		}
		if bytes.Contains(raw, []byte(secret)) {
			f.t.Errorf("%s holds the secret", entry.Name())
		}
		return nil
	}
	err := filepath.WalkDir(f.dir, look)
	for deadline := time.Now().Add(20 * time.Second); errors.Is(err, fs.ErrNotExist) && time.Now().Before(deadline); {
		err = filepath.WalkDir(f.dir, look) // a record was put into the archive meanwhile
	}
	if err != nil {
		f.t.Fatal(err)
	}
	if strings.Contains(f.log.String(), secret) {
		f.t.Error("the log holds the secret")
	}
}

func TestASecretStaysHereAndComesBackInTheAnswer(t *testing.T) {
	f := newFixture(t, options{})
	var stand string
	for n := range 10 {
		if n > 0 {
			f.openai.Play(simulated.Say("Your key is " + stand + ", is it not?"))
		}
		_, answer := f.do(f.request("POST", "/v1/responses", bytes.NewReader(turn(planted, n))))
		received := f.openai.Received()
		sent := received[len(received)-1].Body
		got := placeholders.FindAll(sent, -1)
		if bytes.Contains(sent, []byte(planted)) || len(got) != n+1 {
			t.Fatalf("turn %d: upstream got the secret, or %d placeholders, want %d", n, len(got), n+1)
		}
		if stand == "" {
			stand = string(got[0])
		}
		for _, p := range got {
			if string(p) != stand {
				t.Errorf("turn %d: the placeholder is %s, and was %s", n, p, stand)
			}
		}
		if want := bytes.ReplaceAll(turn(planted, n), []byte(planted), []byte(stand)); !bytes.Equal(sent, want) {
			t.Errorf("turn %d: upstream got other bytes than the client's with the placeholder", n)
		}
		if bytes.Contains(answer, []byte("__SECRET")) || n > 0 && !bytes.Contains(answer, []byte("Your key is "+planted+", is it not?")) {
			t.Errorf("turn %d: the answer was not restored: %s", n, answer)
		}
	}
	for n, e := range f.exchanges(10) {
		doc := f.document(e)
		body := doc.Request.Bytes()
		if len(e.Findings) != n+1 {
			t.Fatalf("turn %d has %d findings", n, len(e.Findings))
		}
		for i, found := range e.Findings {
			at := string(body[found.Offset:])
			if found.Rule != "aws-access-key-id" && !strings.Contains(found.Rule, "aws") || found.Mode != exchange.Redacted || found.Path != fmt.Sprintf("input[%d].output", 2*i+1) ||
				found.New != (i == n) || !strings.HasPrefix(at, stand) {
				t.Errorf("turn %d: %+v", n, found)
			}
		}
		if e.RequestBytes != int64(len(turn(planted, n))) {
			t.Errorf("turn %d: %d bytes are on record as sent", n, e.RequestBytes)
		}
	}
	f.mustHoldNowhere(planted)
}

func TestASecretStaysHereAndComesBackOverAWebSocket(t *testing.T) {
	f := newFixture(t, options{})
	c := f.dial()
	defer func() { _ = c.CloseNow() }()
	stand := ""
	for n := range 3 {
		if n > 0 {
			f.openai.Play(simulated.Say("Your key is " + stand + ", is it not?"))
		}
		if err := c.Write(t.Context(), websocket.MessageText, turn(planted, n)); err != nil {
			t.Fatal(err)
		}
		var answer bytes.Buffer
		for !bytes.Contains(answer.Bytes(), []byte(`"response.completed"`)) {
			_, message, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answer.Write(message)
		}
		received := f.openai.Received()
		sent := received[len(received)-1].Body
		got := placeholders.FindAll(sent, -1)
		if bytes.Contains(sent, []byte(planted)) || len(got) != n+1 {
			t.Fatalf("turn %d: upstream got the secret, or %d placeholders, want %d", n, len(got), n+1)
		}
		stand = string(got[0])
		if bytes.Contains(answer.Bytes(), []byte("__SECRET")) || n > 0 && !strings.Contains(answer.String(), "Your key is "+planted+", is it not?") {
			t.Errorf("turn %d: the answer was not restored: %s", n, answer.String())
		}
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
	for n, e := range f.exchanges(3) {
		if len(e.Findings) != n+1 || e.Findings[n].Mode != exchange.Redacted || !e.Findings[n].New {
			t.Errorf("turn %d: %+v", n, e.Findings)
		}
	}
	f.mustHoldNowhere(planted)
}

func TestAnAnswerThatIsOneDocumentIsRestoredWhole(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer := fmt.Appendf(nil, `{"id":"r","object":"response","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"it is %s"}]}]}`, placeholders.Find(body))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		_, _ = w.Write(answer)
	}))
	f := newFixture(t, options{upstream: server})
	response, answer := f.do(f.request("POST", "/v1/responses", bytes.NewReader(turn(planted, 0))))
	if !strings.Contains(string(answer), `"text":"it is `+planted+`"`) || !json.Valid(answer) {
		t.Errorf("%s %s", response.Status, answer)
	}
	if e := f.exchanges(1)[0]; e.ResponseBytes != int64(len(answer)) || bytes.Contains(f.document(e).Response.Bytes(), []byte(planted)) {
		t.Errorf("%d bytes are on record, want %d, or the record has the secret", e.ResponseBytes, len(answer))
	}
}

func TestSecretsInHeadersAndTheQueryStayHereToo(t *testing.T) {
	var seen http.Header
	var uri string
	server := startUpstream(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen, uri = r.Header.Clone(), r.RequestURI
	}))
	for name, away := range map[string]bool{"sent": false, "turned away": true} {
		f := newFixture(t, options{upstream: server, policy: &developer.Policy{DeveloperBudgetNanos: 1e9}})
		if away {
			f.spent = 1e9
		}
		seen, uri = nil, ""
		r := f.request("POST", "/v1/responses?remote="+planted+"&b=%20", bytes.NewReader(askBody("hello")))
		r.Header.Set("X-Codex-Turn-Metadata", `{"remote":"https://bob:`+planted+`@git.example.com/x.git"}`)
		r.Header.Set("X-Codex-Turn-State", planted) // upstream's own, which must come back to it
		f.do(r)
		e := f.exchanges(1)[0]
		if len(e.Findings) != 2 || e.Findings[0].Path != "header X-Codex-Turn-Metadata: remote" || e.Findings[1].Path != "query" {
			t.Errorf("%s: %+v", name, e.Findings)
		}
		if !away {
			metadata := seen.Get("X-Codex-Turn-Metadata")
			if strings.Contains(metadata, planted) || !placeholders.MatchString(metadata) || !json.Valid([]byte(metadata)) ||
				strings.Contains(uri, planted) || !strings.HasSuffix(uri, "&b=%20") || seen.Get("X-Codex-Turn-State") != planted {
				t.Errorf("upstream was asked for %s with %v", uri, seen)
			}
		}
		doc := f.document(e)
		delete(doc.Request.Header, "X-Codex-Turn-State")
		if raw, _ := json.Marshal(doc); bytes.Contains(raw, []byte(planted)) {
			t.Errorf("%s: the record holds the secret: %s", name, raw)
		}
	}
}

func TestACodedBodyIsSearchedAndLeavesPlainIfSomethingWasReplaced(t *testing.T) {
	f := newFixture(t, options{})
	encoder := must(zstd.NewWriter(nil))
	for i, c := range []struct {
		body  []byte
		coded bool
	}{{turn(planted, 0), false}, {turn("nothing", 0), true}} {
		r := f.request("POST", "/v1/responses", bytes.NewReader(encoder.EncodeAll(c.body, nil)))
		r.Header.Set("Content-Encoding", "zstd")
		f.do(r)
		got := f.openai.Received()[i]
		if bytes.Contains(got.Body, []byte(planted)) || (got.Header.Get("Content-Encoding") == "zstd") != c.coded {
			t.Errorf("upstream got %v", got.Header)
		}
	}
	f.exchanges(2)
	f.mustHoldNowhere(planted)
}

func TestWhatCannotBeSearchedDoesNotLeave(t *testing.T) {
	f := newFixture(t, options{})
	for i, coding := range []string{"br", "gzip"} {
		r := f.request("POST", "/v1/responses", strings.NewReader("no "+coding))
		r.Header.Set("Content-Encoding", coding)
		response, body := f.do(r)
		if response.StatusCode != http.StatusBadRequest || response.Header.Get("X-Codex-Proxy-Refusal") != "secrets_unchecked" {
			t.Errorf("%s: %s %s", coding, response.Status, body)
		}
		if e := f.exchanges(i + 1)[i]; e.Outcome != exchange.Refused {
			t.Errorf("%+v", e)
		}
	}
	if got := f.openai.Received(); len(got) > 0 {
		t.Errorf("upstream got %d requests", len(got))
	}
}

// TestABodyBrokenOffIsNotRecorded: half a body was not searched.
func TestABodyBrokenOffIsNotRecorded(t *testing.T) {
	f := newFixture(t, options{})
	r := f.request("POST", "/v1/responses", io.MultiReader(strings.NewReader(`{"input":"`+planted), &failingReader{f}))
	if response, err := f.proxy.Client().Do(r); err == nil {
		_ = response.Body.Close()
		t.Fatal("a broken request was answered")
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.ClientCancelled || e.RequestBytes == 0 || len(f.document(e).Request.Bytes()) > 0 {
		t.Errorf("%+v", e)
	}
	f.mustHoldNowhere(planted)
}

// failingReader fails once the exchange runs.
type failingReader struct{ f *fixture }

func (r *failingReader) Read([]byte) (int, error) {
	r.f.runningOne(func(e exchange.Running) bool { return true })
	return 0, io.ErrUnexpectedEOF
}
