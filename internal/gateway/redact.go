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
	"os"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/contentcoding"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/policy/endpoint"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
)

// opaque are request headers that mean something only as they are: what upstream
// itself handed out, and what is made for the connection.
var opaque = map[string]bool{
	"X-Codex-Turn-State": true, "Content-Length": true, "Sec-Websocket-Key": true, "Sec-Websocket-Version": true,
}

// redactHead searches what leaves beside the body, the path, the query and the
// headers, and puts placeholders into r in the secrets' place, before anything of it
// is forwarded, recorded or logged.
func (g *Gateway) redactHead(talk *redaction.Conversation, who developer.Identity, r *http.Request, e *exchange.Exchange) *refusal.Refusal {
	if talk == nil {
		return nil
	}
	no := g.redactPath(talk, r, e)
	no = cmp.Or(no, g.redactFields(talk, who, "header ", r.Header, e))
	query := map[string][]string{"": {r.URL.RawQuery}}
	no = cmp.Or(no, g.redactFields(talk, who, "query", query, e))
	if clean := query[""][0]; clean != r.URL.RawQuery {
		r.RequestURI = strings.Replace(r.RequestURI, "?"+r.URL.RawQuery, "?"+clean, 1)
		r.URL.RawQuery = clean
	}
	e.Client, e.Session = r.UserAgent(), session(r.Header)
	return no
}

// redactPath searches the path, which is refused with a secret in it: with a
// placeholder it would be another one.
func (g *Gateway) redactPath(talk *redaction.Conversation, r *http.Request, e *exchange.Exchange) *refusal.Refusal {
	path := r.URL.EscapedPath()
	checked, err := talk.Text("path", []byte(path))
	if err != nil {
		return g.unchecked(talk, e.ID, err)
	}
	e.Findings = redaction.Keep(append(e.Findings, checked.Findings...))
	if !checked.Replaced {
		return nil
	}
	e.Path = string(checked.Text)
	r.RequestURI = strings.Replace(r.RequestURI, path, e.Path, 1)
	return refusal.Request("secret_blocked", "the path of this request holds a secret, and a placeholder would make another path of it. It was not sent. Take the secret out of the path.")
}

// pathToLog returns a request's path without the secrets that are some by the rules
// for everybody, as a request may be refused before it is known whose it is.
func (g *Gateway) pathToLog(r *http.Request) string {
	path := r.URL.EscapedPath()
	if g.Conversations == nil {
		return path
	}
	talk := g.Conversations.Of("", "", "")
	if talk == nil {
		return path
	}
	checked, err := talk.Text("path", []byte(path))
	if err != nil {
		return "(not searched for secrets)"
	}
	return string(checked.Text)
}

// redactRefused redacts the head of a request that is refused by its token, for its
// record.
func (g *Gateway) redactRefused(r *http.Request, e *exchange.Exchange) {
	if e.Developer == "" {
		return // it gets no record
	}
	owner := developer.Identity{Developer: e.Developer, Team: e.Team}
	_ = g.redactHead(g.converse(owner, ""), owner, r, e) // refused it is anyway
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
		"this request could not be searched for secrets ("+err.Error()+"), and what was not searched is not sent. Nothing left. Send one JSON text in UTF-8, plain or in gzip, deflate or zstd; if it was that, tell whoever runs the proxy.")
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

// searched reports whether a request's body is searched: all bodies are, but for
// forms where the endpoint takes them. What the body says of itself is no reason,
// as upstream may not read that.
func searched(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return false
	}
	path := apiPath(r)
	if !endpoint.TakesForm(path) {
		return true
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return media != "multipart/form-data" && !(path == "/realtime/calls" && media == "application/sdp")
}

// heldBody is a request's body that was read whole to be searched.
type heldBody struct {
	// received is how many bytes the client sent, and outgoing what goes upstream.
	received int64
	outgoing []byte
	// text is what the body means, without its secrets; nil if it was not searched.
	text []byte
}

// decoded returns what of the body goes on record when the record is opened.
func (h *heldBody) decoded() []byte {
	if h == nil {
		return nil
	}
	return h.text
}

// redactBody reads a request's body whole, searches it, and leaves in r what may
// be sent: the very bytes, or, if a secret was replaced, the body without it and
// without its content coding. It returns nil if the body is not searched. The
// error says that the client did not send all of it.
func (a *attempt) redactBody(ctx context.Context, w http.ResponseWriter, r *http.Request, who developer.Identity) (*heldBody, *refusal.Refusal, error) {
	if a.talk == nil {
		return nil, nil, nil
	}
	if !searched(r) {
		if a.talk.Closed() {
			r.Trailer = nil // it comes behind the body, when the head has left
		}
		return nil, nil, nil
	}
	sent, err := a.readWhole(ctx, w, r)
	held := &heldBody{received: int64(len(sent)), outgoing: sent}
	switch {
	case noRoom(err) != nil:
		return held, noRoom(err), nil
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
	coding, err := codingOf(r.Header)
	var text []byte
	if err == nil {
		text, err = decoded(coding, sent, a.g.Limits.Search, func(size int) error { return a.memory.Grow(ctx, int64(size)) })
	}
	if errors.Is(err, contentcoding.ErrTooLarge) && a.talk.Closed() {
		return held, tooLarge(a.g.Limits.Search), nil
	}
	text, hasKey := a.g.maskSent(a.e.ID, text)
	var checked redaction.Checked
	if err == nil {
		checked, err = a.talk.Body(text, true)
	}
	if err == nil && checked.Replaced {
		err = a.memory.Grow(ctx, int64(len(checked.Text)))
	}
	if no := noRoom(err); no != nil {
		return held, no, nil
	}
	if err != nil {
		return held, a.g.unchecked(a.talk, a.e.ID, err), nil
	}
	held.text = checked.Text
	a.e.Findings = redaction.Keep(append(a.e.Findings, checked.Findings...))
	if checked.Replaced || hasKey || a.talk.Closed() && holdsMore(coding, sent) {
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
func (a *attempt) readWhole(ctx context.Context, w http.ResponseWriter, r *http.Request) ([]byte, error) {
	defer context.AfterFunc(ctx, func() {
		if !isClientsEnd(ctx) { // for then the read has ended by itself
			_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) // not every connection has one
		}
	})()
	const trusted = 1 << 20 // bytes for which a client's word is taken
	want := min(max(r.ContentLength, 0), trusted) + 512
	var body []byte
	for {
		if len(body) == cap(body) {
			var err error
			if body, err = grow(ctx, a.memory, body, want); err != nil {
				return body, err
			}
			if want = 2*int64(cap(body)) + 512; r.ContentLength > 0 {
				want = min(want, max(r.ContentLength, int64(cap(body)))+512)
			}
		}
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > a.g.Limits.Search:
			return body, errTooLong
		case err == io.EOF:
			return body, nil
		case err != nil && ctx.Err() != nil && !isClientsEnd(ctx):
			return body, context.Cause(ctx)
		case errors.Is(err, os.ErrDeadlineExceeded):
			return body, errBodyIdle
		case err != nil:
			return body, fmt.Errorf("%w: %w", errClientBody, err)
		}
	}
}
