package gateway_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/exchange"
)

// echo is an upstream that notes what it receives and sends the body back.
type echo struct {
	uri, proto string
	header     http.Header
	trailer    http.Header
	length     int64
	sum        [32]byte
}

func echoUpstream(t *testing.T, seen *echo) *httptest.Server {
	t.Helper()
	return startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*seen = echo{r.RequestURI, r.Proto, r.Header, r.Trailer, r.ContentLength, sha256.Sum256(body)}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		if coding := r.Header.Get("Content-Encoding"); coding != "" {
			w.Header().Set("Content-Encoding", coding)
		}
		w.Header().Set("Trailer", "X-Sum")
		for len(body) > 0 { // odd pieces, each its own chunk
			n := min(len(body), 1+rand.IntN(70_000))
			_, _ = w.Write(body[:n])
			w.(http.Flusher).Flush()
			body = body[n:]
		}
		w.Header().Set("X-Sum", "42")
	}))
}

func TestEveryBodyArrivesAsItWasSentInBothDirections(t *testing.T) {
	item := []byte(`{"type":"an_item_of_tomorrow","text":"é \" \\ \u0000 � 😀"},`)
	list := func(size int) []byte {
		return slices.Concat([]byte("["), bytes.Repeat(item, size/len(item)), []byte("null]"))
	}
	noise := make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(list(1 << 20))
	_ = z.Close()
	encoder := must(zstd.NewWriter(nil))
	bodies := []struct {
		name, contentType, coding string
		body                      []byte
		unreadable                bool
	}{
		{"nothing", "application/json", "", nil, false},
		{"one byte", "application/json", "", []byte("1"), false},
		{"an unknown item type", "application/json", "", []byte(`{"model":"gpt-9","input":[{"type":"hologram","rays":[1,2,3]}],"a new field":{}}`), false},
		{"200 KB", "application/json", "", list(200_000), false},
		{"20 MB", "application/json", "", list(20 << 20), false},
		{"binary", "application/octet-stream", "", noise, true},
		{"gzip", "application/json", "gzip", zipped.Bytes(), false},
		{"zstd", "application/json", "zstd", encoder.EncodeAll(list(1<<20), nil), false},
		{"gzip that is none", "application/json", "gzip", []byte("no gzip at all"), true},
		{"an unknown coding", "application/json", "br", noise[:5000], true},
	}
	for _, unsearched := range []bool{false, true} {
		var seen echo
		f := newFixture(t, options{upstream: echoUpstream(t, &seen), unsearched: unsearched, endpoints: "all"})
		settled := 0
		for _, c := range bodies {
			if c.unreadable && !unsearched {
				continue // what cannot be searched for secrets does not leave
			}
			for _, chunked := range []bool{false, true} {
				// The race detector takes half a minute for each.
				if len(c.body) > 10<<20 && (over.client.http2 != over.upstream.http2 || chunked != over.client.tls || over.client == overT) {
					continue
				}
				t.Run(fmt.Sprintf("searched=%t/%s/chunked=%t", !unsearched, c.name, chunked), func(t *testing.T) {
					var body io.Reader = bytes.NewReader(c.body)
					if chunked {
						body = &oddReader{body}
					}
					r := f.request("POST", "/v1/anything/at-all?a=1;b=2&c=%20&d", body)
					r.Header.Set("Content-Type", c.contentType)
					if c.coding != "" {
						r.Header.Set("Content-Encoding", c.coding)
					}
					r.Header.Set("Accept-Encoding", "identity")
					if chunked {
						r.ContentLength = -1
						r.Trailer = http.Header{"X-Check": {"after the body"}}
					}
					response, got := f.do(r)
					settled++

					if want := sha256.Sum256(c.body); seen.sum != want {
						t.Errorf("upstream got other bytes than were sent")
					}
					if !bytes.Equal(got, c.body) {
						t.Errorf("the client got other bytes than upstream sent (%d, want %d)", len(got), len(c.body))
					}
					if want := "/v1/anything/at-all?a=1;b=2&c=%20&d"; seen.uri != want {
						t.Errorf("upstream was asked for %q, want %q", seen.uri, want)
					}
					if !chunked && seen.length != int64(len(c.body)) {
						t.Errorf("upstream was told a length of %d, want %d", seen.length, len(c.body))
					}
					if chunked && seen.trailer.Get("X-Check") != "after the body" {
						t.Errorf("the request's trailer got lost: %v", seen.trailer)
					}
					if len(c.body) > 0 && response.Trailer.Get("X-Sum") != "42" {
						t.Errorf("the answer's trailer got lost: %v", response.Trailer)
					}
					if wantProto := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[over.upstream.http2]; seen.proto != wantProto {
						t.Errorf("upstream spoke %s, want %s", seen.proto, wantProto)
					}

					all := f.exchanges(settled)
					e := all[settled-1]
					doc := f.document(e)
					meaning := c.body
					switch c.name {
					case "gzip", "zstd":
						meaning = list(1 << 20)
					case "gzip that is none":
						if doc.Request.Incomplete == "" {
							t.Error("a body that could not be decoded is not marked in its record")
						}
						return
					}
					if !bytes.Equal(doc.Request.Bytes(), meaning) {
						t.Errorf("the record's request differs from what was sent (%d bytes, want %d)", len(doc.Request.Bytes()), len(meaning))
					}
					if !bytes.Equal(doc.Response.Bytes(), meaning) {
						t.Errorf("the record's answer differs from what was sent")
					}
					if e.RequestBytes != int64(len(c.body)) || e.ResponseBytes != int64(len(c.body)) {
						t.Errorf("sizes on record are %d and %d, want %d", e.RequestBytes, e.ResponseBytes, len(c.body))
					}
				})
			}
		}
	}
}

// oddReader yields odd pieces, so that the body travels in odd chunks.
type oddReader struct{ source io.Reader }

func (o *oddReader) Read(p []byte) (int, error) {
	return o.source.Read(p[:min(len(p), 1+rand.IntN(9000))])
}

func TestTheBaseAddressWorksWithAndWithoutV1(t *testing.T) {
	f := newFixture(t, options{})
	for i, path := range []string{"/v1/models", "/models", "/v1/models?x=y"} {
		response, _ := f.do(f.request("GET", path, nil))
		if response.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, response.Status)
		}
		want := "/v1/models" + strings.TrimPrefix(strings.TrimPrefix(path, "/v1"), "/models")
		if got := f.openai.Received()[i].URI; got != want {
			t.Errorf("GET %s reached upstream as %q, want %q", path, got, want)
		}
	}
}

func TestOnlyTheConnectionsHeadersAndTheCredentialChange(t *testing.T) {
	var seen echo
	f := newFixture(t, options{upstream: echoUpstream(t, &seen)})
	raw := "POST /v1/responses HTTP/1.1\r\nHost: evil.example\r\n" +
		"Authorization: Bearer " + f.token + "\r\n" +
		"Connection: Authorization, X-Secret-Hop, keep-alive\r\nX-Secret-Hop: 1\r\n" +
		"Proxy-Authorization: Basic Zm9v\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n" +
		"Cookie: session=1\r\nX-Api-Key: sk-mine\r\nApi-Key: sk-mine\r\n" +
		"OpenAI-Organization: org-other\r\nOpenAI-Project: proj-other\r\n" +
		"X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX_Underscore: 1\r\n" +
		"Session-Id: s-1\r\nX-Codex-Turn-Metadata: {\"a\":1}\r\nOriginator: codex_exec\r\nX-New-Header: tomorrow\r\n" +
		"User-Agent: codex_exec/0.169.0\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	connection := f.connect()
	defer connection.Close()
	_, _ = io.WriteString(connection, raw)
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)

	want := http.Header{
		"Authorization": {"Bearer " + upstreamKey}, "Te": {"trailers"},
		"Session-Id": {"s-1"}, "X-Codex-Turn-Metadata": {`{"a":1}`}, "Originator": {"codex_exec"}, "X-New-Header": {"tomorrow"},
		"User-Agent": {"codex_exec/0.169.0"}, "Accept": {"text/event-stream"}, "Content-Type": {"application/json"}, "Content-Length": {"2"},
	}
	if diff := cmp.Diff(want, seen.header); diff != "" {
		t.Errorf("upstream's header (-want +got):\n%s", diff)
	}
}

func TestAPathThatCouldBeReadTwoWaysIsRefused(t *testing.T) {
	f := newFixture(t, options{})
	for _, path := range []string{
		"/v1/../admin", "/v1/./models", "/v1//models", "/v1/models%2fx", "/v1/%2e%2e/x", "/v1/models;x", "/v1/a%5cb", "/v1/a%00", "/v1/%252e%252e/",
	} {
		connection := f.connect()
		_, _ = fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", path, f.token)
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusBadRequest || response.Header.Get("X-Codex-Proxy-Refusal") != "bad_path" {
			t.Errorf("GET %s: %s, refusal %q; want 400 bad_path", path, response.Status, response.Header.Get("X-Codex-Proxy-Refusal"))
		}
		connection.Close()
	}
	if got := f.openai.Received(); len(got) != 0 {
		t.Errorf("upstream saw %d of these requests", len(got))
	}
}

// TestEachEventReachesCodexBeforeTheNextOneIsSent would hang, and fail, if
// anything on the way waited for more than one event.
func TestEachEventReachesCodexBeforeTheNextOneIsSent(t *testing.T) {
	proceed := make(chan struct{})
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for i := range 20 {
			select {
			case <-proceed:
			case <-r.Context().Done():
				return
			}
			_, _ = fmt.Fprintf(w, "event: tick\ndata: {\"n\":%d}\n\n", i)
			w.(http.Flusher).Flush()
		}
	}))
	f := newFixture(t, options{upstream: server})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	response, err := f.proxy.Client().Do(f.request("POST", "/v1/responses", strings.NewReader(`{"model":"m"}`)).WithContext(ctx))
	if err != nil {
		t.Fatal(err) // the header must come before the first event
	}
	defer response.Body.Close()
	events := bufio.NewReader(response.Body)
	for i := range 20 {
		proceed <- struct{}{}
		want := fmt.Sprintf("event: tick\ndata: {\"n\":%d}\n\n", i)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(events, got); err != nil || string(got) != want {
			t.Fatalf("event %d: %q, %v", i, got, err)
		}
	}
}

func TestExpectContinueIsAnsweredAndTheBodyFollows(t *testing.T) {
	var seen echo
	f := newFixture(t, options{upstream: echoUpstream(t, &seen)})
	connection := f.connect()
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = fmt.Fprintf(connection, "POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", f.token)
	reader := bufio.NewReader(connection)
	line, err := reader.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("first line %q, %v; want a 100 before the body is sent", line, err)
	}
	_, _ = reader.ReadString('\n')
	_, _ = io.WriteString(connection, `"hey"`)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, _ := io.ReadAll(response.Body); string(body) != `"hey"` || seen.sum != sha256.Sum256([]byte(`"hey"`)) {
		t.Errorf("the body that followed was %q", body)
	}
}

func TestARedirectIsReturnedAndNotFollowed(t *testing.T) {
	followed := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed = true }))
	t.Cleanup(other.Close)
	server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusFound)
	}))
	f := newFixture(t, options{upstream: server})
	response, err := f.proxy.Client().Transport.RoundTrip(f.request("GET", "/v1/models", nil))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusFound || response.Header.Get("Location") != other.URL || followed {
		t.Errorf("got %s to %q, followed %t; want the redirect itself", response.Status, response.Header.Get("Location"), followed)
	}
}

func TestUpstreamsErrorsPassUntouched(t *testing.T) {
	for status, answer := range map[int]string{
		401: `{"error":{"message":"Incorrect API key","type":"invalid_request_error","code":"invalid_api_key"}}`,
		429: `{"error":{"message":"Rate limit","type":"tokens","code":"rate_limit_exceeded"}}`,
		500: `<html>oops</html>`, 503: `{"error":{"code":"slow_down","message":"m"}}`,
	} {
		server := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "req_upstream")
			w.Header().Set("Retry-After", "2")
			w.Header().Set("X-Codex-Proxy-Refusal", "forged")
			w.Header().Set("Set-Cookie", "__cf_bm=1")
			if answer[0] == '{' {
				w.Header().Set("Content-Type", "application/json")
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
		}))
		f := newFixture(t, options{upstream: server})
		response, body := f.ask("x")
		if response.StatusCode != status || string(body) != answer || response.Header.Get("Retry-After") != "2" || response.Header.Get("X-Request-Id") != "req_upstream" {
			t.Errorf("%d became %s %q", status, response.Status, body)
		}
		if response.Header.Get("X-Codex-Proxy-Refusal") != "" || response.Header.Get("Set-Cookie") != "" {
			t.Errorf("upstream could forge %v", response.Header)
		}
		e := f.exchanges(1)[0]
		if e.Outcome != exchange.Failed || e.ErrorOrigin != exchange.OriginOpenAI || e.Status != status || e.Error == "" || e.UpstreamRequestID != "req_upstream" || e.Usage.State != exchange.UsageNone {
			t.Errorf("%d is on record as %+v", status, e)
		}
		server.Close()
	}
}

func TestUpstreamThatCannotBeReachedIsSaidSo(t *testing.T) {
	gone := httptest.NewServer(nil)
	f := newFixture(t, options{upstream: gone})
	gone.Close()
	response, body := f.ask("x")
	if response.StatusCode != http.StatusBadGateway || response.Header.Get("X-Codex-Proxy-Refusal") != "upstream_unreachable" || !strings.Contains(string(body), "could not be reached") {
		t.Errorf("got %s %q %s", response.Status, response.Header.Get("X-Codex-Proxy-Refusal"), body)
	}
	e := f.exchanges(1)[0]
	if e.Outcome != exchange.UpstreamError || e.Refusal != "upstream_unreachable" || e.Status != 502 {
		t.Errorf("on record as %+v", e)
	}
}
