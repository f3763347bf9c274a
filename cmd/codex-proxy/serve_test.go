package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"codex-proxy/internal/simulated"
)

// server is a codex-proxy that a test runs as main does.
type server struct {
	t       *testing.T
	data    string
	address string
	log     *safeBuffer
	out     *safeBuffer
	stop    context.CancelFunc
	exit    chan int
}

// startServer runs a command and waits until it serves.
func startServer(t *testing.T, data string, args ...string) *server {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &server{t: t, data: data, log: &safeBuffer{}, out: &safeBuffer{}, stop: stop, exit: make(chan int, 1)}
	args = append(args, "--data", data, "--listen", "127.0.0.1:0")
	go func() { s.exit <- run(ctx, args, strings.NewReader(""), s.out, s.log) }()
	t.Cleanup(func() {
		stop()
		select {
		case <-s.exit:
		case <-time.After(20 * time.Second):
			t.Error("the server did not stop")
		}
	})
	address := regexp.MustCompile(`is serving" address=(\S+)`)
	// The demo sends its samples first, which takes a while under the race detector.
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if found := address.FindStringSubmatch(s.log.String()); found != nil {
			s.address = found[1]
			return s
		}
		select {
		case code := <-s.exit:
			s.exit <- code
			t.Fatalf("it exited with %d:\n%s", code, s.log.String())
		default:
		}
	}
	t.Fatalf("it does not serve:\n%s", s.log.String())
	return nil
}

// command runs another command beside the server and returns what it prints.
func (s *server) command(args ...string) string {
	s.t.Helper()
	var out, errs bytes.Buffer
	if code := run(s.t.Context(), append(args, "--data", s.data), strings.NewReader(""), &out, &errs); code != 0 {
		s.t.Fatalf("%v exited with %d: %s", args, code, errs.String())
	}
	return out.String()
}

// token adds a developer and returns their token.
func (s *server) token(id string) string {
	s.t.Helper()
	var added struct{ Token string }
	if err := json.Unmarshal([]byte(s.command("developer", "add", id, "--json")), &added); err != nil || added.Token == "" {
		s.t.Fatalf("no token: %v", err)
	}
	return added.Token
}

func (s *server) get(path string) (int, string) {
	s.t.Helper()
	response, err := http.Get("http://" + s.address + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

// ask sends one request with a token and returns the answer.
func (s *server) ask(client *http.Client, scheme, token string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), "POST", scheme+"://"+s.address+"/v1/responses",
		strings.NewReader(`{"model":"gpt-5.1-codex","stream":true,"input":"hello"}`))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		s.t.Fatal(err)
	}
	return response
}

func simulatedUpstream(t *testing.T, options simulated.Options) (*simulated.Server, string) {
	t.Helper()
	options.Keep = 10
	openai := simulated.New(options)
	upstream := httptest.NewServer(openai)
	t.Cleanup(func() { openai.Close(); upstream.Close() })
	return openai, upstream.URL + "/v1"
}

func TestServeDoesTheRealJobBesideItsCommands(t *testing.T) {
	openai, upstream := simulatedUpstream(t, simulated.Options{Key: "sk-organisation"})
	t.Setenv("OPENAI_API_KEY", "sk-organisation")
	s := startServer(t, t.TempDir(), "serve", "--upstream", upstream)
	if os.Getenv("OPENAI_API_KEY") != "" {
		t.Error("the key is still in the environment, where a child process would inherit it")
	}
	token := s.token("alice@example.com")
	if response := s.ask(http.DefaultClient, "http", token); response.StatusCode != http.StatusOK {
		t.Fatalf("got %s", response.Status)
	}
	if got := openai.Received()[0].Header.Get("Authorization"); got != "Bearer sk-organisation" {
		t.Error("upstream was not shown the organisation's key")
	}
	waitFor(t, "the exchange is counted", func() bool {
		return strings.Contains(s.command("usage", "--json"), `"requests": 1`)
	})
	waitFor(t, "the record is in the archive", func() bool {
		return strings.Contains(s.command("record", "list", "--json"), "alice@example.com")
	})
	if code, body := s.get("/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %s", code, body)
	}
	if code, body := s.get("/readyz"); code != 200 || !strings.Contains(body, `"spool":"ok"`) {
		t.Errorf("readyz: %d %s", code, body)
	}
	_, metrics := s.get("/metrics")
	for _, want := range []string{
		`codex_proxy_exchanges_total{outcome="completed",transport="http"} 1`, "codex_proxy_upstream_seconds_count 1",
		"codex_proxy_added_seconds_count 1", "codex_proxy_open_streams", "codex_proxy_spool_exchanges", `codex_proxy_tokens_total{kind="input"}`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	s.command("developer", "disable", "alice@example.com")
	if response := s.ask(http.DefaultClient, "http", token); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("after disabling: %s", response.Status)
	}
	for name, text := range map[string]string{"log": s.log.String(), "metrics": metrics} {
		if strings.Contains(text, token) || strings.Contains(text, "sk-organisation") {
			t.Errorf("a credential is in the %s", name)
		}
	}
}

func TestTheUpstreamKeyIsReadAgainWhenItsFileChanges(t *testing.T) {
	openai, upstream := simulatedUpstream(t, simulated.Options{})
	file := filepath.Join(t.TempDir(), "key")
	write(t, file, []byte("sk-first\n"))
	s := startServer(t, t.TempDir(), "serve", "--upstream", upstream, "--upstream-key-file", file)
	token := s.token("alice@example.com")
	last := func() string {
		s.ask(http.DefaultClient, "http", token)
		all := openai.Received()
		return all[len(all)-1].Header.Get("Authorization")
	}
	if got := last(); got != "Bearer sk-first" {
		t.Fatalf("upstream was shown another key")
	}
	write(t, file, []byte("sk-second-and-longer\n"))
	waitFor(t, "the new key is used", func() bool { return last() == "Bearer sk-second-and-longer" })
	write(t, file, nil)
	waitFor(t, "the bad file is reported", func() bool { return strings.Contains(s.log.String(), "the key from before stays in use") })
	if got := last(); got != "Bearer sk-second-and-longer" {
		t.Errorf("a file without a key took the key away")
	}
}

func TestHTTPSAndHTTP2AreServedFromFiles(t *testing.T) {
	_, upstream := simulatedUpstream(t, simulated.Options{})
	t.Setenv("OPENAI_API_KEY", "sk-x")
	certificate, key, pool := newCertificate(t)
	s := startServer(t, t.TempDir(), "serve", "--upstream", upstream, "--tls-cert", certificate, "--tls-key", key)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	response := s.ask(client, "https", s.token("alice@example.com"))
	if response.StatusCode != http.StatusOK || response.ProtoMajor != 2 {
		t.Errorf("got %s over %s", response.Status, response.Proto)
	}
}

// TestAModelMayThinkForLongerThanAClientMayTakeToRead runs the server as people have it,
// with pauses before the first event and between events that are longer than its limits.
func TestAModelMayThinkForLongerThanAClientMayTakeToRead(t *testing.T) {
	openai, upstream := simulatedUpstream(t, simulated.Options{Pace: 150 * time.Millisecond})
	t.Setenv("OPENAI_API_KEY", "sk-x")
	certificate, key, pool := newCertificate(t)
	s := startServer(t, t.TempDir(), "serve", "--upstream", upstream, "--tls-cert", certificate, "--tls-key", key,
		"--write-timeout", "50ms", "--body-idle", "50ms")
	token := s.token("alice@example.com")
	for version, http2 := range map[int]bool{1: false, 2: true} {
		openai.Play(simulated.Answer{Text: "at last", Fault: simulated.Fault{FirstByte: 150 * time.Millisecond}})
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: http2}}
		if response := s.ask(client, "https", token); response.StatusCode != http.StatusOK || response.ProtoMajor != version {
			t.Errorf("got %s over %s", response.Status, response.Proto)
		}
	}
	if got := len(openai.Received()); got != 2 {
		t.Errorf("upstream got %d requests, want 2", got)
	}
}

func TestServeSaysWhatItLacks(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "")
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	key := filepath.Join(t.TempDir(), "key")
	write(t, key, []byte("sk-x"))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"serve"}, exitMisuse, "codex-proxy demo"},
		{[]string{"serve", "--upstream-key-file", "missing"}, exitFailed, "missing"},
		{[]string{"serve", "--upstream-key-file", key, "--upstream", "ftp://x"}, exitMisuse, "https://"},
		{[]string{"serve", "--upstream-key-file", key, "--tls-cert", "x"}, exitMisuse, "go together"},
		{[]string{"serve", "--upstream-key-file", key, "--listen", busy.Addr().String()}, exitFailed, "choose another address"},
		{[]string{"serve", "--upstream-key-file", key, "--audit", "sometimes"}, exitMisuse, "must be one of"},
		{[]string{"serve", "--upstream-key-file", key, "--prices", key}, exitFailed, "price file"},
	} {
		var errs bytes.Buffer
		code := run(t.Context(), append(c.args, "--data", t.TempDir()), strings.NewReader(""), io.Discard, &errs)
		if code != c.code || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%v exited with %d: %s", c.args, code, errs.String())
		}
	}
}

// waitFor asks until the condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if condition() {
			return
		}
	}
	t.Fatalf("it never came to this: %s", what)
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newCertificate writes a certificate for 127.0.0.1 and its key to files.
func newCertificate(t *testing.T) (certificate, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return certificate, key, pool
}

// safeBuffer is an output that a server writes and a test reads.
type safeBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
