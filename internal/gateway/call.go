package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"

	"codex-proxy/internal/upstream"
)

// call sends the request upstream, and again when upstream refuses the key, there
// is another one by now, and all of the body is at hand: a developer never learns
// that the key was replaced.
func (a *attempt) call(ctx context.Context, w http.ResponseWriter, r *http.Request, target *url.URL, body *requestBody, held *heldBody) (*http.Response, error) {
	key := a.g.Key()
	response, err := a.g.Transport.RoundTrip(a.upstreamRequest(ctx, w, r, target, body, key))
	if err != nil || !a.g.isReplaced(ctx, key, response) {
		return response, err
	}
	var again io.ReadCloser
	switch {
	case held != nil:
		// Upstream may have said so before it had read all of the body.
		if body.takeRest(); !body.isThrough() {
			return response, nil
		}
		again = io.NopCloser(bytes.NewReader(held.outgoing))
	case !isEmpty(r) || r.ContentLength < 0:
		return response, nil
	}
	_ = response.Body.Close() // what it says is about the key from before
	return a.g.Transport.RoundTrip(a.upstreamRequest(ctx, w, r, target, again, a.g.Key()))
}

// isReplaced reports whether upstream refused the key and there is another one now.
func (g *Gateway) isReplaced(ctx context.Context, key upstream.Key, response *http.Response) bool {
	return response != nil && response.StatusCode == http.StatusUnauthorized && g.KeyRefused != nil && g.KeyRefused(ctx, key)
}

// isEmpty reports whether a request has no body.
func isEmpty(r *http.Request) bool { return r.ContentLength == 0 || r.Body == http.NoBody }

// upstreamRequest builds the request that upstream gets: the client's, but for
// the address, the connection's own headers, and the credential.
func (a *attempt) upstreamRequest(ctx context.Context, w http.ResponseWriter, r *http.Request, target *url.URL, body io.ReadCloser, key upstream.Key) *http.Request {
	trace := &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			if code != http.StatusContinue { // the server sends that one itself, when the body is read
				inbound(w.Header(), http.Header(header))
				w.WriteHeader(code)
				clear(w.Header())
			}
			return nil
		},
	}
	out := &http.Request{
		Method:        r.Method,
		URL:           target,
		Host:          target.Host,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        outbound(r.Header, key),
		ContentLength: r.ContentLength,
		Trailer:       r.Trailer,
		Body:          body,
	}
	if a.talk != nil && a.talk.Restores() {
		out.Header["Accept-Encoding"] = []string{"identity"} // placeholders in a coded answer would stay
	}
	if isEmpty(r) {
		out.Body, out.ContentLength = nil, 0
		if r.ContentLength < 0 {
			out.Body, out.ContentLength = body, -1
		}
	}
	return out.WithContext(httptrace.WithClientTrace(ctx, trace))
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
