package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"time"
)

// startTLS starts an upstream that speaks HTTP/2, and returns the transport to it.
func startTLS(t *testing.T, handler http.HandlerFunc) (*httptest.Server, *Transport) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	transport := NewTransport(TransportOptions{TLS: &tls.Config{RootCAs: roots}})
	t.Cleanup(transport.CloseIdleConnections)
	return server, transport
}

func get(ctx context.Context, transport *Transport, address string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	return transport.RoundTrip(r)
}

// TestSlowReadersCostLittleAndHoldUpNobody has readers that take nothing of large
// answers, on the one connection that all share, and one that does.
func TestSlowReadersCostLittleAndHoldUpNobody(t *testing.T) {
	const slow, size = 60, 8 << 20
	piece := bytes.Repeat([]byte("x"), 64<<10)
	server, transport := startTLS(t, func(w http.ResponseWriter, _ *http.Request) {
		for range size / len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	before := heap()
	for range slow {
		response, err := get(ctx, transport, server.URL)
		if err != nil || response.ProtoMajor != 2 {
			t.Fatal(response, err)
		}
		defer response.Body.Close()
	}
	response, err := get(ctx, transport, server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
		t.Errorf("the one that reads got %d bytes, want %d: %v", n, size, err)
	}
	const each = 4 * receiveBuffer
	if grown := heap() - before; grown > slow*each {
		t.Errorf("the heap grew by %d KiB for each that does not read, want less than %d", grown/slow>>10, each>>10)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestAConnectionThatDiesWithoutAWordIsReplaced has something on the way forget the
// connection, as a NAT does.
func TestAConnectionThatDiesWithoutAWordIsReplaced(t *testing.T) {
	server, transport := startTLS(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	if settings := transport.HTTP2; settings.SendPingTimeout+settings.PingTimeout > 30*time.Second || settings.SendPingTimeout == 0 {
		t.Errorf("a dead connection is noticed after %v and %v", settings.SendPingTimeout, settings.PingTimeout)
	}

	transport.HTTP2.SendPingTimeout, transport.HTTP2.PingTimeout = 50*time.Millisecond, 50*time.Millisecond
	way := newRelay(t, server.Listener.Addr().String())
	address := (&url.URL{Scheme: "https", Host: way.Addr().String()}).String()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ask := func() error {
		response, err := get(ctx, transport, address)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return err
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	way.forget()
	if err := ask(); err == nil || ctx.Err() != nil {
		t.Errorf("on the dead connection: %v, %v", err, ctx.Err())
	}
	if err := ask(); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// relay passes bytes between its clients and a server.
type relay struct {
	net.Listener
	mu    sync.Mutex
	alive []chan struct{} // of a connection; closed when it is forgotten
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{Listener: listener}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			if err != nil {
				return
			}
			t.Cleanup(func() { _, _ = client.Close(), far.Close() })
			forgotten := make(chan struct{})
			r.mu.Lock()
			r.alive = append(r.alive, forgotten)
			r.mu.Unlock()
			go pass(far, client, forgotten)
			go pass(client, far, forgotten)
		}
	}()
	return r
}

// forget drops what comes on the connections of now, and closes none.
func (r *relay) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, forgotten := range r.alive {
		close(forgotten)
	}
	r.alive = nil
}

func pass(to, from net.Conn, forgotten <-chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-forgotten:
		default:
			_, _ = to.Write(buffer[:n])
		}
	}
}
