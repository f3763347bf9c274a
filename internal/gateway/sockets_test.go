package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
)

// tryDial opens one more WebSocket with a token, or returns what it was answered.
func (f *fixture) tryDial(token string) (*websocket.Conn, *http.Response, error) {
	header := f.request("GET", "/v1/responses", nil).Header
	header.Set("Authorization", "Bearer "+token)
	c, response, err := websocket.Dial(f.t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{HTTPClient: f.proxy.Client(), HTTPHeader: header})
	if err == nil {
		f.t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, response, err
}

func TestATokenHasOnlySoManyWebSocketsOpen(t *testing.T) {
	upstream := &hearing{}
	f := newFixture(t, options{upstream: relay(t, upstream.serve), limits: func(l *gateway.Limits) { l.Sockets = 3 }})
	busy, idlest, idle := f.dial(), f.dial(), f.dial()
	send(t, busy, create)
	readUntil(t, busy, "response.created")
	send(t, idle, "words") // is refused, and so spoken of last
	readUntil(t, idle, "response.failed")

	closed := make(chan error, 1)
	go func() {
		_, _, err := readOne(t, idlest)
		closed <- err
	}()
	another, _, err := f.tryDial(f.token)
	if err != nil {
		t.Fatalf("at the limit the idlest makes room; got %v", err)
	}
	if err := <-closed; websocket.CloseStatus(err) != websocket.StatusGoingAway || !strings.Contains(err.Error(), "codex-proxy: this WebSocket was idle for longest") {
		t.Errorf("the idlest saw %v", err)
	}
	for _, c := range []*websocket.Conn{idle, another} {
		send(t, c, create)
		readUntil(t, c, "response.created")
	}
	_, response, err := f.tryDial(f.token)
	if err == nil || response.StatusCode != http.StatusUpgradeRequired || response.Header.Get("X-Codex-Proxy-Refusal") != "websocket_unavailable" {
		t.Errorf("while all are at work: %v, %v, want 426", response, err)
	}
	if _, response, err := f.tryDial(f.addDeveloper("bob@example.com", "platform")); err != nil {
		t.Errorf("another token's: %v, %v", response, err)
	}
	_ = busy.Close(websocket.StatusNormalClosure, "")
	f.exchanges(3) // the two refusals, and the one that has ended
	if _, response, err := f.tryDial(f.token); err != nil {
		t.Errorf("when one has left: %v, %v", response, err)
	}
}

// TestOpeningWebSocketsAtOnceDoesNotGoBeyondTheLimit counts at upstream.
func TestOpeningWebSocketsAtOnceDoesNotGoBeyondTheLimit(t *testing.T) {
	const limit, at = 4, 40
	open := make(chan int, 1)
	open <- 0
	most := 0
	count := func(n int) {
		now := <-open + n
		most = max(most, now)
		open <- now
	}
	f := newFixture(t, options{
		limits: func(l *gateway.Limits) { l.Sockets = limit },
		upstream: relay(t, func(ctx context.Context, c *websocket.Conn) {
			count(1)
			defer count(-1)
			_, _, _ = c.Read(ctx)
		}),
	})
	dialled := make(chan error, at)
	for range at {
		go func() {
			c, response, err := f.tryDial(f.token)
			switch {
			case err == nil:
				c.CloseRead(context.Background())
			case response != nil && response.StatusCode == http.StatusUpgradeRequired:
				err = nil
			}
			dialled <- err
		}()
	}
	for range at {
		if err := <-dialled; err != nil {
			t.Error(err)
		}
	}
	<-open
	// One that is being closed may be seen beside the one that takes its place.
	if most > 2*limit {
		t.Errorf("%d WebSockets were open at once", most)
	}
}

func TestWithoutABoundThereIsNone(t *testing.T) {
	f := newFixture(t, options{limits: func(l *gateway.Limits) { l.Sockets = 0 }})
	for range 20 {
		f.dial()
	}
}

func TestAWarmUpUsesUpNoRateAndIsHeldToAllElse(t *testing.T) {
	f := newFixture(t, options{policy: &developer.Policy{RequestsPerMinute: 1, DeveloperBudgetNanos: 5e9, Models: []string{"gpt-5.1*"}}})
	c := f.dial()
	warmUp := strings.Replace(create, `"input"`, `"generate":false,"input"`, 1)
	for range 3 {
		send(t, c, warmUp)
		readUntil(t, c, "response.completed")
	}
	send(t, c, create)
	readUntil(t, c, "response.completed")
	send(t, c, create)
	readUntil(t, c, "error")
	send(t, c, warmUp)
	readUntil(t, c, "response.completed")
	send(t, c, strings.Replace(warmUp, "gpt-5.1-codex", "gpt-5-pro", 1))
	readUntil(t, c, "response.failed")
	f.mu.Lock()
	f.spent = 6e9
	f.mu.Unlock()
	send(t, c, warmUp)
	readUntil(t, c, "error")

	var got []string
	for _, e := range f.exchanges(8) {
		got = append(got, fmt.Sprintf("%t %s", e.Warmup, e.Refusal))
	}
	want := "true |true |true |false |false rate_limited|true |true model_not_allowed|true budget_exceeded"
	if strings.Join(got, "|") != want {
		t.Errorf("on record are %q", got)
	}
}

// TestWhatUpstreamDoesNotTakeIsNotTheDevelopersFault: upstream reads the first
// message and no other.
func TestWhatUpstreamDoesNotTakeIsNotTheDevelopersFault(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	f := newFixture(t, options{
		limits: func(l *gateway.Limits) { l.Write = 300 * time.Millisecond },
		upstream: relay(t, func(ctx context.Context, c *websocket.Conn) {
			if _, _, err := c.Read(ctx); err == nil {
				_ = c.Write(ctx, websocket.MessageText, []byte(created("r1", "gpt-5.1-codex").text))
			}
			<-stop
		}),
	})
	c, _, err := f.tryDial(f.token) // without compression, so that buffers fill
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, create)
	readUntil(t, c, "response.created")
	large := `{"type":"response.create","model":"gpt-5.1-codex","input":"` + strings.Repeat("x ", 8<<20) + `"}`
	if err := c.Write(t.Context(), websocket.MessageText, []byte(large)); err != nil {
		t.Fatal(err)
	}
	_, _, err = readOne(t, c)
	if websocket.CloseStatus(err) != websocket.StatusInternalError || !strings.Contains(err.Error(), "codex-proxy: OpenAI does not take what you send") {
		t.Errorf("the client saw %v", err)
	}
	all := f.exchanges(2)
	if e := all[0]; e.Outcome != exchange.UpstreamError || e.ErrorOrigin != exchange.OriginOpenAI || e.Usage.State != exchange.UsageEstimated {
		t.Errorf("the one that upstream took is on record as %s by %s (%s), usage %s", e.Outcome, e.ErrorOrigin, e.Error, e.Usage.State)
	}
	if e := all[1]; e.Outcome != exchange.UpstreamError || e.ErrorOrigin != exchange.OriginProxy || e.Refusal != "upstream_unreachable" ||
		e.Usage.State != exchange.UsageNone || e.Cost.State != exchange.CostNone || e.Usage.Total != 0 {
		t.Errorf("the one that it did not is on record as %s by %s (%s), usage %+v", e.Outcome, e.ErrorOrigin, e.Error, e.Usage)
	}
}

// TestUpstreamsReasonToTakeNoMorePassesOn: a close code is worth more than the
// failed write that it causes.
func TestUpstreamsReasonToTakeNoMorePassesOn(t *testing.T) {
	f := newFixture(t, options{upstream: relay(t, func(_ context.Context, c *websocket.Conn) {
		_ = c.Close(4321, "enough")
	})})
	c := f.dial()
	_ = c.Write(t.Context(), websocket.MessageText, []byte(create)) // the connection may be closed already
	_, _, err := readOne(t, c)
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 4321 {
		t.Errorf("the client saw %v", err)
	}
}
