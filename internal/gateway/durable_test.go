package gateway_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
	"codex-proxy/internal/record"
)

// requestsOnDisk returns the request bodies that a kill at this moment would leave.
func requestsOnDisk(t *testing.T, dir string) (bodies []string) {
	t.Helper()
	aside := t.TempDir()
	err := os.CopyFS(aside, os.DirFS(filepath.Join(dir, "spool")))
	spool := must(record.OpenSpool(aside, record.Options{
		Archive: must(disk.NewArchive(filepath.Join(aside, "archive"))), Log: slog.New(slog.DiscardHandler),
		Ledger: func(context.Context, []exchange.Exchange) error { return nil },
	}))
	_, recovered := spool.Recover(t.Context(), func(_ *exchange.Exchange, request, _ io.Reader) {
		bodies = append(bodies, string(must(io.ReadAll(request))))
	})
	if err := errors.Join(err, recovered, spool.Close(t.Context())); err != nil {
		t.Error(err)
	}
	return bodies
}

func gzipped(plain string) []byte {
	var coded bytes.Buffer
	w := gzip.NewWriter(&coded)
	_, _ = io.WriteString(w, plain) // to memory
	_ = w.Close()
	return coded.Bytes()
}

// Whatever upstream has whole is in the operating system's hands by then, whether the
// body was buffered to be searched or streamed up, and however long it is.
func TestWhatUpstreamHasIsOnDisk(t *testing.T) {
	for _, size := range []int{391, 10 << 10, 40 << 10, 200 << 10} {
		plain := string(askBody(strings.Repeat("words ☃ ", size/10)))
		for name, send := range map[string]func(*http.Request){
			"of known length": func(r *http.Request) {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(plain)), int64(len(plain))
			},
			"in chunks": func(r *http.Request) {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(plain)), -1
			},
			"coded": func(r *http.Request) {
				coded := gzipped(plain)
				r.Header.Set("Content-Encoding", "gzip")
				r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(coded)), int64(len(coded))
			},
		} {
			for _, searched := range []bool{true, false} {
				var f *fixture
				var onDisk []string
				upstream := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					onDisk = requestsOnDisk(t, f.dir)
					_, _ = io.WriteString(w, "{}")
				}))
				f = newFixture(t, options{upstream: upstream, unsearched: !searched})
				r := f.request("POST", "/v1/responses", http.NoBody)
				send(r)
				if response, body := f.do(r); response.StatusCode != http.StatusOK {
					t.Errorf("got %s %s", response.Status, body)
				}
				if len(onDisk) != 1 || onDisk[0] != plain {
					t.Errorf("%d bytes %s, searched %v: when upstream had them, %d bytes were on disk", len(plain), name, searched, len(strings.Join(onDisk, "")))
				}
			}
		}
	}
}

// Upstream may well charge for a request that it got whole, though no answer came.
func TestARequestThatUpstreamHadWholeIsNeverFree(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"nothing":        func(net.Conn) {},
		"a reset":        func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
		"garbage":        func(c net.Conn) { _, _ = io.WriteString(c, "what?\r\n\r\n") },
		"half a header":  func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-") },
		"a wrong length": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n") },
	} {
		for _, unsearched := range []bool{false, true} {
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				answer(conn)
				_ = conn.Close()
			}))
			defer upstream.Close()
			f := newFixture(t, options{upstream: upstream, unsearched: unsearched})
			if response, _ := f.ask("hello"); response.StatusCode != http.StatusBadGateway {
				t.Errorf("%s: got %s", name, response.Status)
			}
			e := f.exchanges(1)[0]
			if e.Outcome != exchange.UpstreamError || e.Usage.State != exchange.UsageEstimated || e.Usage.Input == 0 ||
				e.Cost.State != exchange.CostPriced || e.Cost.Nanos == 0 || e.ModelAsked == "" {
				t.Errorf("%s, unsearched %v: on record as %s, usage %+v, cost %+v", name, unsearched, e.Outcome, e.Usage, e.Cost)
			}
		}
	}
}

func TestARequestThatNeverReachedUpstreamIsFree(t *testing.T) {
	upstream := httptest.NewServer(http.NotFoundHandler())
	upstream.Close() // so that nobody listens
	f := newFixture(t, options{upstream: upstream})
	f.ask("hello")
	if e := f.exchanges(1)[0]; e.Usage.State != exchange.UsageNone || e.Cost.State != exchange.CostNone {
		t.Errorf("on record with usage %s, cost %s", e.Usage.State, e.Cost.State)
	}
}

func TestWhatACrashInterruptedIsNeverAFreeZero(t *testing.T) {
	const asked = `{"model":"gpt-5.1-codex","input":"hello there"}`
	const delta = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"hello there\"}\n\n"
	for name, c := range map[string]struct {
		request, response string
		status            int
		transport         exchange.Transport
		want              exchange.UsageState
	}{
		"no answer yet":               {request: asked, want: exchange.UsageEstimated},
		"a part of the answer":        {request: asked, response: delta, status: 200, want: exchange.UsageEstimated},
		"a part of the request":       {request: asked[:30], want: exchange.UsageEstimated},
		"nothing of the request":      {want: exchange.UsageMissing},
		"a form":                      {request: "--form\r\n", want: exchange.UsageMissing},
		"refused by upstream":         {request: asked, response: `{"error":{}}`, status: 429, want: exchange.UsageNone},
		"a message of a WebSocket":    {request: `{"type":"response.create",` + asked[1:] + "\n", status: 101, transport: exchange.WebSocket, want: exchange.UsageEstimated},
		"no message of the WebSocket": {status: 101, transport: exchange.WebSocket, want: exchange.UsageMissing},
		"a warm-up":                   {request: `{"type":"response.create","generate":false,` + asked[1:] + "\n", status: 101, transport: exchange.WebSocket, want: exchange.UsageNone},
	} {
		e := exchange.Exchange{Method: "POST", Transport: exchange.HTTP, Status: c.status, Outcome: exchange.Interrupted, Usage: exchange.Usage{State: exchange.UsageNone}}
		if c.transport != "" {
			e.Method, e.Transport = "GET", c.transport
		}
		gateway.Recovered(&e, strings.NewReader(c.request), strings.NewReader(c.response))
		if e.Usage.State != c.want || c.want == exchange.UsageEstimated && (e.Usage.Total == 0 || e.Model != "gpt-5.1-codex") {
			t.Errorf("%s: usage %+v of %q, want it %s", name, e.Usage, e.Model, c.want)
		}
	}
}
