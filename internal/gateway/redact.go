package gateway

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"codex-proxy/internal/contentcoding"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
)

// opaque are request headers in which nothing can be a developer's secret, and
// whose values mean something only as they are: what upstream itself handed out,
// and what the protocol negotiates.
var opaque = map[string]bool{
	"X-Codex-Turn-State": true, "Content-Length": true, "Content-Type": true, "Content-Encoding": true,
	"Accept": true, "Accept-Encoding": true, "Connection": true, "Upgrade": true, "Expect": true,
	"Sec-Websocket-Key": true, "Sec-Websocket-Version": true, "Sec-Websocket-Extensions": true, "Sec-Websocket-Protocol": true,
}

// redactHead searches what leaves beside the body, the headers and the query,
// and puts placeholders into r in the secrets' place, before anything of it is
// forwarded, recorded or logged.
func (g *Gateway) redactHead(talk *redaction.Conversation, who developer.Identity, r *http.Request, e *exchange.Exchange) *refusal.Refusal {
	if talk == nil {
		return nil
	}
	no := g.redactFields(talk, who, "header ", r.Header, e)
	query := map[string][]string{"": {r.URL.RawQuery}}
	no = cmp.Or(no, g.redactFields(talk, who, "query", query, e))
	if clean := query[""][0]; clean != r.URL.RawQuery {
		r.RequestURI = strings.Replace(r.RequestURI, "?"+r.URL.RawQuery, "?"+clean, 1)
		r.URL.RawQuery = clean
	}
	e.Client, e.Session = r.UserAgent(), session(r.Header)
	return no
}

// redactFields searches the values of named fields and replaces them in place.
func (g *Gateway) redactFields(talk *redaction.Conversation, who developer.Identity, place string, fields map[string][]string, e *exchange.Exchange) (no *refusal.Refusal) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if opaque[name] || isCredential(name) {
			continue
		}
		for i, value := range fields[name] {
			checked, err := talk.Text(place+name, []byte(value))
			if err != nil {
				no = cmp.Or(no, g.unchecked(talk, e.ID, err))
				continue
			}
			if checked.Replaced {
				fields[name][i] = string(checked.Text)
			}
			e.Findings = redaction.Keep(append(e.Findings, checked.Findings...))
			if checked.Blocked {
				no = cmp.Or(no, secretBlocked(who, checked.Findings))
			}
		}
	}
	return no
}

// unchecked says what becomes of a text that could not be searched for secrets:
// it is refused, or leaves with an alert where no rule would have changed it.
func (g *Gateway) unchecked(talk *redaction.Conversation, id string, err error) *refusal.Refusal {
	if !talk.Closed() {
		g.Log.Error("request could not be searched for secrets, and goes on as secrets are only reported", "id", id, "error", err)
		return nil
	}
	g.Log.Error("request could not be searched for secrets and is refused", "id", id, "error", err)
	return refusal.Request("secrets_unchecked",
		"this request could not be searched for secrets ("+err.Error()+"), and what was not searched is not sent. Nothing left. Tell whoever runs the proxy.")
}

// secretBlocked says which kind of secret refuses a request, and where it is.
func secretBlocked(who developer.Identity, findings []exchange.Finding) *refusal.Refusal {
	var where []string
	for _, f := range findings {
		if f.Mode == exchange.Blocked {
			where = append(where, fmt.Sprintf("%s in %s (fingerprint %s)", f.Rule, orBody(f.Path), f.Fingerprint))
		}
	}
	const most = 3
	more := ""
	if len(where) > most {
		more = fmt.Sprintf(" and %d more", len(where)-most)
		where = where[:most]
	}
	ask := "whoever runs the proxy"
	if who.Policy.Contact != "" {
		ask = who.Policy.Contact
	}
	return refusal.Request("secret_blocked", fmt.Sprintf(
		"this request brings a secret that must not leave: %s%s. It was not sent. Take it out of your message, or out of what the tool read, and go on; what stays in the conversation's history leaves as a placeholder. If it is no secret, ask %s to allow its fingerprint.",
		strings.Join(where, ", "), more, ask))
}

func orBody(path string) string {
	if path == "" {
		return "the body"
	}
	return path
}

// searched reports whether a request's body is text that is searched. Forms, and
// what is an image, a sound or bytes by its own word, are not; but what goes to a
// model's conversation always is.
func searched(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return false
	}
	if path := apiPath(r); strings.HasPrefix(path, "/responses") || strings.HasSuffix(path, "/completions") {
		return true
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	kind, _, _ := strings.Cut(media, "/")
	return media != "application/octet-stream" && !slices.Contains([]string{"multipart", "image", "audio", "video"}, kind)
}

// heldBody is a request's body that was read whole to be searched.
type heldBody struct {
	// received is how many bytes the client sent, and outgoing what goes upstream.
	received int64
	outgoing []byte
	// text is what the body means, without its secrets; nil if it was not searched.
	text []byte
}

// redactBody reads a request's body whole, searches it, and leaves in r what may
// be sent: the very bytes, or, if a secret was replaced, the body without it and
// without its content coding. It returns nil if the body is not searched. The
// error says that the client did not send all of it.
func (a *attempt) redactBody(ctx context.Context, w http.ResponseWriter, r *http.Request, who developer.Identity) (*heldBody, *refusal.Refusal, error) {
	if a.talk == nil || !searched(r) {
		return nil, nil, nil
	}
	sent, err := a.g.readWhole(ctx, w, r)
	held := &heldBody{received: int64(len(sent)), outgoing: sent}
	switch {
	case errors.Is(err, errTooLong) && a.talk.Closed():
		return held, tooLarge(a.g.Limits.Search), nil
	case errors.Is(err, errTooLong):
		a.g.Log.ErrorContext(ctx, "request is too large to be searched for secrets, and goes on as secrets are only reported", "id", a.e.ID)
		r.Body = readCloser{io.MultiReader(bytes.NewReader(sent), r.Body), r.Body}
		return nil, nil, nil
	case err != nil:
		return held, nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	text, err := decoded(r.Header.Get("Content-Encoding"), sent, a.g.Limits.Search)
	if errors.Is(err, contentcoding.ErrTooLarge) && a.talk.Closed() {
		return held, tooLarge(a.g.Limits.Search), nil
	}
	text, hasKey := a.g.maskSent(a.e.ID, text)
	var checked redaction.Checked
	if err == nil {
		checked, err = a.talk.Body(text, true)
	}
	if err != nil {
		return held, a.g.unchecked(a.talk, a.e.ID, err), nil
	}
	held.text = checked.Text
	a.e.Findings = redaction.Keep(append(a.e.Findings, checked.Findings...))
	if checked.Replaced || hasKey {
		held.outgoing = checked.Text
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(checked.Text)), int64(len(checked.Text))
		r.Header.Del("Content-Encoding")
	}
	no := a.g.redactFields(a.talk, who, "trailer ", r.Trailer, &a.e)
	if checked.Blocked {
		no = secretBlocked(who, checked.Findings)
	}
	return held, no, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// errTooLong says that a body is longer than what is held to be searched.
var errTooLong = errors.New("the body is too long")

// readWhole reads a request's body into memory, as far as Limits.Search. With
// errTooLong it returns what it read.
func (g *Gateway) readWhole(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	d := &deadline{control: http.NewResponseController(w)}
	defer context.AfterFunc(ctx, d.pass)()
	const trusted = 1 << 20 // bytes for which a client's word is taken
	body := make([]byte, 0, min(max(r.ContentLength, 0), trusted)+512)
	for {
		if len(body) == cap(body) {
			left := min(r.ContentLength, g.Limits.Search) - int64(len(body))
			body = slices.Grow(body, max(int(left), len(body)/2)+512)
		}
		d.set(time.Now().Add(g.Limits.BodyIdle))
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > g.Limits.Search:
			d.set(time.Time{})
			return body, errTooLong
		case err == io.EOF:
			d.set(time.Time{})
			return body, nil
		case err != nil && ctx.Err() != nil:
			return body, context.Cause(ctx)
		case err != nil:
			var timeout interface{ Timeout() bool }
			if errors.As(err, &timeout) && timeout.Timeout() {
				return body, errBodyIdle
			}
			return body, fmt.Errorf("%w: %w", errClientBody, err)
		}
	}
}

// deadline is until when a client must send more. Once it has passed it stays so.
type deadline struct {
	mu      sync.Mutex
	control *http.ResponseController
	passed  bool
}

func (d *deadline) set(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.passed {
		_ = d.control.SetReadDeadline(at) // not every connection has one
	}
}

func (d *deadline) pass() {
	d.set(time.Unix(1, 0))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.passed = true
}

// decoded returns what a body in a content coding means.
func decoded(coding string, sent []byte, limit int64) ([]byte, error) {
	if coding == "" {
		return sent, nil
	}
	// Decoded twice, so that memory is taken only for what is known to fit.
	var size int
	var text []byte
	for _, sink := range []func([]byte){
		func(p []byte) { size += len(p) },
		func(p []byte) { text = append(text, p...) },
	} {
		decoder, ok := contentcoding.NewDecoder(coding, limit, sink)
		if !ok {
			return nil, fmt.Errorf("%w: its content coding is not known here", redaction.ErrUnchecked)
		}
		_, _ = decoder.Write(sent) // Close tells
		if err := decoder.Close(); err != nil {
			return nil, fmt.Errorf("%w: its content coding cannot be undone: %w", redaction.ErrUnchecked, err)
		}
		if text == nil {
			text = make([]byte, 0, size)
		}
	}
	return text, nil
}
