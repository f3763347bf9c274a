package gateway

import (
	"net/http"
	"slices"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/record"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
)

// socketExchange is an attempt on a WebSocket, which also holds a place at the desk.
type socketExchange struct {
	attempt
	frames *openai.Frames
	leave  func()
	// recorded is how many bytes of the client's are on record.
	recorded int64

	// What tells its answer from others: the response's id, once upstream has named
	// it, and what was asked for.
	response, lane, model, previous string

	// aside says that it holds what belongs to no exchange.
	aside bool
	// busy says that an event is being handled, so that it must not be closed.
	busy bool
	// timer closes it when nothing more has come for it; nil while it runs.
	timer *time.Timer
}

// newExchange returns an exchange of the socket's that begins at the given time.
func (s *socket) newExchange(id string, began time.Time) *socketExchange {
	x := &socketExchange{frames: openai.WatchFrames(), leave: func() {}}
	x.attempt = attempt{g: s.g, e: s.base, began: began, watch: x.frames, talk: s.talk}
	x.e.ID, x.e.Started = id, began.UTC()
	x.e.Status = http.StatusSwitchingProtocols
	if s.talk != nil {
		x.restorer = s.talk.Restorer()
	}
	return x
}

// forMessage returns the exchange that a message of the client's is.
func (s *socket) forMessage(m *message) *socketExchange {
	x := s.newExchange(m.id, m.began)
	x.asked = m.fields
	x.lane, x.model, x.previous = m.asked.StreamID, m.asked.Model, m.asked.PreviousResponseID
	x.e.Warmup = m.asked.Warmup
	x.e.Findings = redaction.Keep(slices.Concat(s.findings, m.findings))
	s.findings = nil
	return x
}

// open opens an exchange's record with the message that it is; m is nil for what
// upstream begins by itself.
func (s *socket) open(x *socketExchange, m *message) *refusal.Refusal {
	no := x.openRecord(s.ctx, s.upgrade, m.line())
	if x.record != nil {
		x.record.Answer(http.StatusSwitchingProtocols, record.CleanHeader(s.header))
	}
	if m == nil {
		return no
	}
	if m.text == nil && x.record != nil {
		x.record.RequestIncomplete("it could not be searched for secrets")
	}
	x.count(m)
	return no
}

// line is the message as it goes on record; nil if it must not.
func (m *message) line() []byte {
	if m == nil || m.text == nil {
		return nil
	}
	return append(m.text, '\n') // behind what is read of it
}

// count notes a message of the client's that goes on record.
func (x *socketExchange) count(m *message) {
	x.e.RequestBytes += int64(m.received)
	if m.text != nil {
		x.recorded += int64(len(m.text)) + 1
	}
}

// keep records a message of the client's that begins no exchange, and hands it to
// the operating system. With an error it must not be sent.
func (x *socketExchange) keep(m *message) error {
	x.count(m)
	if err := x.recordRequest(m.line()); err != nil {
		return err
	}
	return x.flushRequest()
}

// begun adds the exchange to those that run, and can be seen and stopped.
func (s *socket) begun(x *socketExchange) {
	x.progress = s.g.live.enter(&x.e, x.model, func(cause error) { s.stop(x, cause) })
	x.progress.request.Store(x.e.RequestBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exchanges.open = append(s.exchanges.open, x)
}

// byItself opens an exchange for an event that answers nothing that runs: a
// response that upstream begins by itself, as it does when the client steers one
// that then ends, or anything else. It keeps what is later said of either.
func (s *socket) byItself(h openai.EventHead) (*socketExchange, error) {
	now := s.g.Now()
	x := s.newExchange(exchange.NewID(now), now)
	if no := s.open(x, nil); no != nil {
		return nil, errNotOnDisk
	}
	s.g.Log.Info("upstream sends what nobody asked for on this WebSocket",
		"id", x.e.ID, "type", h.Type, "response", h.ResponseID)
	x.response = h.ResponseID
	if h.Begins() {
		s.begun(x)
		return x, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setAside(x)
	return x, nil
}

// setAside keeps an exchange that runs nothing, but holds what belongs to none; the
// caller holds the lock.
func (s *socket) setAside(x *socketExchange) {
	x.aside, x.unspent, x.busy = true, true, true
	s.exchanges.late = append(s.exchanges.late, x)
}

// finish ends the exchange whose last event the client has. After an error event
// it is kept open for a while, as upstream may say more; otherwise it is closed.
func (s *socket) finish(x *socketExchange) {
	x.over = s.g.Now()
	s.g.live.leave(x.e.ID)
	final := x.frames.Final()
	s.mu.Lock()
	s.exchanges.end(x)
	if !final {
		s.exchanges.late = append(s.exchanges.late, x)
		s.keepForMore(x)
	}
	s.mu.Unlock()
	x.leave()
	if final {
		x.settle()
	}
	s.rested()
}

// keepForMore closes a late exchange when nothing more comes for it; the caller
// holds the lock.
func (s *socket) keepForMore(x *socketExchange) {
	x.busy = false
	if x.timer == nil {
		x.timer = time.AfterFunc(s.g.Limits.Late, func() { s.settleLate(x) })
		return
	}
	x.timer.Reset(s.g.Limits.Late)
}

// settleLate closes a late exchange whose time for more is over.
func (s *socket) settleLate(x *socketExchange) {
	s.mu.Lock()
	mine := !x.busy && s.exchanges.removeLate(x)
	if mine {
		s.settling.Add(1)
		defer s.settling.Done()
	}
	s.mu.Unlock()
	if mine {
		x.settle()
	}
}

// settle closes an exchange that is over, as its answer says.
func (x *socketExchange) settle() {
	if x.over.IsZero() {
		x.over = x.g.Now()
	}
	if said := x.frames.Answer(); said.Failed() {
		if said.ErrorStatus != 0 {
			x.e.Status = said.ErrorStatus
		}
		x.ended(exchange.Failed, exchange.OriginOpenAI, failure(&http.Response{}, said))
	} else {
		x.ended(exchange.Completed, "", "")
	}
	x.close()
}
