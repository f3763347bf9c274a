package httpserver_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/httpserver"
)

// limit is what a client may take its time for in these tests, and pause is longer.
const (
	limit = 100 * time.Millisecond
	pause = 3 * limit
)

// onBoth runs a test over HTTP/1.1 and over HTTP/2.
func onBoth(t *testing.T, handler http.HandlerFunc, test func(t *testing.T, server *httptest.Server)) {
	t.Helper()
	for _, http2 := range []bool{false, true} {
		name := map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2]
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(nil)
			server.Config = httpserver.New(handler, httpserver.Limits{BodyIdle: limit, Write: limit}, slog.New(slog.DiscardHandler))
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			test(t, server)
		})
	}
}

func TestAHandlerMayTakeItsTimeBetweenTheParts(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		first := make([]byte, 1)
		_, _ = io.ReadFull(r.Body, first)
		time.Sleep(pause) // the rest of the body has come long since
		rest, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the body: %v", err)
		}
		for _, part := range []string{string(first), string(rest)} {
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(pause)
		}
		_, _ = io.WriteString(w, "!")
	}
	onBoth(t, handler, func(t *testing.T, server *httptest.Server) {
		for range 2 { // the second on the same connection
			response, err := server.Client().Post(server.URL, "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(response.Body); string(body) != "hello!" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
			response.Body.Close()
		}
	})
}

func TestABodyThatStopsComingEndsTheRead(t *testing.T) {
	ended := make(chan error, 1)
	handler := func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		ended <- err
	}
	onBoth(t, handler, func(t *testing.T, server *httptest.Server) {
		body, more := io.Pipe()
		go func() { _, _ = io.WriteString(more, "he") }()
		go func() {
			if response, err := server.Client().Post(server.URL, "text/plain", body); err == nil {
				response.Body.Close()
			}
		}()
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the read ended with %v", err)
		}
		_ = more.Close()
	})
}

func TestAClientThatTakesNothingEndsTheWriteAndOneThatIsSlowDoesNot(t *testing.T) {
	ended := make(chan error, 1)
	large := bytes.Repeat([]byte("x"), 64<<20) // more than any buffer on the way takes
	handler := func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write(large) // in one piece
		ended <- err
	}
	onBoth(t, handler, func(t *testing.T, server *httptest.Server) {
		response, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		for range 4 * pause / limit { // in all for longer than the limit
			_, _ = io.CopyN(io.Discard, response.Body, 4<<20)
			select {
			case err := <-ended:
				t.Fatalf("the write ended with %v although the client read", err)
			case <-time.After(limit / 2):
			}
		}
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the write ended with %v", err)
		}
		response.Body.Close()
	})
}

// TestWhatOutlivesItsHandlerReachesTheConnectionNoMore would end the process over
// HTTP/2, and set a deadline for the next request over HTTP/1.1.
func TestWhatOutlivesItsHandlerReachesTheConnectionNoMore(t *testing.T) {
	kept := make(chan http.ResponseWriter, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
		select {
		case kept <- w:
		default:
		}
	}
	onBoth(t, handler, func(t *testing.T, server *httptest.Server) {
		for range 3 {
			response, err := server.Client().Post(server.URL, "text/plain", strings.NewReader("hello"))
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(response.Body); string(body) != "hello" || err != nil {
				t.Errorf("got %q, %v", body, err)
			}
			response.Body.Close()
			select {
			case w := <-kept:
				late := http.NewResponseController(w)
				_ = late.SetReadDeadline(time.Unix(1, 0))
			default:
			}
		}
	})
}

// TestAConnectionWhoseFramingMayBeReadTwoWaysIsClosed sends a second request behind
// the first: what is hidden there must not be answered.
func TestAConnectionWhoseFramingMayBeReadTwoWaysIsClosed(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpserver.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}), httpserver.DefaultLimits(), slog.New(slog.DiscardHandler))
	server.Start()
	defer server.Close()
	const next = "GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for name, c := range map[string]struct {
		first   string
		answers int
	}{
		"length and chunks":           {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 1},
		"chunks and length":           {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 1},
		"chunks over HTTP/1.0":        {"POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", 1},
		"length alone":                {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 2},
		"no body":                     {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 2},
		"two lengths that contradict": {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 1},
	} {
		t.Run(name, func(t *testing.T) {
			connection, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer connection.Close()
			_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = io.WriteString(connection, c.first+next)
			answers := 0
			for reader := bufio.NewReader(connection); ; answers++ {
				response, err := http.ReadResponse(reader, nil)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, response.Body)
			}
			if answers != c.answers {
				t.Errorf("%d requests were answered, want %d", answers, c.answers)
			}
		})
	}
}
