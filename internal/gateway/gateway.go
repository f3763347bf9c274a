// Package gateway is the path of an exchange: from Codex, through the proxy's
// steps in their one order, to OpenAI, and back.
//
//	authenticate → admit → open record → forward → … → stream back → close record
//
// The steps live in packages of their own and know nothing of each other; only
// this package knows the order. What it promises:
//
//   - Upstream receives the very bytes that Codex sent, and Codex the very bytes
//     that upstream sent, in the chunks in which they arrive.
//   - The record is open, durably, before upstream sees a byte, with all of the
//     request that is buffered by then. What streams up is handed to the operating
//     system before its last byte goes up. From then on nothing waits for the record
//     but the last event, which is handed to the operating system before it is handed
//     to Codex.
//   - Whatever the proxy itself says carries the header refusal.Header.
//   - A stream's memory is bounded, and every wait has a limit.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/memory"
	"codex-proxy/internal/policy/endpoint"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
	"codex-proxy/internal/upstream"
)

// Authenticator tells whose a bearer is. A *developer.TokenError means that the
// bearer is no good; any other error, that the question could not be answered.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (developer.Identity, error)
	// Recheck asks again for an identity that Authenticate gave.
	Recheck(ctx context.Context, who developer.Identity) (developer.Identity, error)
}

// Recorder opens records. When Open returns, the record survives a crash, with what
// is known of the request's body by then.
type Recorder interface {
	Open(ctx context.Context, e exchange.Exchange, request record.Message, body []byte) (*record.Writer, error)
}

// Meter counts what happens. It must not block.
type Meter interface {
	Opened(exchange.Transport) (closed func())
	Refused(reason string)
	UpstreamAnswered(after time.Duration)
	Ended(exchange.Exchange)
}

// Config is what a Gateway is made of. Every field is required unless it says
// otherwise.
type Config struct {
	// Upstream is the address that stands for /v1, without a slash at its end.
	Upstream *url.URL
	// Key returns the organisation's key as it is now.
	Key func() upstream.Key
	// KeyRefused is told that upstream refused a key (401), and reports whether
	// there is another one now. Without it there never is.
	KeyRefused func(ctx context.Context, key upstream.Key) bool
	// Transport calls upstream, for HTTP and for WebSocket alike.
	Transport http.RoundTripper

	// Endpoints are those that may be asked for; the zero list is what Codex needs.
	Endpoints endpoint.List

	Authenticator Authenticator
	Desk          *admission.Desk
	// Conversations find the secrets in what leaves. Without it nothing is
	// searched.
	Conversations *redaction.Conversations
	Recorder      Recorder
	// BestEffort lets exchanges pass that cannot be recorded. They are then
	// told to Unrecorded, so that they are at least counted.
	BestEffort bool
	Unrecorded func(exchange.Exchange)
	// Rate prices an exchange.
	Rate func(model, tier string, at time.Time, usage exchange.Usage) exchange.Cost

	// Memory bounds what is held of all bodies, messages and events together.
	Memory *memory.Budget

	Meter Meter
	Log   *slog.Logger
	// Now is the clock. Durations come from the monotonic reading that its times carry,
	// as those of time.Now do, so that a wall clock that jumps does not distort them.
	Now func() time.Time

	// WebSocket allows upgrades; without it they are answered with 426.
	WebSocket bool
	Limits    Limits
}

// Limits bound what one exchange may take. Sizes are bytes.
type Limits struct {
	// Body is the largest request body, as sent and as decoded.
	Body int64
	// Search is the largest request body that is held to be searched for secrets.
	Search int64
	// Frame is the largest WebSocket message.
	Frame int64
	// Sockets is how many WebSockets one token may have open at once; 0 is no bound.
	Sockets int
	// AnswerIdle is the longest pause between two pieces of an answer, and the
	// longest time a WebSocket may be silent.
	AnswerIdle time.Duration
	// Write is the longest that a peer may take to accept one WebSocket message.
	Write time.Duration
	// Late is how long an exchange on a WebSocket that ended with an error event is
	// kept open for what upstream says of it after that.
	Late time.Duration
	// Recheck is how often running streams' tokens are looked up again.
	Recheck time.Duration
}

// DefaultLimits suit Codex: long thinking, large bodies, patient clients.
func DefaultLimits() Limits {
	return Limits{
		Body: 512 << 20, Search: 64 << 20, Frame: 64 << 20, Sockets: 256,
		AnswerIdle: 15 * time.Minute, Write: time.Minute,
		Late: 2 * time.Second, Recheck: 2 * time.Second,
	}
}

// Gateway is the http.Handler for everything that goes to upstream.
type Gateway struct {
	Config

	keys      *keyring
	running   running
	live      live
	sockets   sockets
	buffers   *buffers
	catalogue catalogue
}

// New returns a Gateway. Run its Watch for as long as it serves.
func New(config Config) *Gateway {
	keys := newKeyring(config.Key)
	config.Key = keys.current
	config.Transport = &maskingTransport{config.Transport, keys}
	return &Gateway{Config: config, keys: keys, sockets: newSockets(config.Limits.Sockets), buffers: newBuffers()}
}

// since is how long ago it was, by the gateway's clock.
func (g *Gateway) since(began time.Time) time.Duration { return g.Now().Sub(began) }

// ServeHTTP carries one exchange, or one WebSocket of exchanges.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := g.Now()
	hasKey := g.keys.maskHead(r)
	e := g.describe(r)
	id := e.ID
	if hasKey {
		g.tellKey(id)
	}
	g.keys.maskBody(r, func() { g.tellKey(id) })

	target, no := resolve(g.Upstream, r)
	if no == nil {
		no = judgeOrigin(r)
	}
	if no != nil {
		g.turnAway(w, r, e, began, no)
		return
	}
	who, no := g.authenticate(r, &e)
	if no != nil {
		g.redactRefused(r, &e)
		g.turnAway(w, r, e, began, no)
		return
	}
	if isCatalogueCall(r) {
		g.serveCatalogue(w, r, e)
		return
	}
	talk := g.converse(who, e.Session)
	if no := g.redactHead(talk, who, r, &e); no != nil {
		g.turnAway(w, r, e, began, no)
		return
	}
	if no := g.judgeEndpoint(r, who); no != nil {
		g.turnAway(w, r, e, began, no)
		return
	}
	target.RawQuery = r.URL.RawQuery
	if isUpgrade(r) {
		g.serveWebSocket(w, r, target, who, talk, e, began)
		return
	}
	g.serveHTTP(w, r, target, who, talk, e, began)
}

// converse returns what is known of the conversation that a request goes on; nil
// if secrets are not looked for.
func (g *Gateway) converse(who developer.Identity, session string) *redaction.Conversation {
	if g.Conversations == nil {
		return nil
	}
	return g.Conversations.Of(who.Developer, who.Team, session)
}

// judgeOrigin refuses what a web page sends: no page has business here.
func judgeOrigin(r *http.Request) *refusal.Refusal {
	if r.Header.Get("Origin") == "" {
		return nil
	}
	return &refusal.Refusal{
		Reason: "origin_refused", Status: http.StatusForbidden,
		Message: "requests from web pages (with an Origin header) are not accepted here.",
	}
}

// describe notes what the request says of itself before anything is judged.
func (g *Gateway) describe(r *http.Request) exchange.Exchange {
	now := g.Now().UTC()
	return exchange.Exchange{
		ID:        exchange.NewID(now),
		Started:   now,
		Session:   session(r.Header),
		Client:    r.UserAgent(),
		Method:    methodOf(r),
		Path:      g.pathToLog(r),
		Transport: exchange.HTTP,
		Usage:     exchange.Usage{State: exchange.UsageNone},
		Cost:      exchange.Cost{State: exchange.CostNone},
	}
}

// session is the conversation that a request says it belongs to.
func session(h http.Header) string {
	return firstHeader(h, "Session-Id", "Session_id", "X-Session-Id", "Thread-Id")
}

// authenticate finds out who asks. What is known of a refused token's owner is
// noted too, so that the refusal is on that developer's record.
func (g *Gateway) authenticate(r *http.Request, e *exchange.Exchange) (developer.Identity, *refusal.Refusal) {
	who, err := g.Authenticator.Authenticate(r.Context(), bearer(r.Header))
	return who, g.identify(r.Context(), who, err, e)
}

// identify notes who an authenticator says it is, or turns its error into a
// refusal: an outage is never the token's fault.
func (g *Gateway) identify(ctx context.Context, who developer.Identity, err error, e *exchange.Exchange) *refusal.Refusal {
	var bad *developer.TokenError
	switch {
	case errors.As(err, &bad):
		if bad.Developer != "" {
			e.Developer, e.TokenID = bad.Developer, bad.TokenID
		}
		return refusal.Token(string(bad.Reason), bad.Message())
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return refusal.Unavailable("the request ended before its token was checked.") // nobody reads it
	case err != nil:
		g.Log.ErrorContext(ctx, "developer store cannot answer; the request is refused with 503", "id", e.ID, "error", err)
		return refusal.Unavailable("the store of developers cannot answer just now, so your token could not be checked. Nothing is wrong with the token; try again soon.")
	}
	e.Developer, e.Team, e.TokenID = who.Developer, who.Team, who.TokenID
	return nil
}

// Drain tells idle WebSockets to go away, lets those with an exchange running
// finish it, and returns when all are closed or ctx ends, which ends the rest.
func (g *Gateway) Drain(ctx context.Context) {
	done := g.sockets.drain()
	select {
	case <-done:
	case <-ctx.Done():
		g.Abort()
		<-done
	}
}

// Abort ends every running stream at once, as interrupted.
func (g *Gateway) Abort() { g.running.cancelAll(errShutdown) }

// bearer returns the token of an Authorization header; empty when there is none.
func bearer(h http.Header) string {
	scheme, token, ok := strings.Cut(strings.TrimSpace(h.Get("Authorization")), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// fromCodex reports whether the client is Codex, which reads some answers in a
// way of its own.
func fromCodex(h http.Header) bool {
	return h.Get("Originator") != "" || strings.HasPrefix(strings.ToLower(h.Get("User-Agent")), "codex")
}

func firstHeader(h http.Header, names ...string) string {
	for _, name := range names {
		if value := h.Get(name); value != "" && len(value) <= 256 {
			return value
		}
	}
	return ""
}
