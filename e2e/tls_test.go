package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/simulated"
)

// TestCodexWaitsOverTLSForAModelThatThinks has the model think, before its first event
// and after it, for longer than every limit of a client's pace. Codex then speaks HTTP/2
// to the proxy, and the proxy to upstream.
func TestCodexWaitsOverTLSForAModelThatThinks(t *testing.T) {
	if codex == "" {
		t.Skip("the Codex CLI is not installed: run scripts/test.sh, or name it in CODEX_CLI")
	}
	const pause = time.Second
	authority := newAuthority(t)
	p := &proxy{t: t, data: t.TempDir(), scheme: "https", log: &output{}, variables: []string{"SSL_CERT_FILE=" + authority.certificate}}
	p.openai = simulated.New(simulated.Options{Key: organisationKey, Keep: 200, KeepBody: 4 << 20})
	certificate, key := authority.issue()
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	spoken := make(chan string, 100)
	upstream := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		spoken <- r.Proto
		p.openai.ServeHTTP(w, r)
	}))
	upstream.EnableHTTP2, upstream.TLS = true, &tls.Config{Certificates: []tls.Certificate{pair}}
	upstream.StartTLS()
	p.startBefore(upstream, "--tls-cert", certificate, "--tls-key", key, "--websocket", "off",
		"--write-timeout", "300ms", "--body-idle", "300ms")

	p.openai.Play(simulated.Answer{Text: "It is 42", Fault: simulated.Fault{FirstByte: pause, Between: pause / 2}})
	s := p.newCLI(overHTTP, p.developer("alice@example.com")).run("what is it")
	s.must(t, "It is 42")
	for _, bad := range []string{"ERROR", "econnecting", "stream disconnected"} {
		if strings.Contains(s.err, bad) {
			t.Errorf("codex printed %q:\n%s", bad, s.err)
		}
	}
	if list := p.records(1); list[0].Outcome != "completed" || list[0].Usage.State != "exact" {
		t.Errorf("on record as %+v", list[0])
	}
	if got := len(p.openai.Received()); got != 1 {
		t.Errorf("upstream got %d requests, want 1", got)
	}
	if got := <-spoken; got != "HTTP/2.0" {
		t.Errorf("upstream was spoken to in %s", got)
	}
}

// authority issues certificates for 127.0.0.1 that its own certificate vouches for.
type authority struct {
	t           *testing.T
	certificate string // its file
	parsed      *x509.Certificate
	key         crypto.Signer
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, parsed: &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.key = key
	a.certificate = filepath.Join(t.TempDir(), "authority.pem")
	a.sign(a.certificate, a.parsed, key)
	return a
}

// issue writes a certificate and its key to files.
func (a *authority) issue() (certificate, key string) {
	a.t.Helper()
	dir := a.t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.sign(certificate, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: a.parsed.NotBefore, NotAfter: a.parsed.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, private)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(key, "PRIVATE KEY", raw)
	return certificate, key
}

func (a *authority) sign(file string, template *x509.Certificate, subject crypto.Signer) {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.parsed, subject.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(file, "CERTIFICATE", der)
}

func (a *authority) write(file, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}
