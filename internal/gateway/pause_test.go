package gateway_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
)

// pause is longer than every limit of the tests here, of which none is about a side
// that only waits.
const pause = 300 * time.Millisecond

func shortLimits(l *gateway.Limits) { l.Write = pause / 3 }

// TestAnswersMayPauseForLongerThanAClientMayTakeToRead has the model think before
// its first event, between two events, and before the end.
func TestAnswersMayPauseForLongerThanAClientMayTakeToRead(t *testing.T) {
	pieces := []string{
		"event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n",
		"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r\",\"usage\":{\"input_tokens\":5,\"output_tokens\":2,\"total_tokens\":7}}}\n\n",
	}
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(pause)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, piece := range pieces {
			_, _ = io.WriteString(w, piece)
			w.(http.Flusher).Flush()
			time.Sleep(pause)
		}
	}))
	f := newFixture(t, options{upstream: server, limits: shortLimits, bodyIdle: pause / 3})
	if response, body := f.ask("hello"); response.StatusCode != http.StatusOK || string(body) != strings.Join(pieces, "") {
		t.Errorf("got %s %q", response.Status, body)
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Completed || e.Usage.State != exchange.UsageExact {
		t.Errorf("on record as %s %s, usage %+v", e.Outcome, e.Error, e.Usage)
	}
}

// TestAnUpstreamThatIsSlowToReadIsNotTheClientsPause has upstream take longer for a
// piece than a client may pause.
func TestAnUpstreamThatIsSlowToReadIsNotTheClientsPause(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 1)
		_, _ = io.ReadFull(r.Body, first)
		time.Sleep(pause)
		n, _ := io.Copy(io.Discard, r.Body)
		time.Sleep(pause)
		_, _ = io.WriteString(w, `{"size":"`+strings.Repeat("x", int(n)%7)+`"}`)
	}))
	f := newFixture(t, options{upstream: server, unsearched: true, limits: shortLimits, bodyIdle: pause / 3})
	for _, size := range []int{10, 8 << 20} { // the large one is still on its way when upstream pauses
		body := bytes.Repeat([]byte("x"), size)
		response, answer := f.do(f.request("POST", "/v1/responses", bytes.NewReader(body)))
		if response.StatusCode != http.StatusOK {
			t.Errorf("%d bytes: %s %s", size, response.Status, answer)
		}
	}
	for _, e := range f.exchanges(2) {
		if e.Outcome != exchange.Completed {
			t.Errorf("on record as %s: %s", e.Outcome, e.Error)
		}
	}
}

// TestAConnectionsLaterRequestsAreNotCutByAnEarlierOnesDeadline: over HTTP/1.1 they
// share its deadlines, too.
func TestAConnectionsLaterRequestsAreNotCutByAnEarlierOnesDeadline(t *testing.T) {
	f := newFixture(t, options{limits: shortLimits, bodyIdle: pause / 3})
	for range 3 {
		if response, body := f.ask("hello"); response.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("response.completed")) {
			t.Errorf("got %s %s", response.Status, body)
		}
		time.Sleep(pause / 2)
	}
}
