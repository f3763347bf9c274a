package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
)

// TestWhatUpstreamDidNotTakeIsSentAgain has upstream refuse streams beyond a few,
// which promises that it has not begun with them (RFC 9113, 8.7).
func TestWhatUpstreamDidNotTakeIsSentAgain(t *testing.T) {
	onlyOver(t, "HTTP/2", "HTTP/1.1 to HTTP/2")
	var refused, taken atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n, _ := io.Copy(io.Discard, r.Body); n != int64(len(askBody("x"))) {
			t.Errorf("upstream got %d bytes", n)
		}
		taken.Add(1)
		time.Sleep(20 * time.Millisecond)
		_, _ = io.WriteString(w, "{}")
	}))
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2, CountError: func(what string) {
		if strings.Contains(what, "over_max_streams") {
			refused.Add(1)
		}
	}}
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	f := newFixture(t, options{upstream: server})
	const requests = 10
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("x"))))
			if err != nil {
				t.Error(err)
				return
			}
			defer response.Body.Close()
			if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
				t.Errorf("%s %s", response.Status, body)
			}
		})
	}
	all.Wait()
	if refused.Load() == 0 || taken.Load() != requests {
		t.Errorf("upstream refused %d and took %d, want some and %d", refused.Load(), taken.Load(), requests)
	}
	for _, e := range f.exchanges(requests) {
		if body := f.document(e).Request.Bytes(); e.RequestBytes != int64(len(askBody("x"))) || !bytes.Equal(body, askBody("x")) {
			t.Errorf("%d bytes are counted, and %d on record", e.RequestBytes, len(body))
		}
	}
}

// TestABodyWithAKeyForRepeatsIsNotSentAgain: the transport takes the key for leave to
// repeat what upstream may have begun with.
func TestABodyWithAKeyForRepeatsIsSentOnce(t *testing.T) {
	var got atomic.Int64
	server := startUpstream(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if got.Add(1)%2 == 0 { // on a connection that was good once
			panic(http.ErrAbortHandler)
		}
	}))
	f := newFixture(t, options{upstream: server})
	for i, status := range []int{http.StatusOK, http.StatusBadGateway} {
		r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("x")))
		r.Header.Set("Idempotency-Key", "k")
		if response, body := f.do(r); response.StatusCode != status || got.Load() != int64(i+1) {
			t.Errorf("got %s %s; upstream got %d requests", response.Status, body, got.Load())
		}
	}
}

// TestADecoderEndsWithItsAnswer has clients stop reading answers that are coded.
func TestADecoderEndsWithItsAnswer(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		noise := make([]byte, 64<<10)
		for i := range noise {
			noise[i] = byte(rand.Uint32())
		}
		for range 512 { // more than any buffer on the way takes
			if _, err := z.Write(noise); err != nil {
				return
			}
		}
	}))
	f := newFixture(t, options{upstream: server, unsearched: true, limits: func(l *gateway.Limits) { l.Write = 50 * time.Millisecond }})
	const clients = 3
	for range clients {
		r := f.request("GET", "/v1/models", nil)
		r.Header.Set("Accept-Encoding", "gzip")
		response := must(f.proxy.Client().Do(r))
		defer response.Body.Close()
	}
	f.exchanges(clients)
	var running strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&running, 1)
	if strings.Contains(running.String(), "contentcoding.") {
		t.Errorf("a decoder goes on:\n%s", running.String())
	}
}

// TestTheProxysOwnWantsAreNotBlamedOnOpenAI has no file descriptor left for a call.
func TestTheProxysOwnWantsAreNotBlamedOnOpenAI(t *testing.T) {
	for name, fault := range map[string]error{
		"this process": os.NewSyscallError("socket", syscall.EMFILE),
		"the machine":  os.NewSyscallError("socket", syscall.ENFILE),
		"no port":      os.NewSyscallError("connect", syscall.EADDRNOTAVAIL),
		"the look-up":  &net.DNSError{Err: "dial udp 127.0.0.1:53: socket: " + syscall.EMFILE.Error(), Name: "api.openai.com"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := newTransport(t)
			transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fault}
			}
			f := newFixture(t, options{transport: transport})
			response, body := f.ask("hello")
			_, upgrade, err := websocket.Dial(t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{
				HTTPClient: f.proxy.Client(), HTTPHeader: f.request("GET", "/v1/responses", nil).Header,
			})
			if err == nil {
				t.Fatal("the upgrade was answered")
			}
			for _, r := range []*http.Response{response, upgrade} {
				if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("X-Codex-Proxy-Refusal") != "proxy_unavailable" {
					t.Errorf("got %s %s", r.Status, r.Header.Get("X-Codex-Proxy-Refusal"))
				}
			}
			if !bytes.Contains(body, []byte("file descriptors")) || bytes.Contains(body, []byte("could not be reached")) {
				t.Errorf("it says %s", body)
			}
			for _, e := range f.exchanges(2) {
				if e.Outcome != exchange.Refused || e.ErrorOrigin != exchange.OriginProxy || e.Refusal != "proxy_unavailable" || e.Usage.State != exchange.UsageNone {
					t.Errorf("on record as %+v", e)
				}
			}
		})
	}
}

func TestAProtocolSwitchThatNobodyAskedForIsUpstreamsFault(t *testing.T) {
	onlyOver(t, "HTTP/1.1", "HTTP/1.1 over TLS") // HTTP/2 has none
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		connection, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer connection.Close()
		_, _ = io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello")
	}))
	f := newFixture(t, options{upstream: server})
	response, body := f.ask("hello")
	if response.StatusCode != http.StatusBadGateway || response.Header.Get("X-Codex-Proxy-Refusal") != "upstream_unreachable" || !bytes.Contains(body, []byte("101")) {
		t.Errorf("got %s %s", response.Status, body)
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.UpstreamError || e.ErrorOrigin != exchange.OriginOpenAI || !strings.Contains(e.Error, "101") {
		t.Errorf("on record as %s by %s: %s", e.Outcome, e.ErrorOrigin, e.Error)
	}
}
