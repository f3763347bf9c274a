package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/gateway"
)

// connect opens a connection to the proxy that speaks HTTP/1.1, word by word.
func (f *fixture) connect() net.Conn {
	f.t.Helper()
	connection := must(net.Dial("tcp", f.proxy.Listener.Addr().String()))
	if over.client.tls {
		trust := f.proxy.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		trust.ServerName, trust.NextProtos = "example.com", []string{"http/1.1"}
		connection = tls.Client(connection, trust)
	}
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	return connection
}

// raw sends bytes on a connection of their own and returns the first answer's
// status; 0 when there was none.
func (f *fixture) raw(text string) int {
	f.t.Helper()
	connection := f.connect()
	defer connection.Close()
	_, _ = io.WriteString(connection, text)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// TestNoRequestIsSmuggledPastTheProxy sends what two servers might split
// differently. Upstream must see at most one request for each, framed by the
// proxy, and never the one that is hidden in a body.
func TestNoRequestIsSmuggledPastTheProxy(t *testing.T) {
	f := newFixture(t, options{})
	head := "POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + f.token + "\r\nContent-Type: application/json\r\n"
	hidden := "GET /v1/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		text   string
		refuse bool
	}{
		"length and chunks":     {head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden, false},
		"two lengths":           {head + "Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd" + hidden, true},
		"an unknown coding":     {head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden, true},
		"a space in the name":   {head + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden, true},
		"chunks twice":          {head + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + hidden, true},
		"a negative length":     {head + "Content-Length: -1\r\n\r\n" + hidden, true},
		"HTTP/2 without TLS":    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true},
		"an upgrade to HTTP/2":  {head + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 0\r\n\r\n", true},
		"a proxy request":       {"GET http://evil.example/v1/models HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer " + f.token + "\r\n\r\n", false},
		"a tunnel":              {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", true},
		"a bare line feed":      {head + "X-A: b\nContent-Length: 0\r\n\r\n", false},
		"a NUL in the header":   {head + "X-A: b\x00c\r\nContent-Length: 0\r\n\r\n", true},
		"a folded header field": {head + "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", false},
	} {
		before := len(f.openai.Received())
		status := f.raw(c.text)
		if c.refuse && status < 400 {
			t.Errorf("%s: answered with %d, want a refusal", name, status)
		}
		seen := f.openai.Received()[before:]
		if c.refuse && len(seen) > 0 || len(seen) > 1 {
			t.Errorf("%s: upstream saw %d requests", name, len(seen))
		}
		for _, r := range seen {
			if strings.Contains(r.URI, "hidden") || strings.Contains(r.Host, "evil") {
				t.Errorf("%s: upstream saw %s at %s", name, r.URI, r.Host)
			}
			for header, values := range r.Header {
				if strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") {
					t.Errorf("%s: the header %s reached upstream with a line break", name, header)
				}
			}
		}
	}
}

func TestACompressedBombCostsNoMemoryAndIsMarkedInItsRecord(t *testing.T) {
	onlyOver(t, "HTTP/1.1")
	var bomb bytes.Buffer
	encoder := must(zstd.NewWriter(&bomb))
	zeros := make([]byte, 1<<20)
	for range 128 {
		_, _ = encoder.Write(zeros)
	}
	_ = encoder.Close()

	var received atomic.Int64
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		received.Store(n)
	}))
	f := newFixture(t, options{upstream: server, unsearched: true, limits: func(l *gateway.Limits) { l.Body = 16 << 20 }})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := f.request("POST", "/v1/responses", bytes.NewReader(bomb.Bytes()))
	r.Header.Set("Content-Encoding", "zstd")
	f.do(r)
	runtime.ReadMemStats(&after)
	if received.Load() != int64(bomb.Len()) {
		t.Errorf("upstream got %d bytes, want the %d that were sent", received.Load(), bomb.Len())
	}
	doc := f.document(f.exchanges(1)[0])
	if doc.Request.Incomplete == "" || len(doc.Request.Body) > 16<<20 {
		t.Errorf("the record holds %d bytes of the bomb and says %q", len(doc.Request.Body), doc.Request.Incomplete)
	}
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 96<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

func TestABodyThatStopsComingEndsTheExchangeAndIsSaidSo(t *testing.T) {
	for _, unsearched := range []bool{false, true} {
		f := newFixture(t, options{unsearched: unsearched, bodyIdle: 50 * time.Millisecond})
		body, more := io.Pipe()
		go func() { _, _ = io.WriteString(more, "{") }()
		r := f.request("POST", "/v1/responses", body)
		go func() {
			if response, err := f.proxy.Client().Do(r); err == nil { // once the body is closed
				response.Body.Close()
			}
		}()
		if e := f.exchanges(1)[0]; e.Outcome != exchange.ClientCancelled || e.ErrorOrigin != exchange.OriginClient || !strings.Contains(e.Error, "stopped coming") {
			t.Errorf("unsearched=%t: on record as %s by %s: %s", unsearched, e.Outcome, e.ErrorOrigin, e.Error)
		}
		_ = more.Close()
	}
}

func TestAnUpstreamThatFallsSilentEndsTheExchange(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\"}}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	f := newFixture(t, options{upstream: server, limits: func(l *gateway.Limits) { l.AnswerIdle = 100 * time.Millisecond }})
	response := must(f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("x")))))
	defer response.Body.Close()
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("the client read an orderly end")
	}
	if e := f.exchanges(1)[0]; e.Outcome != exchange.UpstreamError || !strings.Contains(e.Error, "silent") {
		t.Errorf("on record as %s: %s", e.Outcome, e.Error)
	}
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		piece := bytes.Repeat([]byte("x"), 64<<10)
		for range 1024 { // more than any buffer on the way takes
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	f := newFixture(t, options{upstream: server, limits: func(l *gateway.Limits) { l.Write = 100 * time.Millisecond }})
	response := must(f.proxy.Client().Do(f.request("GET", "/v1/models", nil)))
	defer response.Body.Close()
	if e := f.exchanges(1)[0]; e.Outcome != exchange.ClientCancelled || !strings.Contains(e.Error, "took no more of the answer") {
		t.Errorf("on record as %s: %s", e.Outcome, e.Error)
	}
}

func TestHostileTokensAreUnknownAndNothingMore(t *testing.T) {
	f := newFixture(t, options{})
	for _, token := range []string{"' OR '1'='1", `"; DROP TABLE tokens; --`, strings.Repeat("A", 10_000), "codexproxy_' OR 1=1 --", "%00", "null"} {
		r := f.request("POST", "/v1/responses", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		response, body := f.do(r)
		if response.StatusCode != http.StatusUnauthorized || bytes.Contains(body, []byte(token)) && len(token) > 6 {
			t.Errorf("%.20q: %s %.200s", token, response.Status, body)
		}
	}
	if _, err := f.store.Developer(t.Context(), "alice@example.com"); err != nil {
		t.Errorf("alice is gone: %v", err)
	}
	if response, _ := f.ask("still here"); response.StatusCode != http.StatusOK {
		t.Errorf("alice got %s", response.Status)
	}
}

// TestAForbiddenModelNeverReachesUpstreamHoweverItIsSent differs from TestRefusals in how the
// same request is coded and cut.
func TestAForbiddenModelNeverReachesUpstreamHoweverItIsSent(t *testing.T) {
	encoder := must(zstd.NewWriter(nil))
	body := askBody("hello") // asks for gpt-5.1-codex
	late := []byte(`{"input":"` + strings.Repeat("x", 200<<10) + `","model":"gpt-5.1-codex"}`)
	for name, c := range map[string]struct {
		body         []byte
		coding, kind string
	}{
		"plain":             {body, "", "application/json"},
		"zstd":              {encoder.EncodeAll(body, nil), "zstd", "application/json"},
		"an unknown coding": {body, "br", "application/json"},
		"no media type":     {body, "", ""},
		"at the end":        {late, "", "application/json"},
		"a form":            {body, "", "multipart/form-data; boundary=x"},
		"no object":         {[]byte("[" + string(body) + "]"), "", "application/json"},
		"UTF-16":            {[]byte("\xff\xfe{\x00}\x00"), "", "application/json"},
	} {
		f := newFixture(t, options{policy: &developer.Policy{Models: []string{"gpt-4*"}}, unsearched: c.coding == "br" || name == "UTF-16"})
		for _, chunked := range []bool{false, true} {
			var reader io.Reader = bytes.NewReader(c.body)
			if chunked {
				reader = &oddReader{reader}
			}
			r := f.request("POST", "/v1/responses", reader)
			r.Header.Del("Content-Type")
			if c.kind != "" {
				r.Header.Set("Content-Type", c.kind)
			}
			if c.coding != "" {
				r.Header.Set("Content-Encoding", c.coding)
			}
			response, answer := f.do(r)
			if response.StatusCode != http.StatusBadRequest || response.Header.Get("X-Codex-Proxy-Refusal") != "model_not_allowed" {
				t.Errorf("%s (chunked %t): %s %s", name, chunked, response.Status, answer)
			}
		}
		if got := f.openai.Received(); len(got) != 0 {
			t.Errorf("%s: upstream saw it", name)
		}
	}
}
