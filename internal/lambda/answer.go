package lambda

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"

	"codex-proxy/internal/refusal"
)

// answer is the http.ResponseWriter of one invocation. What is written is on its
// way at once: a piece of the body is a chunk of the request to the Runtime API,
// which is flushed by itself.
type answer struct {
	header  http.Header
	trailer http.Header
	reader  *io.PipeReader
	writer  *io.PipeWriter
	// noBody says that the method, or the status, has none.
	noBody bool

	mu    sync.Mutex
	begun bool
}

func newAnswer(noBody bool) *answer {
	a := &answer{header: http.Header{}, trailer: http.Header{errorType: nil, errorBody: nil}, noBody: noBody}
	a.reader, a.writer = io.Pipe()
	return a
}

// body is what the Runtime API gets.
func (a *answer) body() io.Reader { return a.reader }

// gone lets what is written from now on fail.
func (a *answer) gone(why error) { a.reader.CloseWithError(why) }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. An error shows at the next Write.
func (a *answer) WriteHeader(status int) { _ = a.begin(status) }

// ready begins the answer if nothing has.
func (a *answer) ready() error { return a.begin(http.StatusOK) }

// prelude comes before a body, and eight zeros between the two.
type prelude struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Cookies    []string          `json:"cookies,omitempty"`
}

// notPassed are headers about a connection that is not there. The platform frames
// the answer anew.
var notPassed = map[string]bool{
	"Connection": true, "Content-Length": true, "Keep-Alive": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
}

// begin sends the status and the headers, once.
func (a *answer) begin(status int) error {
	if status >= 100 && status < 200 {
		return nil // the platform knows no such answers
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.begun {
		return nil
	}
	a.begun = true
	a.noBody = a.noBody || status == http.StatusNoContent || status == http.StatusNotModified
	p := prelude{StatusCode: status, Headers: map[string]string{}}
	for name, values := range a.header {
		switch {
		case name == "Set-Cookie":
			p.Cookies = values
		case !notPassed[name] && !strings.HasPrefix(name, http.TrailerPrefix):
			p.Headers[name] = strings.Join(values, ", ")
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = a.writer.Write(append(text, make([]byte, 8)...))
	return err
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	if err := a.ready(); err != nil {
		return 0, err
	}
	if a.noBody {
		return len(p), nil
	}
	return a.writer.Write(p)
}

// FlushError lets http.ResponseController flush: a written piece is sent.
func (a *answer) FlushError() error { return a.ready() }

// refuse answers 503 in place of a handler that failed, and tells whether it could,
// as nothing had been sent.
func (a *answer) refuse(requestID string) bool {
	a.mu.Lock()
	begun := a.begun
	a.mu.Unlock()
	if begun {
		return false
	}
	clear(a.header)
	refusal.Unavailable("the proxy failed before it answered. Try again; if it happens again, tell whoever runs the proxy: its log says why.").Answer(a, requestID, false)
	return true
}

// end ends the answer: whole, or broken off.
func (a *answer) end(f *failure) {
	if f != nil {
		if err := a.begin(http.StatusBadGateway); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			a.writer.CloseWithError(err)
			return
		}
		a.trailer.Set(errorType, f.kind)
		a.trailer.Set(errorBody, f.message)
	}
	_ = a.writer.Close()
}
