package gateway

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/exchange"
)

// end is how one direction of the relay ended.
type end struct {
	fromClient bool
	err        error
}

// hangUp ends a WebSocket with a code and words of the proxy's own, for something
// that one side did.
type hangUp struct {
	code    websocket.StatusCode
	words   string
	outcome exchange.Outcome // of what runs
	origin  exchange.Origin
}

func (h *hangUp) Error() string { return h.words }

// errUpstreamWrite marks an error of writing to upstream.
var errUpstreamWrite = errors.New("write to upstream")

// closeAfter closes the other side as the first one was closed, or both for what
// the proxy found. It returns how the connection ended, when both directions have.
func (s *socket) closeAfter(first end, ends <-chan end) end {
	first, bothEnded := s.reasonOfEnd(first, ends)
	other := s.down
	if first.fromClient {
		other = s.up
	}
	var closed websocket.CloseError
	var ours *hangUp
	switch {
	case errors.As(first.err, &ours):
		_ = s.up.CloseNow()
		closeWith(s.down, ours.code, closeReason("codex-proxy: "+ours.words))
	case errors.As(first.err, &closed):
		closeWith(other, closed.Code, closed.Reason)
	case errors.Is(first.err, errUpstreamWrite):
		_ = s.up.CloseNow()
		closeWith(s.down, websocket.StatusInternalError, "codex-proxy: OpenAI does not take what you send. Try again.")
	}
	_ = s.up.CloseNow()
	_ = s.down.CloseNow()
	if !bothEnded {
		<-ends
	}
	return first
}

// reasonOfEnd returns the end that tells why. When upstream does not take a message,
// both directions end, in any order: a close code of upstream's says most, and the
// failed write more than that nothing can be read any more.
func (s *socket) reasonOfEnd(first end, ends <-chan end) (tells end, bothEnded bool) {
	writes := first.fromClient && errors.Is(first.err, errUpstreamWrite)
	if !writes && (first.fromClient || isClose(first.err) || !s.isWorking()) {
		return first, false
	}
	select {
	case second := <-ends:
		if isClose(second.err) || !writes && errors.Is(second.err, errUpstreamWrite) {
			return second, true
		}
		return first, true
	case <-time.After(closeWait):
		return first, false
	}
}

// isClose reports whether a direction ended with a close code.
func isClose(err error) bool {
	var closed websocket.CloseError
	return errors.As(err, &closed)
}

func (s *socket) isWorking() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.working
}

// closeForCause closes both sides because the proxy ends the connection.
func (s *socket) closeForCause() {
	cause := context.Cause(s.ctx)
	code := websocket.StatusGoingAway
	var cut *cutOff
	switch {
	case errors.As(cause, &cut):
		code = websocket.StatusPolicyViolation
	case errors.Is(cause, errNotOnDisk):
		code = websocket.StatusInternalError
	}
	_ = s.up.CloseNow()
	if isStopped(s.ctx) {
		s.sayStopped()
	}
	closeWith(s.down, code, closeReason("codex-proxy: "+cause.Error()))
}

// closeWith sends a close frame and gives the peer a moment to answer it.
func closeWith(c *websocket.Conn, code websocket.StatusCode, reason string) {
	force := time.AfterFunc(closeWait, func() { _ = c.CloseNow() })
	defer force.Stop()
	_ = c.Close(code, reason) // the peer may be gone already
}

// closeReason fits a reason into a close frame (RFC 6455, 5.5: 125 bytes).
func closeReason(text string) string {
	const limit = 120
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

// conclude closes the exchanges that the end of the connection left without a
// last event, and those that were kept open for more.
func (s *socket) conclude(first end) {
	outcome, origin, why := s.outcomeOf(first)
	s.mu.Lock()
	open, late := s.exchanges.takeAll()
	s.mu.Unlock()
	for i, x := range open {
		s.g.live.leave(x.e.ID)
		switch {
		case i == 0 && isStopped(s.ctx):
			_ = x.recordAnswer(append(stopRefusal().Frame(x.e.ID), '\n')) // logged there
			x.ended(outcome, origin, why)
		case x.unspent && s.ctx.Err() == nil:
			no := notTaken()
			x.refuse(no)
			_ = x.recordAnswer(append(no.Frame(x.e.ID), '\n')) // logged there
		default:
			x.ended(outcome, origin, why)
		}
		x.leave()
		x.close()
	}
	for _, x := range late {
		x.settle()
	}
	s.settling.Wait()
}

// outcomeOf tells what the end of the connection means for an exchange that runs.
func (s *socket) outcomeOf(first end) (outcome exchange.Outcome, origin exchange.Origin, why string) {
	if outcome, origin, why, here := endOf(s.ctx); here {
		return outcome, origin, why
	}
	var ours *hangUp
	switch {
	case errors.As(first.err, &ours):
		return ours.outcome, ours.origin, ours.words
	case errors.Is(first.err, errUpstreamWrite):
		why = "upstream did not take what was sent to it: " + reasonOf(first.err)
		return exchange.UpstreamError, exchange.OriginOpenAI, why
	case first.fromClient || errors.Is(first.err, errClientWrite):
		return exchange.ClientCancelled, exchange.OriginClient, "the client closed the WebSocket"
	default:
		return exchange.UpstreamError, exchange.OriginOpenAI, "upstream closed the WebSocket: " + reasonOf(first.err)
	}
}
