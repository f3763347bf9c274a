package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
)

// closeWait is how long a peer may take to answer a close frame.
const closeWait = time.Second

// serveWebSocket connects the client's WebSocket with one to upstream and
// relays message by message until either side closes. Every response.create is
// an exchange of its own.
func (g *Gateway) serveWebSocket(w http.ResponseWriter, r *http.Request, target *url.URL, who developer.Identity, talk *redaction.Conversation, e exchange.Exchange, began time.Time) {
	e.Transport = exchange.WebSocket
	place, no := g.takePlace(r, who)
	if no != nil {
		g.turnAway(w, r, e, began, no)
		return
	}
	defer g.sockets.leave(place)
	defer g.Meter.Opened(exchange.WebSocket)()

	up, response, err := g.dial(r, target)
	if err != nil {
		g.passUpgradeError(w, r, e, began, response, err, target)
		return
	}
	defer func() { _ = up.CloseNow() }() // closed before, unless something went wrong
	for name, values := range response.Header {
		if !strings.HasPrefix(name, "Sec-Websocket-") && !kept[name] && !hopByHop[name] {
			w.Header()[name] = values
		}
	}
	down, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		InsecureSkipVerify: true, // a request with an Origin has been refused before
		Subprotocols:       subprotocols(up.Subprotocol()),
		CompressionMode:    compression(r),
	})
	if err != nil {
		g.Log.InfoContext(r.Context(), "client did not complete its upgrade", "id", e.ID) // the error quotes its words
		return
	}
	defer func() { _ = down.CloseNow() }()
	down.SetReadLimit(-1) // receive has a limit, and words for it
	up.SetReadLimit(-1)

	// The request's context ends with the hijack's handler, and not when the
	// client goes away: a read that fails tells that.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	defer cancel(errFinished)
	defer g.running.begin(who, cancel)()
	s := &socket{
		g: g, who: who, talk: talk, base: e, upgrade: requestMessage(r), header: response.Header,
		down: down, up: up, ctx: ctx, cancel: cancel, heads: openai.NewHeadReader(), active: g.Now(),
	}
	s.upgrade.Framing = "websocket"
	s.findings, s.base.Findings = e.Findings, nil
	g.sockets.connected(place, s)
	s.run()
}

// takePlace finds a place for one more WebSocket. It costs nothing to open one, so
// neither rate nor budget is asked for here, but the number of a token's is
// bounded. A refusal is 426, upon which Codex goes on over HTTP at once.
func (g *Gateway) takePlace(r *http.Request, who developer.Identity) (*seat, *refusal.Refusal) {
	switch {
	case !g.WebSocket:
		return nil, refusal.WebSocketUnavailable("WebSockets are switched off here; plain HTTP works.")
	case !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.ProtoMajor != 1 || apiPath(r) != "/responses":
		return nil, refusal.WebSocketUnavailable("only /v1/responses can be upgraded, " +
			"to a WebSocket, over HTTP/1.1; use plain HTTP.")
	}
	place, is := g.sockets.enter(r.Context(), who.TokenID)
	switch is {
	case shuttingDown:
		return nil, refusal.Unavailable("the proxy is shutting down. Try again soon.")
	case allBusy:
		return nil, refusal.WebSocketUnavailable(fmt.Sprintf(
			"%d WebSockets of your token are open and at work, and that is the limit; plain HTTP works.", g.sockets.limit))
	}
	return place, nil
}

// socket is one WebSocket of a client and its counterpart to upstream.
type socket struct {
	g    *Gateway
	who  developer.Identity
	talk *redaction.Conversation // nil if secrets are not looked for
	base exchange.Exchange       // what the upgrade says of every exchange
	// findings are those of the upgrade, which belong to the first exchange.
	findings []exchange.Finding
	upgrade  record.Message
	header   http.Header // of upstream's answer to the upgrade

	down, up *websocket.Conn
	ctx      context.Context
	cancel   context.CancelCauseFunc
	silence  *time.Timer
	heads    *openai.HeadReader // of upstream's messages

	mu        sync.Mutex
	exchanges socketExchanges
	// working says that a message of the client's is being handled, retired that
	// the socket is being closed and takes none any more.
	working, retired bool
	active           time.Time // when the last message came, from either side
	// settling are the exchanges that are closed after their time for more.
	settling sync.WaitGroup
	// write is held for a message to the client, which comes from upstream or
	// from the proxy itself.
	write sync.Mutex
}

// run relays until one side closes, or the proxy ends it.
func (s *socket) run() {
	s.silence = time.AfterFunc(s.g.Limits.AnswerIdle, func() { s.cancel(errSilent) })
	defer s.silence.Stop()

	// Reads must not end with s.ctx: a cancelled read closes the connection
	// without a word. The connections are closed, with a word, instead.
	reading, stop := context.WithCancel(context.WithoutCancel(s.ctx))
	defer stop()
	ends := make(chan end, 2)
	go func() { ends <- end{fromClient: true, err: s.fromClient(reading)} }()
	go func() { ends <- end{err: s.fromUpstream(reading)} }()

	draining := s.g.sockets.draining
	for {
		select {
		case first := <-ends:
			if s.ctx.Err() != nil {
				s.closeForCause()
				<-ends
				first = end{}
			} else {
				first = s.closeAfter(first, ends)
			}
			s.conclude(first)
			return
		case <-s.ctx.Done():
			s.closeForCause()
			<-ends
			<-ends
			s.conclude(end{})
			return
		case <-draining:
			draining = nil // once
			s.goAwayWhenIdle()
		}
	}
}

func (s *socket) toClient(kind websocket.MessageType, message []byte) error {
	s.write.Lock()
	defer s.write.Unlock()
	return s.send(s.down, kind, message)
}

// send writes one message within the write limit. It must not use s.ctx, whose
// end would close the connection without a word.
func (s *socket) send(c *websocket.Conn, kind websocket.MessageType, message []byte) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.g.Limits.Write)
	defer cancel()
	return c.Write(ctx, kind, message)
}

// idleSince returns since when nothing runs on the socket; idle is false when
// something does, or it is being closed.
func (s *socket) idleSince() (at time.Time, idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.active, s.isIdle()
}

// isIdle reports whether nothing runs on the socket; the caller holds the lock.
func (s *socket) isIdle() bool { return len(s.exchanges.open) == 0 && !s.working && !s.retired }

// retire closes the socket if it is still idle, to make room for another.
func (s *socket) retire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isIdle() {
		return false
	}
	s.retired = true
	s.cancel(errMadeRoom)
	return true
}

// goAwayWhenIdle ends the connection now if nothing runs; otherwise it ends with
// the last thing that does.
func (s *socket) goAwayWhenIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isIdle() {
		s.cancel(errShutdown)
	}
}

// rested ends the connection if the proxy drains and nothing runs any more.
func (s *socket) rested() {
	if s.g.sockets.isDraining() {
		s.goAwayWhenIdle()
	}
}

// errMadeRoom ends the WebSocket that has been idle for longest.
var errMadeRoom = errors.New("this WebSocket was idle for longest, and your token has as many as it may have")
