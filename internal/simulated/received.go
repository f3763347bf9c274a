package simulated

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 512 << 20

// The values of Received.Transport.
const (
	HTTP      = "http"
	WebSocket = "websocket"
)

// Received is one request as it arrived: an HTTP request (a WebSocket's upgrade
// is one too), or one frame that a client sent inside a WebSocket, which then
// carries the method, URI and headers of its upgrade.
type Received struct {
	// Time is when the request's headers, or the frame, had arrived.
	Time time.Time
	// Transport is HTTP or WebSocket.
	Transport string
	Method    string
	// URI is the request target exactly as it was sent, query included.
	URI   string
	Proto string
	Host  string
	// Header is as sent, without Host and Transfer-Encoding, which net/http
	// takes out.
	Header  http.Header
	Trailer http.Header
	// ContentLength is as declared, in bytes; -1 for a chunked body.
	ContentLength int64
	// Body is the body as sent, before any content coding is undone, up to
	// Options.KeepBody bytes of it.
	Body []byte
	// BodyBytes and BodySHA256 (in hex) are those of the whole body.
	BodyBytes  int64
	BodySHA256 string
	// Incomplete says that the body broke off.
	Incomplete bool
	// Finished says that the answer is over, and ClientGone that the client went
	// away before it was.
	Finished   bool
	ClientGone bool
}

// Received returns what the server was sent, oldest first: the newest
// Options.Keep requests and frames.
func (s *Server) Received() []Received {
	received, _ := s.log.snapshot()
	return received
}

// Await waits until what was received satisfies the condition, which is asked
// again after each change. It returns the context's error when that ends first.
func (s *Server) Await(ctx context.Context, condition func([]Received) bool) error {
	for {
		received, changed := s.log.snapshot()
		if condition(received) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for the simulated OpenAI, which has received %d requests: %w", len(received), ctx.Err())
		}
	}
}

// receivedLog keeps the newest requests.
type receivedLog struct {
	keep, keepBody int

	mu      sync.Mutex
	entries []*Received
	changed chan struct{} // closed and replaced at each change
}

func newReceivedLog(keep, keepBody int) receivedLog {
	return receivedLog{keep: keep, keepBody: keepBody, changed: make(chan struct{})}
}

func (l *receivedLog) snapshot() ([]Received, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	received := make([]Received, len(l.entries))
	for i, e := range l.entries {
		received[i] = *e
	}
	return received, l.changed
}

// receive reads the whole body and keeps the request. The entry is nil, and
// usable, when nothing is kept.
func (l *receivedLog) receive(r *http.Request, now time.Time) (*entry, []byte, error) {
	body, err := readBody(r)
	if l.keep == 0 {
		return nil, body, err
	}
	received := fromRequest(r, now)
	received.ContentLength = r.ContentLength
	received.Trailer = r.Trailer.Clone()
	received.Incomplete = err != nil
	return l.add(received, body), body, err
}

// receiveFrame keeps one frame of the WebSocket that r opened.
func (l *receivedLog) receiveFrame(r *http.Request, frame []byte, now time.Time) *entry {
	if l.keep == 0 {
		return nil
	}
	received := fromRequest(r, now)
	received.Transport = WebSocket
	received.ContentLength = int64(len(frame))
	return l.add(received, frame)
}

func fromRequest(r *http.Request, now time.Time) *Received {
	return &Received{
		Time:      now,
		Transport: HTTP,
		Method:    r.Method,
		URI:       r.RequestURI,
		Proto:     r.Proto,
		Host:      r.Host,
		Header:    r.Header.Clone(),
	}
}

func (l *receivedLog) add(received *Received, body []byte) *entry {
	sum := sha256.Sum256(body)
	received.BodySHA256 = hex.EncodeToString(sum[:])
	received.BodyBytes = int64(len(body))
	received.Body = bytes.Clone(body[:min(len(body), l.keepBody)])

	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) >= l.keep {
		l.entries = slices.Delete(l.entries, 0, len(l.entries)-l.keep+1)
	}
	l.entries = append(l.entries, received)
	l.notify()
	return &entry{log: l, received: received}
}

// notify wakes who waits for a change. The caller holds mu.
func (l *receivedLog) notify() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// entry is one kept request whose answer is still running.
type entry struct {
	log      *receivedLog
	received *Received
}

// finish notes that the answer is over; ctx is the request's, and ended means
// that the client went away.
func (e *entry) finish(ctx context.Context) {
	if e == nil {
		return
	}
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	e.received.Finished = true
	e.received.ClientGone = ctx.Err() != nil
	e.log.notify()
}

// readBody reads the whole body, so that the trailer is there too.
func readBody(r *http.Request) ([]byte, error) {
	var buffer bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength <= maxBody {
		// ReadFrom wants room for one more read, to see the end.
		buffer.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := buffer.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	if err == nil && n > maxBody {
		err = fmt.Errorf("it is larger than %d bytes", maxBody)
	}
	return buffer.Bytes(), err
}
