package gateway_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/simulated"
)

// long is a request of about so many bytes.
func long(size int) []byte { return askBody(strings.Repeat("word ", size/5)) }

// holdsNothing waits until nothing is held any more.
func (f *fixture) holdsNothing(when string) {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); f.gateway.Memory.Held() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("%d bytes are held %s", f.gateway.Memory.Held(), when)
		}
	}
}

// TestAllRequestsTogetherHaveOneBound holds back the end of large requests, so that
// what came of them is held. Those without room are told that it is the proxy.
func TestAllRequestsTogetherHaveOneBound(t *testing.T) {
	const limit, size, requests = 8 << 20, 3 << 20, 6
	f := newFixture(t, options{memory: limit, memoryWait: 200 * time.Millisecond})
	ends := make(chan struct{})
	statuses := make(chan string, requests)
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			body, text := long(size), io.Reader(nil)
			reader, writer := io.Pipe()
			text = io.MultiReader(bytes.NewReader(body[:len(body)-1]), reader, bytes.NewReader(body[len(body)-1:]))
			go func() { <-ends; _ = writer.Close() }()
			response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", text))
			if err != nil {
				statuses <- err.Error()
				return
			}
			defer response.Body.Close()
			answer, _ := io.ReadAll(response.Body)
			statuses <- fmt.Sprint(response.StatusCode, " ", strings.Contains(string(answer), "holds as much in memory"))
		})
	}
	if first := <-statuses; first != "503 true" { // one of those that found no room
		t.Errorf("a request without room is answered %s", first)
	}
	if held := f.gateway.Memory.Held(); held > limit {
		t.Errorf("%d bytes are held of %d", held, limit)
	}
	close(ends)
	all.Wait()
	close(statuses)
	answered := 0
	for status := range statuses {
		if status == "200 false" {
			answered++
		}
	}
	if answered == 0 {
		t.Error("no request was answered")
	}
	f.holdsNothing("after all requests")
}

// TestAFewBytesThatUnfoldToMillionsAreRefusedFlat sends what only zstd can do.
func TestAFewBytesThatUnfoldToMillionsAreRefusedFlat(t *testing.T) {
	onlyOver(t, "HTTP/1.1")
	f := newFixture(t, options{memory: 256 << 20})
	encoder := must(zstd.NewWriter(nil))
	bomb := encoder.EncodeAll(long(60<<20), nil)
	if len(bomb) > 60<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	for range 3 {
		r := f.request("POST", "/v1/responses", bytes.NewReader(bomb))
		r.Header.Set("Content-Encoding", "zstd")
		if response, body := f.do(r); response.Header.Get("X-Codex-Proxy-Refusal") != "too_large" {
			t.Errorf("answered %s: %.200s", response.Status, body)
		}
	}
	r := f.request("POST", "/v1/responses", bytes.NewReader(encoder.EncodeAll(long(900<<10), nil)))
	r.Header.Set("Content-Encoding", "zstd")
	if response, body := f.do(r); response.StatusCode != http.StatusOK {
		t.Errorf("what unfolds to less than a MiB is answered %s: %.200s", response.Status, body)
	}
	f.holdsNothing("after all requests")
}

// TestARequestIsLetGoOnceItsAnswerBegins: an answer may take an hour.
func TestARequestIsLetGoOnceItsAnswerBegins(t *testing.T) {
	over := make(chan struct{})
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"type\":\"response.created\"}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-over
	}))
	f := newFixture(t, options{upstream: server})
	response := must(f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(long(1<<20)))))
	f.holdsNothing("while the answer goes on")
	close(over)
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// TestAnEventThatFindsNoRoomEndsItsAnswer: an event is held until it is whole where
// a secret may have to be put back into it.
func TestAnEventThatFindsNoRoomEndsItsAnswer(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"type\":\"response.created\",\"pad\":\""+strings.Repeat("x", 2<<20))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	f := newFixture(t, options{upstream: server, memory: 1 << 20, memoryWait: 10 * time.Millisecond})
	response := must(f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(turn(planted, 0)))))
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("the client takes the answer for whole")
	}
	_ = response.Body.Close()
	if e := f.exchanges(1)[0]; e.Outcome != exchange.Interrupted || e.ErrorOrigin != exchange.OriginProxy || !strings.Contains(e.Error, "no room in memory") {
		t.Errorf("on record as %s by %s: %s", e.Outcome, e.ErrorOrigin, e.Error)
	}
	f.holdsNothing("after the answer")
}

// TestAMessageThatFindsNoRoomClosesItsWebSocket, and is on record.
func TestAMessageThatFindsNoRoomClosesItsWebSocket(t *testing.T) {
	f := newFixture(t, options{memory: 1 << 20, memoryWait: 10 * time.Millisecond, simulated: simulated.Options{}})
	c := f.dial()
	if err := c.Write(t.Context(), websocket.MessageText, append([]byte(`{"type":"response.create",`), long(2 << 20)[1:]...)); err != nil {
		t.Fatal(err)
	}
	_, _, err := c.Read(t.Context())
	if websocket.CloseStatus(err) != websocket.StatusTryAgainLater || !strings.Contains(err.Error(), "codex-proxy: no room in memory") {
		t.Errorf("the WebSocket ended with %v", err)
	}
	if e := f.exchanges(1)[0]; e.Refusal != "proxy_unavailable" || e.Usage.State != exchange.UsageNone {
		t.Errorf("on record as %+v", e)
	}
	f.holdsNothing("after the WebSocket")
}
