package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/refusal"
)

// message is one of the client's, understood and searched for secrets.
type message struct {
	id       string // of the exchange that it begins, if it does
	began    time.Time
	kind     websocket.MessageType
	fields   *openai.Fields
	asked    openai.Request
	received int    // bytes, as the client sent it
	text     []byte // what may leave, and be on record; nil if that is not known
	findings []exchange.Finding
	no       *refusal.Refusal
	// unclear says that upstream might take it for something else than it is taken
	// for here. With a code, that closes the connection in the words of closing.
	unclear bool
	code    websocket.StatusCode
	closing string
}

// fromClient relays what the client sends. Each message is on record before
// upstream sees it: a response.create begins an exchange, another message belongs
// to one. What is refused, or not understood, is answered here and goes no further.
func (s *socket) fromClient(ctx context.Context) error {
	in := s.inbox(s.down)
	defer in.lease.Release()
	for {
		kind, raw, err := in.next(ctx)
		if err != nil && !errors.Is(err, errTooLong) && noRoom(err) == nil {
			return err
		}
		s.silence.Reset(s.g.Limits.AnswerIdle)
		if !s.work() {
			return errMadeRoom
		}
		if err := s.handle(s.understand(kind, raw, err)); err != nil {
			return err
		}
		s.rest()
	}
}

// work begins the handling of a message, unless the socket is being closed.
func (s *socket) work() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.working = !s.retired
	s.active = s.g.Now()
	return s.working
}

// rest ends it.
func (s *socket) rest() {
	s.mu.Lock()
	s.working = false
	s.mu.Unlock()
	s.rested()
}

// understand reads a message and searches it for secrets. With an error there is
// only a part of it.
func (s *socket) understand(kind websocket.MessageType, raw []byte, err error) *message {
	now := s.g.Now()
	m := &message{
		id: exchange.NewID(now), began: now, kind: kind, fields: openai.NewRequestFields(), received: len(raw),
	}
	if no := noRoom(err); no != nil {
		m.unclear, m.code, m.closing, m.no = true, websocket.StatusTryAgainLater, "no room in memory for a message just now; try again", no
		return m
	}
	if err != nil {
		limit := s.g.Limits.Frame >> 20
		m.unclear, m.code = true, websocket.StatusMessageTooBig
		m.closing = fmt.Sprintf("a message is larger than %d MiB", limit)
		m.no = refusal.Request("too_large", fmt.Sprintf("the WebSocket message is larger than the %d MiB "+
			"that the proxy lets through. Send less, for instance fewer images.", limit))
		return m
	}
	raw, _ = s.g.maskSent(m.id, raw)
	if kind == websocket.MessageText {
		m.fields, err = openai.ReadMessage(raw)
		m.asked = openai.ReadRequest(m.fields)
	} else {
		err = errBinary
		m.code, m.closing = websocket.StatusUnsupportedData, "binary messages are not understood; send text"
	}
	if errors.Is(err, openai.ErrNotUTF8) {
		m.code, m.closing = websocket.StatusInvalidFramePayloadData, "a text message is not UTF-8"
	}
	if err != nil {
		m.unclear, m.no = true, notUnderstood(err.Error())
	}
	s.redact(m, raw)
	return m
}

var errBinary = errors.New("it is binary")

// notUnderstood refuses a message of which it is not certain what upstream takes it for.
func notUnderstood(why string) *refusal.Refusal {
	return refusal.Request("message_not_understood",
		"this WebSocket message was not sent on, as "+why+". Send JSON objects as text, a response.create first.")
}

// redact searches a message of the client's. Bytes that are no text cannot be
// searched, and are not kept where what was not searched must not be.
func (s *socket) redact(m *message, raw []byte) {
	isText := utf8.Valid(raw)
	if isText || s.talk == nil || !s.talk.Closed() {
		m.text = raw
	}
	if s.talk == nil || !isText {
		return
	}
	checked, err := s.talk.Body(raw, !m.asked.Warmup)
	if err != nil {
		no := s.g.unchecked(s.talk, m.id, err)
		if no != nil {
			m.text = nil
		}
		m.refuse(no)
		return
	}
	m.text, m.findings = checked.Text, checked.Findings
	if checked.Blocked {
		m.refuse(secretBlocked(s.who, checked.Findings))
	}
}

// refuse refuses the message, unless it is refused already.
func (m *message) refuse(no *refusal.Refusal) {
	if m.no == nil {
		m.no = no
	}
}

// handle puts a message on record and sends it upstream, or refuses it.
func (s *socket) handle(m *message) error {
	switch {
	case m.unclear:
		return s.refuseAlone(m)
	case m.asked.Type == "response.create":
		return s.create(m)
	}
	return s.control(m)
}

// create begins the exchange that a response.create is.
func (s *socket) create(m *message) error {
	x := s.forMessage(m)
	no := s.admit(x)
	if no == nil {
		no = m.no
	}
	if unrecorded := s.open(x, m); no == nil {
		no = unrecorded
	}
	if no != nil {
		x.leave()
		return s.decline(x, m, no)
	}
	x.e.AddedMicros = s.g.since(x.began).Microseconds()
	s.begun(x)
	if err := s.send(s.up, m.kind, m.text); err != nil {
		s.untaken(x)
		return fmt.Errorf("%w: %w", errUpstreamWrite, err)
	}
	return nil
}

// admit judges one response.create, as whom the token belongs to now and under
// the policy of now: a connection may live for an hour.
func (s *socket) admit(x *socketExchange) *refusal.Refusal {
	who, err := s.g.Authenticator.Recheck(s.ctx, s.who)
	if no := s.g.identify(s.ctx, who, err, &x.e); no != nil {
		return no
	}
	leave, no := s.g.Desk.Connect(who)
	if no != nil {
		return no
	}
	x.leave = leave
	if no := s.g.admit(s.ctx, who, x.e); no != nil {
		return no
	}
	return admission.Model(who, x.model)
}

// untaken notes that upstream did not take the request of an exchange.
func (s *socket) untaken(x *socketExchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.exchanges.open, x) {
		x.unspent = true
	}
}

// notTaken tells the client so.
func notTaken() *refusal.Refusal {
	return refusal.UpstreamUnreachable(
		"OpenAI did not take your request. It was not answered, and costs nothing; try again.")
}

// refuseAlone puts a message that is refused on record as an exchange of its own.
func (s *socket) refuseAlone(m *message) error {
	x := s.forMessage(m)
	_ = s.open(x, m) // logged there; the refusal is given either way
	return s.decline(x, m, m.no)
}

// decline answers a message that goes no further. The error closes the connection.
func (s *socket) decline(x *socketExchange, m *message, no *refusal.Refusal) error {
	x.watch = nil
	x.refuse(no)
	if m.code != 0 {
		x.close()
		return &hangUp{
			code: m.code, words: m.closing + " (request " + m.id + ")",
			outcome: exchange.Interrupted, origin: exchange.OriginProxy,
		}
	}
	answer := no.Frame(x.e.ID)
	_ = x.recordAnswer(append(answer, '\n')) // logged where it fails
	x.e.ResponseBytes = int64(len(answer))
	x.secure(s.ctx)
	if err := s.toClient(websocket.MessageText, answer); err != nil {
		s.g.Log.Info("client did not take its refusal", "id", x.e.ID, "error", err)
	}
	x.close()
	return nil
}
