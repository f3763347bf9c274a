package awsdeploy

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/terminal"
)

// wrongToken is one that no proxy has issued.
const wrongToken = "codexproxy_smoketst_this-token-is-wrong-on-purpose"

// Sizes of the bodies that are tried, in bytes. An event of Lambda's has 6 MiB, in
// which binary bodies take a third more room than they have.
const (
	textSize    = 5_000_000
	binarySize  = 4_400_000
	tooMuchSize = 7_000_000
)

// broke is the outcome of a check whose request did not come to an answer.
func broke(err error) (Result, string, string) {
	return Failed, terminal.Safe(err.Error()), "nothing came back: see the function's log ('codex-proxy aws status')"
}

func (s *Smoke) answers(ctx context.Context) (Result, string, string) {
	a, err := s.ask(ctx, "GET", "/healthz", "", nil)
	switch {
	case err != nil:
		return Failed, terminal.Safe(err.Error()), "there is no proxy at this address, or it cannot be reached from here"
	case a.status == http.StatusOK && a.body == "ok\n":
		return Passed, a.said(), "the address leads to the proxy, and everybody may call it"
	case a.status == http.StatusForbidden:
		return Failed, a.said(), "AWS lets nobody call the URL: one of its two permissions is missing (lambda:InvokeFunctionUrl, and lambda:InvokeFunction with InvokedViaFunctionUrl); deploy again"
	case a.status >= 500:
		return Failed, a.said(), "the function does not start or fails: 'codex-proxy aws status' shows its last errors"
	}
	return Failed, a.said(), "something else than a codex-proxy answers at this address"
}

func (s *Smoke) servesSetup(ctx context.Context) (Result, string, string) {
	a, err := s.ask(ctx, "GET", "/setup.sh", "", nil)
	if err != nil {
		return broke(err)
	}
	if a.status != http.StatusOK || !strings.HasPrefix(a.body, "#!") {
		return Failed, a.said(), "developers cannot set up Codex with the script"
	}
	u, err := url.Parse(s.address)
	if err != nil {
		return broke(err)
	}
	if !strings.Contains(a.body, u.Host) {
		return Passed, "a script that names another address", "developers' Codex will not use the address that was tried here, but the one in the script; right where PublicUrl says so"
	}
	return Passed, "a script that names this address", "'curl -fsSL " + s.address + "/setup.sh | sh' sets up a developer's Codex"
}

func (s *Smoke) refusesWrongToken(ctx context.Context) (Result, string, string) {
	a, err := s.ask(ctx, "POST", "/v1/responses", wrongToken, strings.NewReader("{}"), "Content-Type", "application/json")
	if err != nil {
		return broke(err)
	}
	switch {
	case a.status == http.StatusUnauthorized && strings.HasPrefix(a.refusal(), "token_"):
		return Passed, a.said(), "the proxy reads its table of tokens, and nobody gets in without one"
	case a.status == http.StatusServiceUnavailable:
		return Failed, a.said(), "the proxy cannot read its table of tokens: see 'codex-proxy aws status'"
	}
	return Failed, a.said(), "a wrong token is not refused by the proxy: do not give this address to anybody"
}

// arrives sends a body with a wrong token: the proxy's own 401 shows that the body
// came as far as the proxy.
func (s *Smoke) arrives(ctx context.Context, body []byte, kind string) (Result, string, string) {
	a, err := s.ask(ctx, "POST", "/v1/responses", wrongToken, bytes.NewReader(body), "Content-Type", kind)
	if err != nil {
		return broke(err)
	}
	if a.status != http.StatusUnauthorized || a.refusal() == "" {
		return Failed, a.said(), "bodies of this size do not reach the proxy: long conversations will fail sooner than documented"
	}
	return Passed, "it reached the proxy", "conversations of this size work"
}

func (s *Smoke) takesText(ctx context.Context) (Result, string, string) {
	return s.arrives(ctx, text(textSize), "application/json")
}

func (s *Smoke) takesBinary(ctx context.Context) (Result, string, string) {
	body := make([]byte, binarySize)
	_, _ = rand.Read(body) // never fails
	return s.arrives(ctx, body, "application/octet-stream")
}

func (s *Smoke) refusesTooMuch(ctx context.Context) (Result, string, string) {
	a, err := s.ask(ctx, "POST", "/v1/responses", wrongToken, bytes.NewReader(text(tooMuchSize)), "Content-Type", "application/json")
	if err != nil {
		return broke(err)
	}
	switch {
	case a.status == http.StatusUnauthorized && a.refusal() != "":
		return Passed, "it reached the proxy", "there is no limit of Lambda's in front of this proxy"
	case a.status == http.StatusRequestEntityTooLarge || a.refusal() == "too_large":
		return Passed, a.said(), "a conversation that has grown beyond the limit ends with a clear error; run the proxy on a machine or container where that is too small (docs/aws.md)"
	}
	return Failed, a.said(), "a body over the limit does not end with 413: developers will see an error that says something else"
}

// text is a JSON document of a size.
func text(size int) []byte {
	return []byte(`{"input":"` + strings.Repeat("x", size) + `"}`)
}

func (s *Smoke) knowsToken(ctx context.Context) (Result, string, string) {
	a, err := s.ask(ctx, "GET", "/whoami", s.Token, nil)
	if err != nil {
		return broke(err)
	}
	if a.status != http.StatusOK {
		return Failed, a.said(), "the token is not valid here; the checks below fail for that reason"
	}
	return Passed, a.said(), "the developer of this token may use the proxy"
}

func (s *Smoke) upgrades(ctx context.Context) (Result, string, string) {
	a, err := s.ask(ctx, "GET", "/v1/responses", s.Token, nil,
		"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "c21va2Utc21va2Utc21vaw==")
	if err != nil {
		return broke(err)
	}
	switch {
	case a.status == http.StatusUpgradeRequired:
		return Passed, a.said(), "Codex goes on over plain HTTP at once"
	case a.status == http.StatusSwitchingProtocols:
		return Passed, a.said(), "this proxy carries WebSockets"
	}
	return Failed, a.said(), "Codex tries its WebSocket for some time before it uses plain HTTP; its first answer of a session is late"
}

// question asks for an answer that takes a moment.
func (s *Smoke) question() []byte {
	return fmt.Appendf(nil, `{"model":%q,"stream":true,"store":false,"instructions":"You are a counter.","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Count from 1 to 60, one number a line."}]}]}`, s.Model)
}

// collected is the part of an answer's time that its text takes at least when it
// streams; one that is collected on the way takes but a moment once it begins.
const collected = 10

func (s *Smoke) streams(ctx context.Context) (Result, string, string) {
	began := s.now()
	response, err := s.send(ctx, "POST", "/v1/responses", s.Token, bytes.NewReader(s.question()), "Content-Type", "application/json", "Accept", "text/event-stream")
	if err != nil {
		return broke(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return s.unanswered(response)
	}
	first, err := firstPiece(response.Body)
	if err != nil {
		return broke(err)
	}
	firstAfter := s.now().Sub(began)
	s.seen()
	rest, err := io.ReadAll(response.Body)
	if err != nil {
		return broke(fmt.Errorf("the answer broke off: %w", err))
	}
	whole := s.now().Sub(began)
	saw := fmt.Sprintf("first byte after %.2f s, the whole after %.2f s", firstAfter.Seconds(), whole.Seconds())
	switch {
	case !strings.Contains(first+string(rest), "response.completed"):
		return Failed, saw, "the answer is not whole: it has no response.completed"
	case whole-firstAfter < whole/collected:
		return Failed, saw, "the answer came at once when it was complete: something between here and the proxy collects it; is InvokeMode RESPONSE_STREAM?"
	}
	return Passed, saw, "answers appear as the model writes them"
}

// firstPiece reads what is there at first of a streamed answer.
func firstPiece(body io.Reader) (string, error) {
	piece := make([]byte, shown)
	n, err := body.Read(piece)
	if n == 0 && err != nil {
		return "", fmt.Errorf("the answer is empty: %w", err)
	}
	return string(piece[:n]), nil
}

// unanswered is the outcome of a question that was not answered.
func (s *Smoke) unanswered(response *http.Response) (Result, string, string) {
	begin, _ := io.ReadAll(io.LimitReader(response.Body, 300)) // what there is of it
	a := answer{status: response.StatusCode, header: response.Header}
	return Failed, a.said() + ": " + terminal.Safe(string(begin)), "the model " + s.Model + " gives no answer through the proxy; is the key right, and the model one that it may use (--model)?"
}

func (s *Smoke) takesZstd(ctx context.Context) (Result, string, string) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		return broke(err)
	}
	packed := encoder.EncodeAll(s.question(), nil)
	response, err := s.send(ctx, "POST", "/v1/responses", s.Token, bytes.NewReader(packed), "Content-Type", "application/json", "Content-Encoding", "zstd")
	if err != nil {
		return broke(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		result, saw, _ := s.unanswered(response)
		return result, saw, "a compressed body does not arrive as it was sent; Codex compresses them only where a feature of its own is switched on"
	}
	_, _ = io.Copy(io.Discard, response.Body) // its status is what was asked for
	return Passed, "200", "compressed bodies arrive as they were sent"
}

// outlivesReader begins an answer, leaves, and asks whether all is well.
func (s *Smoke) outlivesReader(ctx context.Context) (Result, string, string) {
	reading, leave := context.WithCancel(ctx)
	defer leave()
	response, err := s.send(reading, "POST", "/v1/responses", s.Token, bytes.NewReader(s.question()), "Content-Type", "application/json")
	if err != nil {
		return broke(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return s.unanswered(response)
	}
	if _, err := firstPiece(response.Body); err != nil {
		return broke(err)
	}
	leave()
	a, err := s.ask(ctx, "GET", "/whoami", s.Token, nil)
	if err != nil {
		return broke(err)
	}
	if a.status != http.StatusOK {
		return Failed, a.said(), "after a reader has left, the proxy does not answer"
	}
	return Passed, a.said(), "look at the newest of 'codex-proxy record list': Lambda does not tell of a reader who leaves, so it is completed there, and paid for; elsewhere it is cancelled"
}
