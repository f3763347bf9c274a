package gateway_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// maskedKey is what stands in the place of upstreamKey.
const maskedKey = "sk-************************"

// keepsNoKey fails the test if the key is among what n exchanges left behind: records,
// rows and the log.
func (f *fixture) keepsNoKey(n int) {
	f.t.Helper()
	for _, e := range f.exchanges(n) {
		doc := f.document(e)
		kept := must(json.Marshal([]any{e, doc}))
		kept = append(kept, doc.Request.Bytes()...)
		if doc.Response != nil {
			kept = append(kept, doc.Response.Bytes()...)
		}
		if bytes.Contains(kept, []byte(upstreamKey)) {
			f.t.Errorf("the key is on record: %s", kept)
		}
	}
	if strings.Contains(f.log.String(), upstreamKey) {
		f.t.Errorf("the key is in the log:\n%s", f.log.String())
	}
}

// echoing is a fixture in front of an upstream that answers by itself.
func echoing(t *testing.T, o options, answer http.HandlerFunc) *fixture {
	t.Helper()
	o.upstream = startUpstream(t, answer)
	return newFixture(t, o)
}

// TestTheKeyDoesNotComeBack: upstream, or something before it, quotes the request
// that it got, in every place that an answer has.
func TestTheKeyDoesNotComeBack(t *testing.T) {
	quote := "it came with Authorization: Bearer " + upstreamKey + "."
	for name, c := range map[string]struct {
		status int
		header http.Header
		pieces []string
	}{
		"a JSON answer":              {200, http.Header{"Content-Type": {"application/json"}}, []string{`{"output":"` + quote + `"}`}},
		"a page of an error":         {502, http.Header{"Content-Type": {"text/html"}}, []string{"<html>" + quote + "</html>"}},
		"a JSON error":               {401, http.Header{"Content-Type": {"application/json"}}, []string{`{"error":{"message":"` + quote + `","code":"x"}}`}},
		"an event":                   {200, http.Header{"Content-Type": {"text/event-stream"}}, []string{"data: {\"a\":\"" + quote + "\"}\n\n", "data: " + upstreamKey + "\n\n"}},
		"a key that is cut in two":   {200, http.Header{"Content-Type": {"text/event-stream"}}, []string{"data: " + quote[:45], quote[45:] + "\n\n"}},
		"the very end":               {200, http.Header{"Content-Type": {"text/plain"}}, []string{upstreamKey}},
		"a header":                   {200, http.Header{"X-Echo": {quote}, "X-Request-Id": {upstreamKey}}, []string{"{}"}},
		"a redirect":                 {302, http.Header{"Location": {"https://example.com/?key=" + upstreamKey}}, nil},
		"a page of an error, gzip":   {502, http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"gzip"}}, []string{string(zipped([]byte("<html>"+quote+"</html>"), gzip.Header{}))}},
		"a gzip that is cut off":     {500, http.Header{"Content-Encoding": {"gzip"}}, []string{string(zipped([]byte(quote+strings.Repeat("x", 999)), gzip.Header{}))[:90]}},
		"an error, said to be coded": {400, http.Header{"Content-Encoding": {"identity"}}, []string{quote}},
	} {
		t.Run(name, func(t *testing.T) {
			f := echoing(t, options{}, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				length := 0
				for name, values := range c.header {
					w.Header()[name] = values
				}
				for _, piece := range c.pieces {
					length += len(piece)
				}
				if len(c.pieces) == 1 {
					w.Header().Set("Content-Length", fmt.Sprint(length))
				}
				w.WriteHeader(c.status)
				for _, piece := range c.pieces {
					_, _ = io.WriteString(w, piece)
					_ = http.NewResponseController(w).Flush()
				}
			})
			r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello")))
			r.Header.Set("Accept-Encoding", "gzip")
			response := must(f.proxy.Client().Transport.RoundTrip(r))
			body := string(must(io.ReadAll(response.Body)))
			response.Body.Close()
			got := fmt.Sprint(response.Header) + body
			if response.StatusCode != c.status || strings.Contains(got, upstreamKey) || response.Header.Get("Content-Encoding") == "gzip" {
				t.Errorf("the client got %s %s", response.Status, got)
			}
			if !strings.Contains(got, maskedKey) {
				t.Errorf("no mask stands in the key's place: %s", got)
			}
			if want := strings.ReplaceAll(strings.Join(c.pieces, ""), upstreamKey, maskedKey); c.header.Get("Content-Encoding") != "gzip" && body != want {
				t.Errorf("the client got %q, want %q", body, want)
			}
			f.keepsNoKey(1)
		})
	}
}

func TestTheKeyDoesNotComeBackBesideTheAnswer(t *testing.T) {
	f := echoing(t, options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "<"+upstreamKey+">")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "text")
		w.Header().Set("X-Sum", "of "+upstreamKey)
	})
	var early string
	r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello")))
	response, _ := f.do(r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(_ int, header textproto.MIMEHeader) error { early = header.Get("Link"); return nil },
	})))
	if early != "<"+maskedKey+">" {
		t.Errorf("the early hints say %q", early)
	}
	if trailer := response.Trailer.Get("X-Sum"); trailer != "of "+maskedKey {
		t.Errorf("the trailer says %q", trailer)
	}
	f.keepsNoKey(1)
}

// TestTheKeyIsNotInWhatIsNoHTTP: the transport's own errors quote what they got.
func TestTheKeyIsNotInWhatIsNoHTTP(t *testing.T) {
	for _, garbage := range []string{
		"Authorization: Bearer " + upstreamKey + "\r\n\r\n", "HTTP/1.1 " + upstreamKey + "\r\n\r\n",
		"HTTP/1.1 502 " + upstreamKey + "\r\nContent-Length: 0\r\n\r\n",
	} {
		listener := must(net.Listen("tcp", "127.0.0.1:0"))
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				if request, err := http.ReadRequest(bufio.NewReader(connection)); err == nil {
					_, _ = io.Copy(io.Discard, request.Body)
				}
				_, _ = io.WriteString(connection, garbage)
				_ = connection.Close()
			}
		}()
		f := newFixture(t, options{upstream: &httptest.Server{URL: "http://" + listener.Addr().String()}})
		response, body := f.ask("hello")
		if strings.Contains(response.Status+string(body), upstreamKey) || response.StatusCode != http.StatusBadGateway {
			t.Errorf("%q: the client got %s %s", garbage, response.Status, body)
		}
		f.keepsNoKey(1)
	}
}

// TestTheKeyInACodedAnswerIsNotOnRecord: the client gets the coding as it came.
func TestTheKeyInACodedAnswerIsNotOnRecord(t *testing.T) {
	text := `{"output":"` + upstreamKey + `"}`
	f := echoing(t, options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped([]byte(text), gzip.Header{}))
	})
	r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello")))
	r.Header.Set("Accept-Encoding", "gzip")
	if _, body := f.do(r); !bytes.Equal(body, zipped([]byte(text), gzip.Header{})) {
		t.Errorf("the client got other bytes than upstream sent: %q", body)
	}
	f.keepsNoKey(1)
	if !strings.Contains(f.log.String(), "within a content coding") {
		t.Error("the log does not tell")
	}
	if got, want := string(f.document(f.exchanges(1)[0]).Response.Bytes()), `{"output":"`+maskedKey+`"}`; got != want {
		t.Errorf("on record is %q, want %q", got, want)
	}
}

func TestTheKeyDoesNotComeBackThroughAWebSocket(t *testing.T) {
	f := echoing(t, options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		connection, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		_, _, _ = connection.Read(r.Context())
		_ = connection.Write(r.Context(), websocket.MessageText, []byte(`{"type":"response.created","response":{"id":"resp_1","instructions":"`+upstreamKey+`"}}`))
		_ = connection.Close(websocket.StatusInternalError, "key "+upstreamKey)
	})
	connection, response, err := websocket.Dial(t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{HTTPClient: f.proxy.Client(), HTTPHeader: f.request("GET", "/", nil).Header})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.CloseNow() }()
	if echo := response.Header.Get("X-Echo"); echo != "Bearer "+maskedKey {
		t.Errorf("the upgrade's header says %q", echo)
	}
	send(t, connection, `{"type":"response.create","model":"m","input":"the key is `+upstreamKey+`"}`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, message, err := connection.Read(ctx)
	if err != nil || !bytes.Contains(message, []byte(maskedKey)) {
		t.Errorf("the client got %s, %v", message, err)
	}
	if _, _, err = connection.Read(ctx); err == nil || strings.Contains(err.Error(), upstreamKey) || !strings.Contains(err.Error(), maskedKey) {
		t.Errorf("the connection ended with %v", err)
	}
	f.keepsNoKey(1)
}

func TestTheKeyDoesNotComeBackFromAnUpgradeThatIsRefused(t *testing.T) {
	f := echoing(t, options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		http.Error(w, "no: "+r.Header.Get("Authorization"), http.StatusForbidden)
	})
	_, response, err := websocket.Dial(t.Context(), f.proxy.URL+"/v1/responses", &websocket.DialOptions{HTTPClient: f.proxy.Client(), HTTPHeader: f.request("GET", "/", nil).Header})
	if err == nil || response == nil {
		t.Fatalf("the upgrade gave %v, %v", response, err)
	}
	body := string(must(io.ReadAll(response.Body)))
	if got := fmt.Sprint(response.Header, body); strings.Contains(got, upstreamKey) || strings.Count(got, maskedKey) != 2 {
		t.Errorf("the client got %s", got)
	}
	f.keepsNoKey(1)
}

// TestTheKeyInARequestIsMaskedAndTold: a developer who has the key types it
// somewhere. Nobody but upstream may keep it, and whoever runs the proxy must know.
func TestTheKeyInARequestIsMaskedAndTold(t *testing.T) {
	body := []byte(`{"model":"gpt-5.1-codex","input":"use ` + upstreamKey + ` please"}`)
	masked := strings.ReplaceAll(string(body), upstreamKey, maskedKey)
	for name, c := range map[string]struct {
		change     func(*http.Request)
		unsearched bool
	}{
		"a prompt":                           {nil, false},
		"a prompt that is not searched":      {nil, true},
		"pieces of a prompt":                 {func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(&oddReader{bytes.NewReader(body)}), -1 }, false},
		"pieces that are not searched":       {func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(&oddReader{bytes.NewReader(body)}), -1 }, true},
		"a coded prompt":                     {func(r *http.Request) { coded(r, body) }, false},
		"a coded one, not searched":          {func(r *http.Request) { coded(r, body) }, true},
		"a header, and it names the session": {func(r *http.Request) { r.Header.Set("Session-Id", upstreamKey); r.Header.Set("X-Mine", upstreamKey) }, false},
		"the user agent":                     {func(r *http.Request) { r.Header.Set("User-Agent", "codex "+upstreamKey) }, true},
		"the query":                          {func(r *http.Request) { r.URL.RawQuery = "a=" + url.QueryEscape(upstreamKey) }, true},
		"the path, of what is refused":       {func(r *http.Request) { r.URL.Path = "/v1/files/" + upstreamKey }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var said string
			f := echoing(t, options{unsearched: c.unsearched}, func(w http.ResponseWriter, r *http.Request) {
				sent, _ := io.ReadAll(r.Body)
				if r.Header.Get("Content-Encoding") != "" && !c.unsearched {
					t.Error("the coding went on with the key in it")
				}
				r.Header.Del("Authorization")
				said = fmt.Sprint(r.RequestURI, r.Header, string(sent))
			})
			r := f.request("POST", "/v1/responses", bytes.NewReader(body))
			if c.change != nil {
				c.change(r)
			}
			_, answer := f.do(r)
			if strings.Contains(said+string(answer), upstreamKey) {
				t.Errorf("the key went on: %s %s", said, answer)
			}
			if !strings.Contains(f.log.String(), "a request holds the organisation's key") {
				t.Error("the log does not tell")
			}
			f.keepsNoKey(1)
			doc := f.document(f.exchanges(1)[0])
			if got := string(doc.Request.Bytes()); doc.Exchange.Refusal == "" && got != masked {
				t.Errorf("the record's request is %q, want %q", got, masked)
			}
		})
	}
}

func coded(r *http.Request, body []byte) {
	sent := zipped([]byte(string(body)), gzip.Header{})
	r.Header.Set("Content-Encoding", "gzip")
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
}

// TestAKeyThatWasReplacedIsMaskedToo: it may hold elsewhere for a while.
func TestAKeyThatWasReplacedIsMaskedToo(t *testing.T) {
	const older = "sk-of-yesterday-0a1b2c"
	f := echoing(t, options{oldKey: older}, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+upstreamKey {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, "now "+upstreamKey+", before "+older)
	})
	if _, body := f.ask("hello"); string(body) != "now "+maskedKey+", before sk-*******************" {
		t.Errorf("the client got %q", body)
	}
}

// TestEventsThatHoldNoKeyAreNotHeldBack is TestEachEventReachesCodexBeforeTheNextOneIsSent
// with events whose ends look like the beginning of a key but for their line feeds,
// and with one in which the key is.
func TestEventsThatHoldNoKeyAreNotHeldBack(t *testing.T) {
	proceed := make(chan string)
	f := echoing(t, options{}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for event := range proceed {
			_, _ = io.WriteString(w, event)
			_ = http.NewResponseController(w).Flush()
		}
	})
	defer close(proceed)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	answers := make(chan *http.Response, 1)
	go func() {
		answers <- must(f.proxy.Client().Do(f.request("POST", "/v1/responses", bytes.NewReader(askBody("x"))).WithContext(ctx)))
	}()
	var answer *http.Response
	for _, text := range []string{"s", "sk-", upstreamKey[:20], upstreamKey, "sk-upstream-canary\n: sk-"} {
		event := "data: " + text + "\n\n"
		select {
		case proceed <- event:
		case <-ctx.Done():
			t.Fatal("upstream was not asked")
		}
		if answer == nil {
			answer = <-answers
			defer answer.Body.Close()
		}
		got := make([]byte, len(event))
		if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != strings.ReplaceAll(event, upstreamKey, maskedKey) {
			t.Fatalf("of %q came %q, %v", event, got, err)
		}
	}
}

// TestAWordOfAKeyIsNoKey: a server of one's own takes any key.
func TestAWordOfAKeyIsNoKey(t *testing.T) {
	f := echoing(t, options{oldKey: "EMPTY"}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "the list is EMPTY") })
	if _, body := f.ask("hello"); string(body) != "the list is EMPTY" {
		t.Errorf("the client got %q", body)
	}
}

// TestTheKeyThatIsSpelledWithEscapesIsOnNoRecord: what the wire spells so is decoded
// into the facts of an exchange.
func TestTheKeyThatIsSpelledWithEscapesIsOnNoRecord(t *testing.T) {
	escaped := strings.ReplaceAll(upstreamKey, "-", `\u002d`)
	f := echoing(t, options{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":{"message":"bad `+escaped+`"},"model":"`+escaped+`"}`)
	})
	f.do(f.request("POST", "/v1/responses", strings.NewReader(`{"model":"`+escaped+`","input":"x"}`)))
	e := f.exchanges(1)[0]
	for _, fact := range []string{e.Error, e.Model, e.ModelAsked} {
		if strings.Contains(fact, upstreamKey) || !strings.Contains(fact, maskedKey) {
			t.Errorf("a fact says %q", fact)
		}
	}
	if log := f.log.String(); strings.Contains(log, upstreamKey) {
		t.Error("the log has the key")
	}
}

// TestUpstreamIsAskedForNoContentCoding: in a coded answer neither the key nor a
// placeholder could be replaced.
func TestUpstreamIsAskedForNoContentCoding(t *testing.T) {
	asked := make(chan string, 1)
	f := echoing(t, options{}, func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Accept-Encoding") })
	r := f.request("POST", "/v1/responses", bytes.NewReader(askBody("hello")))
	r.Header.Set("Accept-Encoding", "zstd,gzip")
	f.do(r)
	if got := <-asked; got != "identity" {
		t.Errorf("upstream is asked for %q", got)
	}
}
