package gateway_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
)

// line is one step of a conversation on a WebSocket: the client sends, or upstream.
type line struct {
	from, text string
}

const client, server = "client", "server"

// converse plays lines in their order: each is through to the other side before the
// next one is said.
func converse(t *testing.T, o options, lines ...line) *fixture {
	t.Helper()
	says, heard := make(chan string, len(lines)), make(chan string, len(lines))
	o.upstream = relay(t, func(ctx context.Context, c *websocket.Conn) {
		go func() {
			for text := range says {
				_ = c.Write(ctx, websocket.MessageText, []byte(text))
			}
			_ = c.Close(websocket.StatusNormalClosure, "")
		}()
		for {
			_, message, err := c.Read(ctx)
			if err != nil {
				return
			}
			heard <- string(message)
		}
	})
	f := newFixture(t, o)
	c := f.dial()
	for _, line := range lines {
		if line.from == client {
			send(t, c, line.text)
			select {
			case got := <-heard:
				if got != line.text {
					t.Errorf("upstream got %s", got)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("upstream did not get %s", line.text)
			}
			continue
		}
		says <- line.text
		if _, got, err := readOne(t, c); err != nil || string(got) != line.text {
			t.Fatalf("for %s the client got %s, %v", line.text, got, err)
		}
	}
	close(says)
	_, _, _ = readOne(t, c)
	return f
}

func asks(model, more string) line {
	return line{client, `{"type":"response.create","model":"` + model + `","input":"hello"` + more + `}`}
}

func created(id, model string) line {
	return line{server, `{"type":"response.created","response":{"id":"` + id + `","model":"` + model + `"}}`}
}

func delta(text string) line {
	return line{server, `{"type":"response.output_text.delta","item_id":"msg_1","delta":"` + text + `"}`}
}

// ends is the last event of a response that took so many tokens.
func ends(kind, id, tokens string) line {
	status := strings.TrimPrefix(kind, "response.")
	failure := ""
	if status == "failed" {
		failure = `"error":{"code":"server_error","message":"boom"},`
	}
	return line{server, `{"type":"` + kind + `","response":{"id":"` + id + `","status":"` + status + `",` + failure +
		`"usage":{"input_tokens":` + tokens + `,"output_tokens":0,"total_tokens":` + tokens + `}}}`}
}

var (
	bad  = line{server, `{"type":"error","status":400,"error":{"type":"invalid_request_error","message":"bad"}}`}
	boom = line{server, `{"type":"error","code":"server_error","message":"boom"}`}
)

// TestAnEventIsOnRecordWithTheExchangeThatItBelongsTo names, for each exchange in
// the order in which they begin, its outcome, its tokens and the lines on its record.
func TestAnEventIsOnRecordWithTheExchangeThatItBelongsTo(t *testing.T) {
	type is struct {
		outcome exchange.Outcome
		tokens  int64 // -1 where none are known
		lines   []int
	}
	const completed, failed, broken = exchange.Completed, exchange.Failed, exchange.UpstreamError
	for name, c := range map[string]struct {
		lines []line
		want  []is
	}{
		"one after the other": {
			[]line{
				asks("gpt-a", ""), created("r1", "gpt-a"), delta("x"), ends("response.completed", "r1", "7"),
				asks("gpt-a", ""), created("r2", "gpt-a"), delta("y"), ends("response.completed", "r2", "9"),
			},
			[]is{{completed, 7, []int{0, 1, 2, 3}}, {completed, 9, []int{4, 5, 6, 7}}},
		},
		"the second is faster, and known by its model": {
			[]line{
				asks("gpt-slow", ""), asks("gpt-fast", ""),
				created("r2", "gpt-fast-2026-01-01"), delta("y"), ends("response.completed", "r2", "9"),
				created("r1", "gpt-slow"), delta("x"), ends("response.completed", "r1", "7"),
			},
			[]is{{completed, 7, []int{0, 5, 6, 7}}, {completed, 9, []int{1, 2, 3, 4}}},
		},
		"the second is faster, and both are begun": {
			[]line{
				asks("gpt-a", ""), asks("gpt-a", ""), created("r1", "gpt-a"), delta("x"), created("r2", "gpt-a"), delta("y"),
				ends("response.completed", "r2", "9"), ends("response.completed", "r1", "7"),
			},
			[]is{{completed, 7, []int{0, 2, 3, 7}}, {completed, 9, []int{1, 4, 5, 6}}},
		},
		"each on a lane": {
			[]line{
				asks("gpt-a", `,"stream_id":"a"`), asks("gpt-a", `,"stream_id":"b"`),
				{server, `{"type":"response.created","stream_id":"b","response":{"id":"r2"}}`},
				{server, `{"type":"response.created","stream_id":"a","response":{"id":"r1"}}`},
				{server, `{"type":"response.output_text.delta","stream_id":"b","delta":"y"}`},
				{server, `{"type":"response.output_text.delta","stream_id":"a","delta":"x"}`},
				{server, `{"type":"error","status":400,"stream_id":"b","error":{"message":"bad"}}`},
				ends("response.completed", "r1", "7"),
			},
			[]is{{completed, 7, []int{0, 3, 5, 7}}, {failed, -1, []int{1, 2, 4, 6}}},
		},
		"the second is refused while the first is answered": {
			[]line{
				asks("gpt-a", ""), created("r1", "gpt-a"), asks("gpt-a", ""), bad, delta("x"), ends("response.completed", "r1", "7"),
			},
			[]is{{completed, 7, []int{0, 1, 4, 5}}, {failed, -1, []int{2, 3}}},
		},
		"an error that names no request is the answer's that is given": {
			[]line{
				asks("gpt-a", ""), created("r1", "gpt-a"), asks("gpt-a", ""), boom, ends("response.failed", "r1", "7"),
				created("r2", "gpt-a"), ends("response.completed", "r2", "9"),
			},
			[]is{{failed, 7, []int{0, 1, 3, 4}}, {completed, 9, []int{2, 5, 6}}},
		},
		"what fails after an error, when the next one is asked for": {
			[]line{
				asks("gpt-a", ""), boom, asks("gpt-a", ""), ends("response.failed", "r1", "7"),
				created("r2", "gpt-a"), ends("response.completed", "r2", "9"),
			},
			[]is{{failed, 7, []int{0, 1, 3}}, {completed, 9, []int{2, 4, 5}}},
		},
		"an error that ends nothing": {
			[]line{
				asks("gpt-a", ""), created("r1", "gpt-a"),
				{client, `{"type":"response.cancel","response_id":"x"}`},
				bad,
				delta("x"), ends("response.completed", "r1", "7"),
			},
			[]is{{completed, 7, []int{0, 1, 2, 3, 4, 5}}},
		},
		"what is late for one while the next waits": {
			[]line{
				asks("gpt-a", ""), created("r1", "gpt-a"), ends("response.completed", "r1", "7"), asks("gpt-a", ""),
				{server, `{"type":"response.late","response_id":"r1"}`},
				created("r2", "gpt-a"), ends("response.completed", "r2", "9"),
			},
			[]is{{completed, 7, []int{0, 1, 2}}, {completed, 9, []int{3, 5, 6}}, {completed, -1, []int{4}}},
		},
		"a response that begins by itself, after steering": {
			[]line{
				asks("gpt-a", ""), created("r1", "gpt-a"),
				{client, `{"type":"response.steer","previous_response_id":"r1","input":"more"}`},
				{server, `{"type":"response.steer.accepted","steer":{"id":"s1","previous_response_id":"r1"}}`},
				ends("response.incomplete", "r1", "7"), created("r2", "gpt-a"), delta("y"), ends("response.completed", "r2", "9"),
			},
			[]is{{completed, 7, []int{0, 1, 2, 3, 4}}, {completed, 9, []int{5, 6, 7}}},
		},
		"a response that begins by itself, and breaks off": {
			[]line{
				asks("gpt-a", ""), created("r1", "gpt-a"), ends("response.completed", "r1", "7"), created("r2", "gpt-a"), delta("y"),
			},
			[]is{{completed, 7, []int{0, 1, 2}}, {broken, -1, []int{3, 4}}},
		},
		"what comes when nothing runs": {
			[]line{
				{server, `{"type":"codex.rate_limits"}`},
				asks("gpt-a", ""), created("r1", "gpt-a"), ends("response.completed", "r1", "7"),
				{server, `{"type":"response.late","response_id":"r1"}`},
				{server, `{"type":"timing"}`},
				{client, `{"type":"response.processed","response_id":"r1"}`},
				asks("gpt-a", ""),
				{server, `{"type":"response.later","response_id":"r1"}`},
				created("r2", "gpt-a"), ends("response.completed", "r2", "9"),
			},
			[]is{{completed, -1, []int{0}}, {completed, 7, []int{1, 2, 3}}, {completed, -1, []int{4, 5, 6, 8}}, {completed, 9, []int{7, 9, 10}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := converse(t, options{limits: func(l *gateway.Limits) { l.Late = time.Hour }}, c.lines...)
			all := f.exchanges(len(c.want))
			for i, want := range c.want {
				e := all[i]
				tokens := e.Usage.Total
				if e.Usage.State != exchange.UsageExact {
					tokens = -1
				}
				if e.Outcome != want.outcome || tokens != want.tokens {
					t.Errorf("exchange %d is on record as %s (%s) with %d tokens (%s), want %s with %d", i, e.Outcome, e.Error, tokens, e.Usage.State, want.outcome, want.tokens)
				}
				var asked, told strings.Builder
				for _, n := range want.lines {
					side := &asked
					if c.lines[n].from == server {
						side = &told
					}
					side.WriteString(c.lines[n].text + "\n")
				}
				doc := f.document(e)
				if got := string(doc.Request.Bytes()); got != asked.String() {
					t.Errorf("exchange %d has the request\n%swant\n%s", i, got, asked.String())
				}
				if got := string(doc.Response.Bytes()); got != told.String() {
					t.Errorf("exchange %d has the answer\n%swant\n%s", i, got, told.String())
				}
			}
		})
	}
}

// TestWhatNobodyAskedForIsNeitherFreeNorCharged: a response that upstream began and
// broke off has an unknown price; what is no response has none.
func TestWhatNobodyAskedForIsNeitherFreeNorCharged(t *testing.T) {
	f := converse(t, options{}, line{server, `{"type":"codex.rate_limits"}`})
	if e := f.exchanges(1)[0]; e.Usage.State != exchange.UsageNone || e.Cost.State != exchange.CostNone {
		t.Errorf("an event that is no answer: %+v, %+v", e.Usage, e.Cost)
	}
	f = converse(t, options{}, created("r1", "gpt-a"), delta("x"))
	if e := f.exchanges(1)[0]; e.Usage.State != exchange.UsageMissing || e.Cost.State != exchange.CostUnpriced || e.Model != "gpt-a" {
		t.Errorf("a response that broke off: %+v, %+v", e.Usage, e.Cost)
	}
}

func TestAFailedExchangeIsSettledWhenNothingMoreComes(t *testing.T) {
	f := newFixture(t, options{
		limits: func(l *gateway.Limits) { l.Late = time.Millisecond },
		upstream: relay(t, func(ctx context.Context, c *websocket.Conn) {
			for {
				if _, _, err := c.Read(ctx); err != nil {
					return
				}
				_ = c.Write(ctx, websocket.MessageText, []byte(bad.text))
			}
		}),
	})
	c := f.dial()
	send(t, c, create)
	if got := readUntil(t, c, "error"); string(got[0]) != bad.text {
		t.Errorf("the client got %s", got)
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Failed || e.ErrorOrigin != exchange.OriginOpenAI || e.Error != "invalid_request_error: bad" {
		t.Errorf("on record as %+v", e)
	}
	send(t, c, create) // the connection goes on
	readUntil(t, c, "error")
	f.exchanges(2)
}

func TestAnIDOfAnExchangeOnAWebSocketIsOfTheInstantAtWhichItBegan(t *testing.T) {
	f := converse(t, options{}, asks("gpt-a", ""), created("r1", "gpt-a"), ends("response.completed", "r1", "7"))
	e := f.exchanges(1)[0]
	at, err := exchange.IDTime(e.ID)
	if err != nil || !at.Equal(e.Started.Truncate(time.Millisecond)) {
		t.Errorf("the id is of %s, the exchange of %s; %v", at, e.Started, err)
	}
}
