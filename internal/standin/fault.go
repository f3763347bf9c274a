package standin

import (
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Fault is what goes wrong with a request.
type Fault int

// The faults.
const (
	// None: the request is served.
	None Fault = iota
	// Throttled: refused as too much, in DynamoDB's words.
	Throttled
	// SlowDown: refused as too much, in S3's words.
	SlowDown
	// Broken: answered with an error of the server's.
	Broken
	// Hung: never answered.
	Hung
	// Lost: served, but the connection breaks before the answer.
	Lost
	// Torn: served, but the connection breaks in the middle of the answer.
	Torn
)

// Line is the line to a stand-in, on which things can go wrong. It notes which
// operations pass.
type Line struct {
	// Address is where the line begins.
	Address string

	mu    sync.Mutex
	fault func(operation string) Fault
	seen  map[string]bool
}

// NewLine lays a line to the stand-in at an address.
func NewLine(t testing.TB, address string) *Line {
	t.Helper()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{seen: map[string]bool{}}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0), // a client that gives up is part of the test
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // it is signed
		},
	}
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch l.next(r) {
		case None:
			proxy.ServeHTTP(w, r)
		case Throttled:
			w.Header().Set("Content-Type", "application/x-amz-json-1.0")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"too much"}`)
		case SlowDown:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `<Error><Code>SlowDown</Code><Message>too much</Message></Error>`)
		case Broken:
			w.WriteHeader(http.StatusInternalServerError)
		case Hung:
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice the client's leaving
			select {
			case <-r.Context().Done():
			case <-over:
			}
		case Lost:
			proxy.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case Torn:
			answer := httptest.NewRecorder()
			proxy.ServeHTTP(answer, r)
			maps.Copy(w.Header(), answer.Header())
			w.Header().Set("Content-Length", strconv.Itoa(answer.Body.Len()))
			_, _ = w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(func() {
		close(over)
		server.Close()
		transport.CloseIdleConnections()
	})
	l.Address = server.URL
	return l
}

// Fail makes requests fail from now on as fault says of their operation; nil
// ends it.
func (l *Line) Fail(fault func(operation string) Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fault = fault
}

// FailAll makes all requests fail in the same way from now on.
func (l *Line) FailAll(fault Fault) { l.Fail(func(string) Fault { return fault }) }

// Operations returns the operations that passed, sorted.
func (l *Line) Operations() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.seen))
}

// Forget forgets which operations passed.
func (l *Line) Forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.seen)
}

func (l *Line) next(r *http.Request) Fault {
	operation := operationOf(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[operation] = true
	if l.fault == nil {
		return None
	}
	return l.fault(operation)
}

// operationOf is the name of what a request asks for: DynamoDB's and Secrets
// Manager's own name, or for S3 the method and what tells its requests apart.
func operationOf(r *http.Request) string {
	if _, name, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return name
	}
	query := r.URL.Query()
	for _, part := range []string{"list-type", "uploads", "uploadId"} {
		if query.Has(part) {
			return r.Method + " " + part
		}
	}
	return r.Method
}
