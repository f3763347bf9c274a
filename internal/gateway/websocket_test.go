package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/simulated"
)

// dial opens a WebSocket through the proxy as Codex does.
func (f *fixture) dial() *websocket.Conn {
	f.t.Helper()
	header := f.request("GET", "/v1/responses", nil).Header
	header.Set("OpenAI-Beta", "responses_websockets=2026-02-06")
	connection, response, err := websocket.Dial(f.t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{
		HTTPClient: f.proxy.Client(),
		HTTPHeader: header, CompressionMode: websocket.CompressionNoContextTakeover,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if extensions := response.Header.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(extensions, "permessage-deflate") {
		f.t.Errorf("compression was not negotiated: %q", extensions)
	}
	connection.SetReadLimit(-1)
	f.t.Cleanup(func() { _ = connection.CloseNow() })
	return connection
}

func send(t *testing.T, c *websocket.Conn, frame string) {
	t.Helper()
	if err := c.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
		t.Fatal(err)
	}
}

// readUntil reads frames up to and including the first of one of the types.
func readUntil(t *testing.T, c *websocket.Conn, types ...string) [][]byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var frames [][]byte
	for {
		_, frame, err := c.Read(ctx)
		if err != nil {
			t.Fatalf("after %d frames: %v", len(frames), err)
		}
		frames = append(frames, frame)
		for _, kind := range types {
			if openai.FrameType(frame) == kind {
				return frames
			}
		}
	}
}

// readOne reads one message, within a limit.
func readOne(t *testing.T, c *websocket.Conn) (websocket.MessageType, []byte, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return c.Read(ctx)
}

const create = `{"type":"response.create","model":"gpt-5.1-codex","input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hello"}]}]}`

func TestEachResponseCreateIsAnExchangeOfItsOwn(t *testing.T) {
	f := newFixture(t, options{})
	c := f.dial()
	usage := openai.Usage{Input: 100, Cached: 64, Output: 10, Total: 110}
	f.openai.Play(simulated.Answer{Text: "first", Usage: &usage}, simulated.Answer{Text: "second", Usage: &usage})

	warmUp := strings.Replace(create, `"input"`, `"generate":false,"input"`, 1)
	send(t, c, warmUp)
	readUntil(t, c, "response.completed")
	send(t, c, create)
	first := readUntil(t, c, "response.completed")
	send(t, c, create)
	readUntil(t, c, "response.completed")
	if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Errorf("close: %v", err)
	}

	all := f.exchanges(3)
	for i, e := range all {
		if e.Transport != exchange.WebSocket || e.Outcome != exchange.Completed || e.Status != 101 || e.Developer != "alice@example.com" || e.Session == "" || e.ModelAsked != "gpt-5.1-codex" {
			t.Errorf("exchange %d: %+v", i, e)
		}
		if e.Warmup != (i == 0) {
			t.Errorf("exchange %d is marked as warm-up: %t", i, e.Warmup)
		}
	}
	if all[1].Usage.Usage != usage || all[1].Usage.State != exchange.UsageExact {
		t.Errorf("usage %+v", all[1].Usage)
	}
	doc := f.document(all[1])
	if got := string(doc.Request.Bytes()); got != create+"\n" || doc.Request.Framing != "websocket" {
		t.Errorf("the record's request is %q (%s)", got, doc.Request.Framing)
	}
	if got, want := doc.Response.Bytes(), append(bytes.Join(first, []byte("\n")), '\n'); !bytes.Equal(got, want) {
		t.Errorf("the record's answer differs from the frames that the client got:\n%s\n%s", got, want)
	}
	received := f.openai.Received()
	if got := string(received[len(received)-1].Body); got != create {
		t.Errorf("upstream got the frame %q", got)
	}
	if got := received[0].Header.Get("Authorization"); got != "Bearer "+upstreamKey {
		t.Errorf("upstream was not shown the organisation's key")
	}
}

// relay is an upstream WebSocket in the test's own hands.
func relay(t *testing.T, serve func(context.Context, *websocket.Conn)) *httptest.Server {
	t.Helper()
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Codex-Turn-State", "sticky")
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionNoContextTakeover})
		if err != nil {
			return
		}
		c.SetReadLimit(-1)
		serve(r.Context(), c)
	}))
	return server
}

func TestMessagesAndCloseCodesPassInBothDirections(t *testing.T) {
	got := make(chan error, 1)
	f := newFixture(t, options{unsearched: true, upstream: relay(t, func(ctx context.Context, c *websocket.Conn) {
		for {
			kind, message, err := c.Read(ctx)
			if err != nil {
				got <- err
				return
			}
			switch openai.FrameType(message) {
			case "bye":
				_ = c.Close(4321, "upstream has had enough")
				return
			case "binary":
				kind, message = websocket.MessageBinary, []byte("\x00\xff\x01")
			case "empty":
				message = nil
			case "response.create":
				message = []byte(`{"type":"response.created","response":{"id":"resp_1"}}`)
			}
			if err := c.Write(ctx, kind, message); err != nil {
				return
			}
		}
	})})

	c := f.dial()
	send(t, c, create)
	readUntil(t, c, "response.created")
	for _, message := range []struct {
		text, back string
		kind       websocket.MessageType
	}{
		{`{"type":"something.new","x":"é😀"}`, `{"type":"something.new","x":"é😀"}`, websocket.MessageText},
		{`{"type":"empty"}`, "", websocket.MessageText},
		{`{"type":"binary"}`, "\x00\xff\x01", websocket.MessageBinary},
		{big, big, websocket.MessageText},
	} {
		send(t, c, message.text)
		kind, back, err := c.Read(t.Context())
		if err != nil || kind != message.kind || string(back) != message.back {
			t.Fatalf("to %.40q came %v %.40q, %v", message.text, kind, back, err)
		}
	}
	if err := c.Ping(ctxWhileReading(t, c)); err != nil {
		t.Errorf("a ping is not answered: %v", err)
	}

	c = f.dial()
	_ = c.Close(4000, "the client's own reason")
	var closed websocket.CloseError
	for err := range drainErrors(t, got, 2) {
		if errors.As(err, &closed) && closed.Code == 4000 {
			break
		}
	}
	if closed.Reason != "the client's own reason" {
		t.Errorf("upstream saw %v", closed)
	}
	if closed.Code != 4000 {
		t.Errorf("upstream saw the close code %d, want 4000", closed.Code)
	}

	c = f.dial()
	send(t, c, create)
	readUntil(t, c, "response.created")
	send(t, c, `{"type":"bye"}`)
	_, _, err := c.Read(t.Context())
	if !errors.As(err, &closed) || closed.Code != 4321 || closed.Reason != "upstream has had enough" {
		t.Errorf("the client saw %v", err)
	}
}

var big = `{"type":"big","x":"` + strings.Repeat("x", 3<<20) + `"}`

// ctxWhileReading reads in the background, as a pong needs, and ends c's use.
func ctxWhileReading(t *testing.T, c *websocket.Conn) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	c.CloseRead(ctx)
	return ctx
}

func drainErrors(t *testing.T, errs <-chan error, n int) func(func(error) bool) {
	return func(yield func(error) bool) {
		for range n {
			select {
			case err := <-errs:
				if !yield(err) {
					return
				}
			case <-time.After(5 * time.Second):
				return
			}
		}
	}
}

func TestARefusalInsideAWebSocketLeavesItOpen(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{Models: []string{"gpt-5.1*"}, DeveloperBudgetNanos: 5e9, Contact: "ops@example.com"}})
	c := f.dial()

	send(t, c, strings.Replace(create, "gpt-5.1-codex", "gpt-5-pro", 1))
	refused := readUntil(t, c, "response.failed")[0]
	if !bytes.Contains(refused, []byte(`"invalid_prompt"`)) || !bytes.Contains(refused, []byte("may not use the model")) {
		t.Errorf("refused with %s", refused)
	}

	f.mu.Lock()
	f.spent = 6e9
	f.mu.Unlock()
	send(t, c, create)
	refused = readUntil(t, c, "error")[0]
	var frame struct {
		Status  int
		Error   struct{ Type string }
		Headers map[string]string
	}
	if err := json.Unmarshal(refused, &frame); err != nil || frame.Status != 429 || frame.Error.Type != "usage_limit_reached" || !strings.Contains(frame.Headers["X-Codex-Promo-Message"], "ops@example.com") {
		t.Errorf("refused with %s", refused)
	}

	f.mu.Lock()
	f.spent = 0
	f.mu.Unlock()
	send(t, c, create)
	readUntil(t, c, "response.completed")

	all := f.exchanges(3)
	for i, reason := range []string{"model_not_allowed", "budget_exceeded", ""} {
		if all[i].Refusal != reason {
			t.Errorf("exchange %d is on record with refusal %q, want %q", i, all[i].Refusal, reason)
		}
	}
	for _, r := range f.openai.Received() {
		if bytes.Contains(r.Body, []byte("gpt-5-pro")) {
			t.Error("a refused frame reached upstream")
		}
	}
}

func TestANewPolicyHoldsOnTheNextRequestOfAnOpenWebSocket(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{}})
	c := f.dial()
	send(t, c, create)
	readUntil(t, c, "response.completed")

	must(f.store.UpdateTeam(t.Context(), "platform", time.Now(), func(p *developer.Policy) error {
		p.Models = []string{"gpt-4*"}
		return nil
	}))
	send(t, c, create)
	if refused := readUntil(t, c, "response.failed", "response.completed"); !bytes.Contains(refused[len(refused)-1], []byte("may not use the model")) {
		t.Errorf("answered with %s", refused[len(refused)-1])
	}
}

func TestATokenThatIsNoLongerGoodIsRefusedOnAnOpenWebSocket(t *testing.T) {
	f := newFixture(t, options{limits: func(l *gateway.Limits) { l.Recheck = time.Hour }})
	c := f.dial()
	f.setEnabled("alice@example.com", false)
	send(t, c, create)
	refused := readUntil(t, c, "error", "response.completed")
	if last := refused[len(refused)-1]; !bytes.Contains(last, []byte(`"status":401`)) {
		t.Errorf("answered with %s", last)
	}
	if e := f.exchanges(1)[0]; e.Refusal != "token_disabled" || e.Developer != "alice@example.com" {
		t.Errorf("on record as %q of %q", e.Refusal, e.Developer)
	}
}

func TestAWebSocketOfSomeoneCutOffIsClosed(t *testing.T) {
	f := newFixture(t, options{})
	c := f.dial()
	f.openai.Play(simulated.Stall("thinking", 5))
	send(t, c, create)
	readUntil(t, c, "response.created")
	f.setEnabled("alice@example.com", false)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var err error
	for err == nil {
		_, _, err = c.Read(ctx)
	}
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != websocket.StatusPolicyViolation || !strings.Contains(closed.Reason, "disabled") {
		t.Errorf("the client saw %v", err)
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Interrupted || e.ErrorOrigin != exchange.OriginProxy || e.Usage.State != exchange.UsageEstimated {
		t.Errorf("on record as %s by %s, usage %s", e.Outcome, e.ErrorOrigin, e.Usage.State)
	}
}

func TestAWebSocketThatBreaksOffLeavesOneRecord(t *testing.T) {
	for name, c := range map[string]struct {
		answer  simulated.Answer
		hangUp  bool
		outcome exchange.Outcome
	}{
		"upstream cuts it":     {simulated.Cut("some words", 4), false, exchange.UpstreamError},
		"the client goes away": {simulated.Stall("some words", 4), true, exchange.ClientCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, options{})
			connection := f.dial()
			f.openai.Play(c.answer)
			send(t, connection, create)
			readUntil(t, connection, "response.created")
			if c.hangUp {
				_ = connection.CloseNow()
			}
			e := f.exchanges(1)[0]
			if e.Outcome != c.outcome || e.Usage.State != exchange.UsageEstimated {
				t.Errorf("on record as %s (%s), usage %s", e.Outcome, e.Error, e.Usage.State)
			}
		})
	}
}

func TestUpstreamsRefusalOfTheUpgradePassesThrough(t *testing.T) {
	f := newFixture(t, options{simulated: simulated.Options{RefuseUpgrade: 426}})
	_, response, err := websocket.Dial(t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{
		HTTPClient: f.proxy.Client(),
		HTTPHeader: f.request("GET", "/v1/responses", nil).Header,
	})
	if err == nil || response.StatusCode != 426 || response.Header.Get("X-Codex-Proxy-Refusal") != "" {
		t.Errorf("got %v, %v", response, err)
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Failed || e.ErrorOrigin != exchange.OriginOpenAI || e.Status != 426 {
		t.Errorf("on record as %+v", e)
	}
}

func TestDrainingLetsARunningExchangeFinishAndClosesIdleSockets(t *testing.T) {
	f := newFixture(t, options{})
	idle, busy := f.dial(), f.dial()
	f.openai.Play(simulated.Answer{Text: "slow but whole", Fault: simulated.Fault{FirstByte: 300 * time.Millisecond}})
	send(t, busy, create)
	if err := f.openai.Await(t.Context(), func(all []simulated.Received) bool { return len(all) == 3 }); err != nil {
		t.Fatal(err)
	}
	drained := make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		f.gateway.Drain(ctx)
		close(drained)
	}()
	if _, _, err := idle.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the idle socket saw %v", err)
	}
	readUntil(t, busy, "response.completed")
	if _, _, err := busy.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the busy socket saw %v", err)
	}
	<-drained
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Completed {
		t.Errorf("on record as %s", e.Outcome)
	}
}
