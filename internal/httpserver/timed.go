package httpserver

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// timed is the way to a client while one request is handled. Each piece that is
// read or written has its own time, and no deadline stays armed between two of
// them: over HTTP/2 a deadline ends the stream when it passes, even if nothing is
// read or written then. Once the handler has returned, what still holds the
// writer or the body reaches the connection no more, as it is the next request's.
type timed struct {
	http.ResponseWriter
	control *http.ResponseController
	limits  Limits

	mu sync.Mutex
	// over says that the handler has returned.
	over bool
	// readEnds says that the handler has set a read deadline of its own.
	readEnds bool
}

func newTimed(w http.ResponseWriter, limits Limits) *timed {
	return &timed{ResponseWriter: w, control: http.NewResponseController(w), limits: limits}
}

// request returns r with a body whose pieces have their time.
func (t *timed) request(r *http.Request) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	out := r.WithContext(r.Context()) // a copy: the server looks at r's own body later
	out.Body = &timedBody{ReadCloser: r.Body, timed: t}
	return out
}

// Unwrap lets http.ResponseController find what is not overruled here.
func (t *timed) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// WriteHeader implements http.ResponseWriter. An interim answer (1xx) is sent at
// once, so it needs a time too.
func (t *timed) WriteHeader(status int) {
	if status < 200 {
		t.armWrite(t.limits.Write)
		defer t.armWrite(0)
	}
	t.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. A client that is slow but takes some of it
// all the time is given time for all of it.
func (t *timed) Write(p []byte) (written int, err error) {
	const most = 32 << 10 // bytes of a piece
	for {
		piece := p[written:min(len(p), written+most)]
		err = t.write(func() error {
			n, err := t.ResponseWriter.Write(piece)
			written += n
			return err
		})
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// FlushError lets http.ResponseController send what was written.
func (t *timed) FlushError() error { return t.write(t.control.Flush) }

// write gives one piece its time. The error of a client that did not take it
// within that wraps os.ErrDeadlineExceeded, whatever the protocol says of it.
func (t *timed) write(piece func() error) error {
	began := time.Now()
	t.armWrite(t.limits.Write)
	err := piece()
	t.armWrite(0)
	if err != nil && time.Since(began) >= t.limits.Write {
		return fmt.Errorf("%w: %w", os.ErrDeadlineExceeded, err)
	}
	return err
}

// armWrite sets the write deadline; zero takes it away.
func (t *timed) armWrite(within time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		_ = t.control.SetWriteDeadline(deadline(within)) // not every connection has one
	}
}

// SetReadDeadline lets a handler end a read that waits. It stays set, instead of
// those of the pieces, until the handler takes it away with the zero time.
func (t *timed) SetReadDeadline(at time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return nil
	}
	t.readEnds = !at.IsZero()
	return t.control.SetReadDeadline(at)
}

func (t *timed) armRead(within time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over && !t.readEnds {
		_ = t.control.SetReadDeadline(deadline(within)) // not every connection has one
	}
}

// finish ends the handler's part. What the server itself still sends has its time:
// HTTP/1.1 forgets the deadline at the request's end, and HTTP/2 with the stream.
func (t *timed) finish() {
	t.armWrite(t.limits.Write)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
}

func deadline(within time.Duration) time.Time {
	if within == 0 {
		return time.Time{}
	}
	return time.Now().Add(within)
}

// timedBody is a request's body.
type timedBody struct {
	io.ReadCloser
	timed *timed
}

// Read implements io.Reader.
func (b *timedBody) Read(p []byte) (int, error) {
	b.timed.armRead(b.timed.limits.BodyIdle)
	n, err := b.ReadCloser.Read(p)
	b.timed.armRead(0)
	return n, err
}
