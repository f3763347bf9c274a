// Package lambdatest stands in for what AWS has around a function: a Function URL,
// which makes events of requests and streams the answers back, and the Runtime
// API, which the function asks for them.
package lambdatest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// eventLimit is the largest event, in bytes.
const eventLimit = 6 << 20

// Front is a Function URL and the Runtime API of one instance of its function.
type Front struct {
	// Timeout is the function's; 15 minutes.
	Timeout time.Duration
	// Base64 encodes every body, as AWS does with those that are not text.
	Base64 bool

	url, api *httptest.Server
	queue    chan *invocation
	asked    chan struct{}
	asking   sync.Once
	over     chan struct{}
	ended    sync.Once
	ids      atomic.Int64
	waiting  atomic.Int64

	mu      sync.Mutex
	running map[string]*invocation
	// failedInit is what the function said when it could not start.
	failedInit string
}

// invocation is a request that waits for its answer.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	w        http.ResponseWriter
	// done is closed when the client has all that it gets.
	done chan struct{}
	once sync.Once
	// broke says that the answer broke off.
	broke atomic.Bool
}

func (i *invocation) end(broke bool) {
	i.once.Do(func() {
		i.broke.Store(broke)
		close(i.done)
	})
}

// New starts both. Close ends them.
func New() *Front {
	f := &Front{Timeout: 15 * time.Minute, queue: make(chan *invocation), asked: make(chan struct{}), over: make(chan struct{}), running: map[string]*invocation{}}
	api := http.NewServeMux()
	api.HandleFunc("GET /2018-06-01/runtime/invocation/next", f.next)
	api.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", f.response)
	api.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", f.failed)
	api.HandleFunc("POST /2018-06-01/runtime/init/error", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a test looks at it
		f.mu.Lock()
		f.failedInit = string(body)
		f.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	f.api = httptest.NewServer(api)
	f.url = httptest.NewServer(http.HandlerFunc(f.invoke))
	return f
}

// URL is the function's address.
func (f *Front) URL() string { return f.url.URL }

// API is the address of the Runtime API, as AWS_LAMBDA_RUNTIME_API has it.
func (f *Front) API() string { return strings.TrimPrefix(f.api.URL, "http://") }

// Asked is closed when the function asks for its first invocation: it has started.
func (f *Front) Asked() <-chan struct{} { return f.asked }

// Waiting is how many instances wait for an invocation. One that was killed does so
// until its connection is seen to be closed.
func (f *Front) Waiting() int { return int(f.waiting.Load()) }

// FailedInit is what the function said when it could not start; empty if it did not.
func (f *Front) FailedInit() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failedInit
}

// Close ends both; a function that waits for an invocation is told to go.
func (f *Front) Close() {
	f.ended.Do(func() { close(f.over) })
	f.url.CloseClientConnections()
	f.url.Close()
	f.api.CloseClientConnections()
	f.api.Close()
}

// invoke is the Function URL.
func (f *Front) invoke(w http.ResponseWriter, r *http.Request) {
	event, err := f.event(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if len(event) > eventLimit {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"Message":"Request must be smaller than 6291556 bytes for the InvokeFunction operation"}`)
		return
	}
	i := &invocation{id: fmt.Sprintf("invocation-%d", f.ids.Add(1)), event: event, w: w, done: make(chan struct{})}
	select {
	case f.queue <- i: // Lambda would start another instance; this waits for the one
	case <-f.over:
		return
	}
	select {
	case <-i.done:
	case <-f.over: // a function that was killed says nothing more
		panic(http.ErrAbortHandler)
	}
	if i.broke.Load() {
		panic(http.ErrAbortHandler)
	}
}

// event is what AWS makes of a request.
func (f *Front) event(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	headers := map[string]string{"host": r.Host, "x-forwarded-proto": "https", "x-forwarded-port": "443"}
	for name, values := range r.Header {
		if name != "Cookie" {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	var cookies []string
	for _, cookie := range r.Header["Cookie"] {
		cookies = append(cookies, strings.Split(cookie, "; ")...)
	}
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return nil, err
	}
	headers["x-forwarded-for"] = ip
	coded := f.Base64 || !isText(r.Header)
	text := string(body)
	if coded {
		text = base64.StdEncoding.EncodeToString(body)
	}
	path, query, _ := strings.Cut(r.RequestURI, "?")
	var event bytes.Buffer
	encoder := json.NewEncoder(&event)
	encoder.SetEscapeHTML(false)
	err = encoder.Encode(map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "cookies": cookies, "headers": headers,
		"requestContext": map[string]any{
			"accountId": "anonymous", "apiId": "url", "domainName": r.Host, "domainPrefix": "url", "requestId": "request",
			"http":     map[string]string{"method": r.Method, "path": path, "protocol": r.Proto, "sourceIp": ip, "userAgent": r.UserAgent()},
			"routeKey": "$default", "stage": "$default", "timeEpoch": time.Now().UnixMilli(),
		},
		"body": text, "isBase64Encoded": coded,
	})
	return event.Bytes(), err
}

// isText tells which bodies AWS leaves as they are.
func isText(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return strings.HasPrefix(media, "text/") || media == "application/json" || media == "application/javascript" || media == "application/xml"
}

// next gives the function its next invocation.
func (f *Front) next(w http.ResponseWriter, r *http.Request) {
	f.asking.Do(func() { close(f.asked) })
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	select {
	case i := <-f.queue:
		i.deadline = time.Now().Add(f.Timeout)
		f.mu.Lock()
		f.running[i.id] = i
		f.mu.Unlock()
		// A function that is not done by its deadline is killed, and the client sees
		// its answer break off.
		kill := time.AfterFunc(f.Timeout, func() { i.end(true) })
		go func() { <-i.done; kill.Stop() }()
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		_, _ = w.Write(i.event)
	case <-r.Context().Done():
	case <-f.over:
	}
}

func (f *Front) take(id string) *invocation {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.running[id]
	delete(f.running, id)
	return i
}

// failed is told of an invocation that has no answer.
func (f *Front) failed(w http.ResponseWriter, r *http.Request) {
	if i := f.take(r.PathValue("id")); i != nil {
		i.w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(i.w, "Internal Server Error")
		i.end(false)
	}
	w.WriteHeader(http.StatusAccepted)
}

// response streams an answer back.
func (f *Front) response(w http.ResponseWriter, r *http.Request) {
	i := f.take(r.PathValue("id"))
	if i == nil {
		http.Error(w, "no such invocation", http.StatusBadRequest)
		return
	}
	err := i.stream(r)
	i.end(err != nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// stream reads the prelude and passes what follows on as it comes.
func (i *invocation) stream(r *http.Request) error {
	if r.Header.Get("Content-Type") != "application/vnd.awslambda.http-integration-response" || len(r.TransferEncoding) == 0 {
		return errors.New("the response is not streamed")
	}
	var text []byte
	piece := make([]byte, 32<<10)
	begun := false
	for {
		n, err := r.Body.Read(piece)
		select {
		case <-i.done: // killed
			return errors.New("the invocation is over")
		default:
		}
		if begun {
			_, _ = i.w.Write(piece[:n]) // whether the client is there is not told
			_ = http.NewResponseController(i.w).Flush()
		} else if text = append(text, piece[:n]...); bytes.Contains(text, make([]byte, 8)) {
			before, after, _ := bytes.Cut(text, make([]byte, 8))
			if err := i.begin(before); err != nil {
				return err
			}
			begun = true
			_, _ = i.w.Write(after)
			_ = http.NewResponseController(i.w).Flush()
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if !begun {
		return errors.New("the response has no prelude")
	}
	if kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
		return errors.New("the function failed: " + kind)
	}
	return nil
}

// begin gives the client the status and the headers of a prelude.
func (i *invocation) begin(text []byte) error {
	var prelude struct {
		StatusCode int
		Headers    map[string]string
		Cookies    []string
	}
	if err := json.Unmarshal(text, &prelude); err != nil {
		return fmt.Errorf("read the prelude: %w", err)
	}
	for name, value := range prelude.Headers {
		i.w.Header().Set(name, value)
	}
	for _, cookie := range prelude.Cookies {
		i.w.Header().Add("Set-Cookie", cookie)
	}
	i.w.WriteHeader(prelude.StatusCode)
	return nil
}
