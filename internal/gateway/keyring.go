package gateway

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/coder/websocket"

	"codex-proxy/internal/gateway/keymask"
	"codex-proxy/internal/upstream"
)

// maxKeys is how many of the organisation's keys are masked: the one of now and
// those before it.
const maxKeys = 8

// keyring knows the organisation's key as it is now, and masks it, and those that
// were in use since the start, in what comes from either side: the key goes upstream
// in one header and is nowhere else.
type keyring struct {
	source func() upstream.Key

	mu    sync.Mutex
	known []upstream.Key // the latest first
	mask  atomic.Pointer[keymask.Mask]
}

func newKeyring(source func() upstream.Key) *keyring {
	k := &keyring{source: source}
	k.current()
	return k
}

// current returns the key of now. From then on it is masked.
func (k *keyring) current() upstream.Key {
	key := k.source()
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slices.Contains(k.known, key) {
		k.known = append([]upstream.Key{key}, k.known[:min(len(k.known), maxKeys-1)]...)
		var texts []string
		for _, known := range k.known {
			texts = append(texts, known.Reveal())
		}
		k.mask.Store(keymask.New(texts...))
	}
	return key
}

// text returns a decoded text with the key masked: it may have been spelled with
// escapes, which what masks the wire does not undo.
func (k *keyring) text(s string) string { return k.mask.Load().Text(s) }

// maskHead masks the key in all that a request says beside its body, but for the
// credential of the caller's own, and reports whether it was there.
func (k *keyring) maskHead(r *http.Request) (found bool) {
	mask := k.mask.Load()
	for name, values := range r.Header {
		if name != "Authorization" && mask.Values(values) {
			found = true
		}
	}
	for _, text := range []*string{&r.RequestURI, &r.URL.Path, &r.URL.RawPath, &r.URL.RawQuery} {
		if masked := mask.Text(*text); masked != *text {
			*text, found = masked, true
		}
	}
	return found
}

// maskBody masks the key in a request's body, unless it is coded: what it means is
// masked where it is decoded. tell is called when the key was there.
func (k *keyring) maskBody(r *http.Request, tell func()) {
	if r.Body != nil && r.Body != http.NoBody && !isCoded(r.Header) {
		r.Body = &maskedBody{Reader: k.mask.Load().Reader(r.Body), Closer: r.Body, tell: sync.OnceFunc(tell)}
	}
}

// maskedBody is a body in which the key is masked.
type maskedBody struct {
	*keymask.Reader
	io.Closer
	tell func()
}

func (b *maskedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.Found() {
		b.tell()
	}
	return n, err
}

// isCoded reports whether a body has a content coding, be it one that is not known.
func isCoded(h http.Header) bool {
	for _, line := range h["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
				return true
			}
		}
	}
	return false
}

// maskSent masks the key in a text of the client's that is whole, and reports
// whether it was there.
func (g *Gateway) maskSent(id string, text []byte) (masked []byte, found bool) {
	masked = g.keys.mask.Load().Bytes(text)
	if found = !bytes.Equal(masked, text); found {
		g.tellKey(id)
	}
	return masked, found
}

// tellKey tells whoever runs the proxy that somebody has the organisation's key.
func (g *Gateway) tellKey(id string) {
	g.Log.Error("a request holds the organisation's key: it is masked on the way and on record, but someone has it who should not. Replace the key", "id", id)
}

// tellCodedKey tells of the one way on which a developer gets the key.
func (g *Gateway) tellCodedKey(id string) {
	g.Log.Error("upstream's answer holds the organisation's key within a content coding: the record masks it, but the client has the answer as it came. Find out what quotes requests, and replace the key", "id", id)
}

// masked returns a sink of decoded bytes that passes them on to another one with the
// key masked. What it holds to the last comes when the attempt closes, and tell is
// called then if the key was there.
func (a *attempt) masked(sink func([]byte), tell func(id string)) func([]byte) {
	stream := a.g.keys.mask.Load().Stream()
	a.atEnd = append(a.atEnd, func() {
		if rest := stream.Rest(); len(rest) > 0 {
			sink(rest)
		}
		if stream.Found() {
			tell(a.e.ID)
		}
	})
	return func(p []byte) {
		if p = stream.Next(p); len(p) > 0 {
			sink(p)
		}
	}
}

// maskClose masks the key in the reason with which upstream closed a WebSocket.
func (k *keyring) maskClose(err error) error {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		if reason := k.mask.Load().Text(closed.Reason); reason != closed.Reason {
			closed.Reason = reason
			return closed
		}
	}
	return err
}
