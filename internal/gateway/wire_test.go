package gateway_test

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"codex-proxy/internal/upstream"
)

// link is how one side speaks to the next.
type link struct{ tls, http2 bool }

var (
	plain = link{}
	overT = link{tls: true}
	over2 = link{tls: true, http2: true}
)

// wire is how Codex speaks to the proxy and the proxy to upstream. WebSockets speak
// HTTP/1.1 on each, with TLS or without.
type wire struct {
	name             string
	client, upstream link
}

var wires = []wire{
	{"HTTP/1.1", plain, plain},
	{"HTTP/1.1 over TLS", overT, overT},
	{"HTTP/2", over2, over2},
	{"HTTP/1.1 to HTTP/2", plain, over2},
}

// over is the wire of this run of the tests.
var over wire

// TestMain runs every test on every wire, or on the one that -wire names. A test
// that fails says on which.
func TestMain(m *testing.M) {
	only := flag.String("wire", "", "run the tests on this wire only: HTTP/1.1, HTTP/2, …")
	flag.Parse()
	failed := 0
	for _, over = range wires {
		if *only == "" || *only == over.name {
			fmt.Println("over", over.name)
			failed |= m.Run()
		}
	}
	os.Exit(failed)
}

// onlyOver skips a test on the other wires: what it is about does not depend on
// them, and takes long, or is the first of these wires alone.
func onlyOver(t *testing.T, names ...string) {
	t.Helper()
	if !slices.Contains(names, over.name) {
		t.Skipf("runs over %s", strings.Join(names, " and "))
	}
}

// saysItsWire logs the wire of a test that fails.
func saysItsWire(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("this was over %s (-wire %q)", over.name, over.name)
		}
	})
}

// start starts a server as the link has it.
func (l link) start(server *httptest.Server) *httptest.Server {
	switch {
	case !l.tls:
		server.Start()
	default:
		server.EnableHTTP2 = l.http2
		server.StartTLS()
	}
	return server
}

// startUpstream starts an upstream of the test's own on its wire.
func startUpstream(t *testing.T, handler http.Handler) *httptest.Server {
	t.Helper()
	server := over.upstream.start(httptest.NewUnstartedServer(handler))
	t.Cleanup(server.Close)
	return server
}

// newTransport returns the real transport to upstream, which trusts the servers of
// tests.
func newTransport(t *testing.T) *upstream.Transport {
	t.Helper()
	known := httptest.NewTLSServer(nil) // all have the same certificate
	defer known.Close()
	roots := x509.NewCertPool()
	roots.AddCert(known.Certificate())
	transport := upstream.NewTransport(upstream.TransportOptions{TLS: &tls.Config{RootCAs: roots}})
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
