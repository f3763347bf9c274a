package lambda_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"codex-proxy/internal/lambda"
	"codex-proxy/internal/lambda/lambdatest"
)

// function runs a handler as a function behind a Function URL.
func function(t *testing.T, handler http.HandlerFunc, change func(*lambdatest.Front, *lambda.Options)) *lambdatest.Front {
	t.Helper()
	front := lambdatest.New()
	o := lambda.Options{Handler: handler, API: front.API(), Log: slog.New(slog.DiscardHandler), Cause: errDeadline}
	if change != nil {
		change(front, &o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- lambda.Serve(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		front.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return front
}

var errDeadline = errors.New("the deadline is near")

func do(t *testing.T, method, address string, body io.Reader, headers ...string) (*http.Response, []byte, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, text, err
}

func TestBytesGoInAndComeOutAsTheyAre(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength {
			t.Errorf("%d bytes of %d, %v", len(body), r.ContentLength, err)
		}
		_, _ = w.Write(body)
	}
	for _, coded := range []bool{false, true} {
		front := function(t, echo, func(f *lambdatest.Front, _ *lambda.Options) { f.Base64 = coded })
		for _, size := range []int{0, 1, 1000, 70_000, 4_000_000} {
			for kind, body := range map[string][]byte{
				"application/json":         bytes.Repeat([]byte("ä"), size/2),
				"application/octet-stream": noise(size),
				"":                         noise(size),
			} {
				response, text, err := do(t, "POST", front.URL()+"/echo", bytes.NewReader(body), "Content-Type", kind)
				if err != nil || response.StatusCode != http.StatusOK || !bytes.Equal(text, body) {
					t.Errorf("%d bytes of %q came back as %d bytes with %s, %v", len(body), kind, len(text), response.Status, err)
				}
			}
		}
	}
}

func noise(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return b
}

func TestARequestIsTheOneThatWasMade(t *testing.T) {
	var got *http.Request
	front := function(t, func(_ http.ResponseWriter, r *http.Request) { got = r }, nil)
	for _, target := range []string{"/", "/v1/responses?stream=true&x=%2F+y", "/v1/files/a%2Fb%20c", "/v1/files/%C3%A4//x", "/v1/?", "/a;b=c?q=1&q=2"} {
		if _, _, err := do(t, "PATCH", front.URL()+target, nil, "X-Two", "a", "X-Two", "b", "Cookie", "c=1; d=2", "Authorization", "Bearer t"); err != nil {
			t.Fatal(err)
		}
		want, err := url.ParseRequestURI(target)
		if err != nil {
			t.Fatal(err)
		}
		if got.Method != "PATCH" || got.URL.EscapedPath() != want.EscapedPath() || got.URL.RawQuery != want.RawQuery {
			t.Errorf("%s came as %s %s", target, got.Method, got.URL)
		}
		if got.Header.Get("X-Two") != "a,b" || got.Header.Get("Cookie") != "c=1; d=2" || got.Header.Get("Authorization") != "Bearer t" || got.TLS == nil ||
			got.Host != strings.TrimPrefix(front.URL(), "http://") || !strings.HasSuffix(got.RemoteAddr, ":0") || got.ContentLength != 0 {
			t.Errorf("%s came with %v, host %s, from %s", target, got.Header, got.Host, got.RemoteAddr)
		}
	}
}

func TestAnAnswerIsTheOneThatWasGiven(t *testing.T) {
	front := function(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header()["X-Two"] = []string{"a", "b"}
		http.SetCookie(w, &http.Cookie{Name: "one", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "two", Value: "2"})
		switch r.URL.Path {
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		case "/nothing":
		default:
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "tea")
		}
	}, nil)
	response, text, err := do(t, "GET", front.URL()+"/", nil)
	if err != nil || response.StatusCode != http.StatusTeapot || string(text) != "tea" || response.Header.Get("X-Two") != "a, b" ||
		response.Header.Get("Content-Type") != "text/event-stream" || len(response.Cookies()) != 2 {
		t.Errorf("%s %v %q %v", response.Status, response.Header, text, err)
	}
	if response, text, err := do(t, "HEAD", front.URL()+"/", nil); err != nil || response.StatusCode != http.StatusTeapot || len(text) > 0 {
		t.Errorf("HEAD: %s %q %v", response.Status, text, err)
	}
	if response, _, err := do(t, "GET", front.URL()+"/none", nil); err != nil || response.StatusCode != http.StatusNoContent {
		t.Errorf("no content: %s %v", response.Status, err)
	}
	if response, _, err := do(t, "GET", front.URL()+"/nothing", nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("nothing said: %s %v", response.Status, err)
	}
}

// TestAPieceIsThereBeforeTheNextIsWritten lets the handler wait for the client.
func TestAPieceIsThereBeforeTheNextIsWritten(t *testing.T) {
	seen := make(chan struct{})
	front := function(t, func(w http.ResponseWriter, _ *http.Request) {
		for n := range 5 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			<-seen
		}
	}, nil)
	response, err := http.Get(front.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	piece := make([]byte, 100)
	for n := range 5 {
		length, err := response.Body.Read(piece)
		if want := fmt.Sprintf("data: %d\n\n", n); err != nil || string(piece[:length]) != want {
			t.Fatalf("got %q, %v; want %q", piece[:length], err, want)
		}
		seen <- struct{}{}
	}
	if rest, err := io.ReadAll(response.Body); len(rest) > 0 || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
}

func TestAnAnswersEndWaitsUntilAllIsSettled(t *testing.T) {
	var settled atomic.Bool
	whole := make(chan struct{})
	front := function(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "all of it") },
		func(_ *lambdatest.Front, o *lambda.Options) {
			o.Settle = func(ctx context.Context) {
				<-whole // the client has every byte
				if _, bounded := ctx.Deadline(); !bounded || ctx.Err() != nil {
					t.Error("there is no time to settle")
				}
				settled.Store(true)
			}
		})
	response, err := http.Get(front.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, make([]byte, len("all of it"))); err != nil {
		t.Fatal(err)
	}
	close(whole)
	if _, err := response.Body.Read(make([]byte, 1)); err != io.EOF || !settled.Load() {
		t.Errorf("the end came as %v, settled: %t", err, settled.Load())
	}
}

func TestARequestEndsBeforeItsDeadlineForAReason(t *testing.T) {
	var settling time.Duration
	front := function(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begun")
		<-r.Context().Done()
		if cause := context.Cause(r.Context()); !errors.Is(cause, errDeadline) {
			t.Errorf("it ended for %v", cause)
		}
		panic(http.ErrAbortHandler)
	}, func(f *lambdatest.Front, o *lambda.Options) {
		f.Timeout, o.Margin = 3*time.Second, 2900*time.Millisecond
		o.Settle = func(ctx context.Context) {
			end, _ := ctx.Deadline()
			settling = time.Until(end)
		}
	})
	response, text, err := do(t, "GET", front.URL(), nil)
	if response.StatusCode != http.StatusOK || string(text) != "begun" || err == nil {
		t.Errorf("%s %q %v, want an answer that breaks off", response.Status, text, err)
	}
	if settling <= 0 {
		t.Errorf("%s were left to settle", settling)
	}
}

func TestAPanicEndsAnAnswerAndNotTheFunction(t *testing.T) {
	front := function(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/before":
			w.Header().Set("X-Half", "made")
			panic("before anything was said")
		case "/amid":
			_, _ = io.WriteString(w, "half")
			panic("amid")
		}
	}, nil)
	response, text, err := do(t, "GET", front.URL()+"/before", nil)
	if err != nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("X-Codex-Proxy-Refusal") != "proxy_unavailable" ||
		response.Header.Get("X-Half") != "" || !bytes.Contains(text, []byte("codex-proxy: ")) {
		t.Errorf("before: %s %v %s %v", response.Status, response.Header, text, err)
	}
	if _, text, err := do(t, "GET", front.URL()+"/amid", nil); err == nil || string(text) != "half" {
		t.Errorf("amid: %q, %v; want an answer that breaks off", text, err)
	}
	if response, _, err := do(t, "GET", front.URL()+"/", nil); err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %s, %v", response.Status, err)
	}
}

func TestABodyOverThePlatformsLimitIsRefusedThere(t *testing.T) {
	front := function(t, func(http.ResponseWriter, *http.Request) { t.Error("it reached the function") }, nil)
	response, _, err := do(t, "POST", front.URL(), bytes.NewReader(noise(5_000_000)), "Content-Type", "application/octet-stream")
	if err != nil || response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("got %s, %v", response.Status, err)
	}
}

func TestAnInvocationThatIsNoRequestIsAnErrorAndNoEnd(t *testing.T) {
	var asked atomic.Int64
	told := make(chan string, 1)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/next") && asked.Add(1) <= 2:
			if asked.Load() == 1 {
				w.WriteHeader(http.StatusInternalServerError) // it is asked again
				return
			}
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "one")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			_, _ = io.WriteString(w, `{"Records":[]}`)
		case strings.HasSuffix(r.URL.Path, "/one/error"):
			body, _ := io.ReadAll(r.Body)
			told <- string(body)
		default:
			<-r.Context().Done()
		}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- lambda.Serve(ctx, lambda.Options{
			Handler: http.NotFoundHandler(), API: strings.TrimPrefix(api.URL, "http://"), Log: slog.New(slog.DiscardHandler),
		})
	}()
	if said := <-told; !strings.Contains(said, "Runtime.NoRequest") {
		t.Errorf("Lambda was told %s", said)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	api.Close()
}

func TestAFunctionThatCannotStartSaysWhy(t *testing.T) {
	front := lambdatest.New()
	defer front.Close()
	if err := lambda.FailedInit(t.Context(), front.API(), errors.New("there is no such secret")); err != nil {
		t.Fatal(err)
	}
	if said := front.FailedInit(); !strings.Contains(said, "there is no such secret") {
		t.Errorf("it said %s", said)
	}
}

func BenchmarkInvocation(b *testing.B) {
	front := lambdatest.New()
	defer front.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() {
		_ = lambda.Serve(ctx, lambda.Options{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }),
			API:     front.API(), Log: slog.New(slog.DiscardHandler),
		})
	}()
	body := bytes.Repeat([]byte("x"), 200_000)
	for b.Loop() {
		response, err := http.Post(front.URL(), "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}
