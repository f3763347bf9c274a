package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"codex-proxy/internal/refusal"
	"codex-proxy/internal/upstream"
)

// call is the request to upstream of one exchange. It may have to be sent more
// than once.
type call struct {
	a      *attempt
	w      http.ResponseWriter
	r      *http.Request
	target *url.URL
	body   *requestBody
	held   *heldBody // nil when the body is streamed
}

// do sends the request, and again when upstream refuses the key, there is another
// one by now, and all of the body is at hand: a developer never learns that the key
// was replaced.
func (c *call) do(ctx context.Context) (*http.Response, error) {
	key := c.a.g.Key()
	response, err := c.send(ctx, c.body, key)
	if err != nil || !c.a.g.isReplaced(ctx, key, response) {
		return response, err
	}
	again, err := c.again()
	if err != nil {
		return response, nil // upstream's no to the old key is the answer
	}
	_ = response.Body.Close() // what it says is about the key from before
	return c.send(ctx, again, c.a.g.Key())
}

// letGo forgets the body that was held, once upstream has all of it and has begun to
// answer: the answer may take an hour.
func (c *call) letGo() {
	if c.held == nil || !c.body.letGo() {
		return
	}
	c.held.outgoing, c.held.text = nil, nil
	c.r.Body = http.NoBody
	c.a.memory.Release()
}

// isReplaced reports whether upstream refused the key and there is another one now.
func (g *Gateway) isReplaced(ctx context.Context, key upstream.Key, response *http.Response) bool {
	return response != nil && response.StatusCode == http.StatusUnauthorized && g.KeyRefused != nil && g.KeyRefused(ctx, key)
}

// errSwitched says that upstream answered with 101, which is nothing to pass on.
var errSwitched = errors.New("upstream switched protocols (101), which nobody had asked for")

// send sends the request once. The transport may send it again where HTTP/2
// promises that upstream has not begun with it (GOAWAY, REFUSED_STREAM).
func (c *call) send(ctx context.Context, body io.ReadCloser, key upstream.Key) (*http.Response, error) {
	between := &interim{call: c}
	defer between.end()
	trace := &httptrace.ClientTrace{Got1xxResponse: between.pass}
	response, err := c.a.g.Transport.RoundTrip(c.request(httptrace.WithClientTrace(ctx, trace), body, key))
	if err == nil && response.StatusCode == http.StatusSwitchingProtocols {
		_ = response.Body.Close() // the connection itself
		return nil, errSwitched
	}
	return response, err
}

// errNotHeld says that the body, or a part of it, is gone.
var errNotHeld = errors.New("the request's body is not held, so it cannot be sent again")

// again returns the body from its beginning, where all of it is at hand. It is on
// record once.
func (c *call) again() (io.ReadCloser, error) {
	switch {
	case c.held != nil:
		// Upstream may have said no before it had read all of the body.
		if c.body.takeRest(); c.body.isThrough() {
			return io.NopCloser(bytes.NewReader(c.held.outgoing)), nil
		}
	case isEmpty(c.r) && c.r.ContentLength == 0:
		return http.NoBody, nil
	}
	return nil, errNotHeld
}

// isEmpty reports whether a request has no body.
func isEmpty(r *http.Request) bool { return r.ContentLength == 0 || r.Body == http.NoBody }

// request builds the request that upstream gets: the client's, but for the
// address, the connection's own headers, and the credential.
func (c *call) request(ctx context.Context, body io.ReadCloser, key upstream.Key) *http.Request {
	r := c.r
	dropTrailers(r.Trailer)
	out := &http.Request{
		Method:        r.Method,
		URL:           c.target,
		Host:          c.target.Host,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        outbound(r.Header, key),
		ContentLength: r.ContentLength,
		Trailer:       r.Trailer,
		Body:          body,
	}
	// In a coded answer placeholders would stay, and so would the organisation's key.
	if out.Header["Accept-Encoding"] != nil || c.a.talk != nil && c.a.talk.Restores() {
		out.Header["Accept-Encoding"] = []string{"identity"}
	}
	if isEmpty(r) {
		out.Body, out.ContentLength = nil, 0
		if r.ContentLength < 0 {
			out.Body, out.ContentLength = body, -1
		}
	}
	// With a key for repeats the transport would send a request again over HTTP/1.1
	// although upstream may have begun with it, and who pays twice is not known.
	if c.held != nil && r.Header.Get("Idempotency-Key") == "" && r.Header.Get("X-Idempotency-Key") == "" {
		out.GetBody = c.again
	}
	return out.WithContext(ctx)
}

// interim passes upstream's interim answers (1xx) on while its answer is awaited.
// The transport calls it from a goroutine of its own, which goes on after RoundTrip
// has returned: the writer is then the exchange's again, or somebody else's.
type interim struct {
	call *call

	mu     sync.Mutex
	passed int
	over   bool
}

// mostInterim is how many interim answers a client gets. They are hints; what an
// upstream sends beyond that is dropped.
const mostInterim = 100

func (i *interim) pass(status int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	r := i.call.r
	switch {
	case i.over, i.passed == mostInterim, !r.ProtoAtLeast(1, 1):
		return nil
	case status == http.StatusContinue, r.Header.Get("Expect") != "" && !i.call.body.hasBegun():
		return nil // the server sends that one itself, when the body is read
	}
	i.passed++
	own := i.call.w.Header()
	before := own.Clone()
	inbound(own, http.Header(header))
	// An interim answer has no length; with one, net/http sends a copy of the header.
	// Else, over HTTP/2, it may still read this one after the client has gone.
	own["Content-Length"] = nil
	i.call.w.WriteHeader(status)
	clear(own)
	for name, values := range before {
		own[name] = values
	}
	return nil
}

// end lets nothing more pass, and waits for what does just now.
func (i *interim) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
}

// upstreamRefusal says why there is no answer of upstream's, and does not blame
// upstream for what the proxy itself lacks.
func upstreamRefusal(host string, err error) *refusal.Refusal {
	switch {
	case isExhausted(err):
		return refusal.Unavailable("the proxy could not open another connection: its machine has no file descriptors, ports or memory left for it. OpenAI was not asked. Try again soon, and tell whoever runs the proxy.")
	case errors.Is(err, errSwitched):
		return refusal.UpstreamUnreachable(fmt.Sprintf("OpenAI (%s) gave no answer: it switched protocols (101), which nobody had asked for. Try again, and tell whoever runs the proxy if it stays so.", host))
	}
	return refusal.UpstreamUnreachable(fmt.Sprintf("OpenAI (%s) could not be reached: %s. Your request was not answered; try again.", host, reasonOf(err)))
}

// isExhausted reports whether an error is of this machine's own limits.
func isExhausted(err error) bool {
	var look *net.DNSError
	for _, own := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		// A look-up tells its cause in words alone.
		if errors.Is(err, own) || errors.As(err, &look) && strings.HasSuffix(look.Err, own.Error()) {
			return true
		}
	}
	return false
}

// reasonOf is the innermost words of a transport error, without addresses and
// URLs that say no more.
func reasonOf(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
