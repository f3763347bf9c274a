package gateway_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/tidwall/gjson"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/openai"
)

// hearing is an upstream that notes whatever it is sent on WebSockets, and answers
// each response.create with a response that begins and does not end.
type hearing struct {
	mu    sync.Mutex
	heard []string
	began int
}

func (h *hearing) serve(ctx context.Context, c *websocket.Conn) {
	for {
		_, message, err := c.Read(ctx)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.heard = append(h.heard, string(message))
		h.mu.Unlock()
		if openai.FrameType(message) == "response.create" {
			h.mu.Lock()
			h.began++
			h.mu.Unlock()
			_ = c.Write(ctx, websocket.MessageText, []byte(`{"type":"response.created","response":{"id":"resp_1"}}`))
		}
	}
}

func (h *hearing) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.heard...)
}

// form is one way in which a message may look.
type form struct {
	name, text string
	kind       websocket.MessageType
	// code is what closes the connection; 0 where the message is answered.
	code websocket.StatusCode
}

// unclearForms are those that must not reach upstream, whatever runs.
func unclearForms() []form {
	const text, binary = websocket.MessageText, websocket.MessageBinary
	const invalid, unsupported = websocket.StatusInvalidFramePayloadData, websocket.StatusUnsupportedData
	return []form{
		{"binary", create, binary, unsupported},
		{"binary that is no text", "\x00\xff\x01", binary, unsupported},
		{"nothing, binary", "", binary, unsupported},
		{"nothing", "", text, 0},
		{"words", "bye", text, 0},
		{"an array", "[" + create + "]", text, 0},
		{"a byte order mark", "\ufeff" + create, text, 0},
		{"a no-break space", "\u00a0" + create, text, 0},
		{"a line feed between two", create + "\n" + create, text, 0},
		{"a broken object", create[:len(create)-2], text, 0},
		{"type twice, the last one harmless", `{"type":"response.create","model":"gpt-5.1-codex","type":"x"}`, text, 0},
		{"type twice, the first one harmless", `{"type":"response.processed","model":"gpt-5.1-codex","type":"response.create"}`, text, 0},
		{"type twice, one escaped", `{"type":"response.processed","\u0074ype":"response.create"}`, text, 0},
		{"Type", `{"Type":"response.create","model":"gpt-5.1-codex"}`, text, 0},
		{"type and TYPE", `{"type":"response.processed","TYPE":"response.create"}`, text, 0},
		{"no type", `{"model":"gpt-5.1-codex","input":"hello"}`, text, 0},
		{"a type that is a list", `{"type":["response.create"],"model":"gpt-5.1-codex"}`, text, 0},
		{"the model twice", `{"type":"response.create","model":"gpt-5.1-codex","model":"gpt-5-pro"}`, text, 0},
		{"Latin-1", "{\"type\":\"response.create\",\"model\":\"gpt-5.1-codex\",\"input\":\"caf\xe9\"}", text, invalid},
		{"UTF-16", "\xff\xfe{\x00\"\x00t\x00y\x00p\x00e\x00\"\x00", text, invalid},
	}
}

func TestAMessageThatIsNotUnderstoodIsRefusedOnRecordAndNotSentOn(t *testing.T) {
	for _, runs := range []bool{false, true} {
		name := map[bool]string{false: "while nothing runs", true: "within an exchange"}[runs]
		t.Run(name, func(t *testing.T) {
			upstream := &hearing{}
			f := newFixture(t, options{upstream: relay(t, upstream.serve)})
			refused, own := 0, 0
			for _, form := range unclearForms() {
				c := f.dial()
				if runs {
					send(t, c, create)
					readUntil(t, c, "response.created")
					own++
				}
				wasRefused(t, c, form)
				_ = c.CloseNow()
				refused++
			}
			all := f.exchanges(refused + own)
			for _, e := range all {
				if e.Refusal == "" {
					continue
				}
				refused--
				if e.Refusal != "message_not_understood" || e.Outcome != exchange.Refused || e.Status != 400 || e.Developer != "alice@example.com" ||
					e.ErrorOrigin != exchange.OriginProxy || e.Usage.State != exchange.UsageNone || !strings.Contains(e.Error, "not sent on") {
					t.Errorf("on record as %+v", e)
				}
			}
			if refused != 0 {
				t.Errorf("%d are not on record as refused", refused)
			}
			if heard := upstream.all(); len(heard) != own {
				t.Errorf("upstream heard %q", heard)
			}
		})
	}
}

// wasRefused sends a message and looks at how it is refused.
func wasRefused(t *testing.T, c *websocket.Conn, form form) {
	t.Helper()
	if err := c.Write(t.Context(), form.kind, []byte(form.text)); err != nil {
		t.Fatal(err)
	}
	_, answer, err := readOne(t, c)
	if form.code != 0 {
		if websocket.CloseStatus(err) != form.code || !strings.Contains(err.Error(), "codex-proxy: ") || !strings.Contains(err.Error(), "(request ") {
			t.Errorf("%s: the client saw %s, %v; want close code %d", form.name, answer, err, form.code)
		}
		return
	}
	message := gjson.GetBytes(answer, "response.error.message").String()
	if err != nil || gjson.GetBytes(answer, "response.error.code").String() != "invalid_prompt" || !strings.HasPrefix(message, "codex-proxy: this WebSocket message was not sent on") {
		t.Errorf("%s: the client got %s, %v", form.name, answer, err)
	}
}

// TestWhatUpstreamHearsOnAWebSocketIsOnRecord holds for every form of a message:
// it is on record, byte for byte, or upstream does not hear it.
func TestWhatUpstreamHearsOnAWebSocketIsOnRecord(t *testing.T) {
	forms := unclearForms()
	for _, text := range []string{
		create,
		" \r\n" + create + "\t",
		strings.Replace(create, `"type"`, `"\u0074ype"`, 1),
		`{"type":"response\u002ecreate","model":"gpt-5.1-codex","input":"escaped"}`,
		`{"type":"RESPONSE.CREATE","model":"gpt-5.1-codex","input":"loud"}`,
		`{"type":"response.create ","model":"gpt-5.1-codex","input":"with a space"}`,
		`{"type":"response.interrupt","response_id":"resp_1","mode":"discard_partial_items"}`,
		`{"type":"response.cancel"}`,
		`{"type":"response.processed","response_id":"resp_1"}`,
		`{"type":"response.steer","previous_response_id":"resp_1","input":"to the left"}`,
		`{"type":"session.update","session":{"instructions":"unrecorded words"}}`,
		`{"type":"response.append","input":[{"role":"user","content":"more"}]}`,
		`{"type":"tomorrow","stream_id":"main"}`,
	} {
		forms = append(forms, form{name: text, text: text, kind: websocket.MessageText})
	}
	for name, o := range map[string]options{"searched": {}, "unsearched": {unsearched: true}} {
		t.Run(name, func(t *testing.T) {
			upstream := &hearing{}
			o.upstream = relay(t, upstream.serve)
			o.limits = func(l *gateway.Limits) { l.Sockets = 0 }
			f := newFixture(t, o)
			sent := 0
			for _, form := range forms {
				for _, runs := range []bool{false, true} {
					c := f.dial()
					if runs {
						send(t, c, create)
						readUntil(t, c, "response.created")
						sent++
					}
					if err := c.Write(t.Context(), form.kind, []byte(form.text)); err != nil {
						t.Fatal(err)
					}
					// The message is through when the one behind it is.
					send(t, c, create)
					readToEnd(t, c, "response.created")
					_ = c.Close(websocket.StatusNormalClosure, "")
				}
			}
			var recorded bytes.Buffer
			f.settled()
			f.mu.Lock()
			ledger := append([]exchange.Exchange(nil), f.ledger...)
			f.mu.Unlock()
			for _, e := range ledger {
				if e.Outcome != exchange.Refused {
					recorded.WriteByte('\n')
					recorded.Write(f.document(e).Request.Bytes())
				}
			}
			heard := upstream.all()
			if len(heard) < sent {
				t.Errorf("upstream heard %d messages, and of %d alone it is certain", len(heard), sent)
			}
			for _, message := range heard {
				if !bytes.Contains(recorded.Bytes(), []byte("\n"+message+"\n")) {
					t.Errorf("upstream heard %q, which is not on record", message)
				}
			}
		})
	}
}

// readToEnd reads up to the first message of a type, or to the connection's end.
func readToEnd(t *testing.T, c *websocket.Conn, kind string) {
	t.Helper()
	for {
		_, message, err := readOne(t, c)
		if err != nil || openai.FrameType(message) == kind {
			return
		}
	}
}

// settled waits until every exchange that began on a WebSocket is closed.
func (f *fixture) settled() {
	f.t.Helper()
	f.gateway.Drain(f.t.Context())
	for waiting, _ := f.spool.Depth(); waiting > 0; waiting, _ = f.spool.Depth() {
		time.Sleep(2 * time.Millisecond)
	}
}

func TestAMessageWithinAnExchangeIsOnRecordWithIt(t *testing.T) {
	upstream := &hearing{}
	f := newFixture(t, options{upstream: relay(t, upstream.serve), policy: &developer.Policy{Models: []string{"gpt-5.1*"}}})
	c := f.dial()
	const interrupt = `{"type":"response.interrupt","response_id":"resp_1","mode":"discard_partial_items"}`
	send(t, c, create)
	readUntil(t, c, "response.created")
	send(t, c, interrupt)
	send(t, c, `{"type":"tomorrow","model":"gpt-5.1-codex"}`)
	refused := readUntil(t, c, "response.failed")
	if !bytes.Contains(refused[len(refused)-1], []byte("cannot tell which model")) {
		t.Errorf("a message that may ask any model got %s", refused)
	}
	_ = c.Close(websocket.StatusNormalClosure, "")
	all := f.exchanges(2)
	if got := string(f.document(all[0]).Request.Bytes()); got != create+"\n"+interrupt+"\n" {
		t.Errorf("on record is %q", got)
	}
	if all[1].Refusal != "model_not_allowed" || string(f.document(all[1]).Request.Bytes()) != `{"type":"tomorrow","model":"gpt-5.1-codex"}`+"\n" {
		t.Errorf("the refused message is on record as %+v", all[1])
	}
	if heard := upstream.all(); len(heard) != 2 {
		t.Errorf("upstream heard %q", heard)
	}
}

func TestAMessageThatBeginsNoExchangeIsRefusedWhileThereIsNone(t *testing.T) {
	upstream := &hearing{}
	f := newFixture(t, options{upstream: relay(t, upstream.serve)})
	c := f.dial()
	texts := []string{
		`{"type":"session.update","session":{"instructions":"unrecorded words"}}`,
		`{"type":"response.append","input":[{"role":"user","content":"more"}]}`,
		`{"type":"RESPONSE.CREATE","model":"gpt-5.1-codex"}`,
		`{"type":"response.steer","previous_response_id":"resp_of_others","input":"more"}`,
		`{"type":"response.cancel"}`,
	}
	for _, text := range texts {
		wasRefused(t, c, form{name: text, text: text, kind: websocket.MessageText})
	}
	for i, e := range f.exchanges(len(texts)) {
		if got := string(f.document(e).Request.Bytes()); e.Refusal != "message_not_understood" || got != texts[i]+"\n" {
			t.Errorf("on record as %q: %s", e.Refusal, got)
		}
	}
	if heard := upstream.all(); len(heard) != 0 {
		t.Errorf("upstream heard %q", heard)
	}
}

func TestSteeringIsHeldToTheBudgetAndInterruptingIsNot(t *testing.T) {
	upstream := &hearing{}
	f := newFixture(t, options{upstream: relay(t, upstream.serve), policy: &developer.Policy{DeveloperBudgetNanos: 5e9}})
	c := f.dial()
	send(t, c, create)
	readUntil(t, c, "response.created")
	f.mu.Lock()
	f.spent = 6e9
	f.mu.Unlock()
	send(t, c, `{"type":"response.steer","previous_response_id":"resp_1","input":"more"}`)
	if refused := readUntil(t, c, "error")[0]; gjson.GetBytes(refused, "status").Int() != 429 {
		t.Errorf("the steering got %s", refused)
	}
	send(t, c, `{"type":"response.interrupt","response_id":"resp_1"}`)
	_ = c.Close(websocket.StatusNormalClosure, "")
	if all := f.exchanges(2); all[1].Refusal != "budget_exceeded" {
		t.Errorf("on record as %+v", all[1])
	}
	if heard := upstream.all(); len(heard) != 2 || !strings.Contains(heard[1], "interrupt") {
		t.Errorf("upstream heard %q", heard)
	}
}

func TestAMessageOverTheLimitIsRefusedOnRecord(t *testing.T) {
	f := newFixture(t, options{limits: func(l *gateway.Limits) { l.Frame = 1 << 20 }})
	c := f.dial()
	send(t, c, `{"type":"response.create","input":"`+strings.Repeat("x", 2<<20)+`"}`)
	_, _, err := readOne(t, c)
	if websocket.CloseStatus(err) != websocket.StatusMessageTooBig || !strings.Contains(err.Error(), "codex-proxy: a message is larger than 1 MiB (request ") {
		t.Errorf("the client saw %v, want close code 1009", err)
	}
	e := f.exchanges(1)[0]
	if e.Refusal != "too_large" || e.Outcome != exchange.Refused || e.Developer != "alice@example.com" || e.RequestBytes <= 1<<20 {
		t.Errorf("on record as %+v", e)
	}
	if doc := f.document(e); len(doc.Request.Bytes()) != 0 || doc.Request.Incomplete == "" {
		t.Errorf("the record holds %d bytes that were not searched, incomplete %q", len(doc.Request.Bytes()), doc.Request.Incomplete)
	}
	if !strings.Contains(f.log.String(), e.ID) {
		t.Error("the log does not say so")
	}
}
