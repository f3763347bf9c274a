package gateway

import (
	"fmt"

	"codex-proxy/internal/admission"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/refusal"
)

// controls are the messages besides response.create that OpenAI or Codex has. True
// are those that may make upstream answer once more, on the terms of the answer
// that they are about; the others only end one, or acknowledge it.
var controls = map[string]bool{
	"response.steer": true, "response.inject": true,
	"response.interrupt": false, "response.cancel": false, "response.processed": false,
}

// control passes a message on that begins no exchange. It belongs to one that runs,
// or has run, on this WebSocket, and is on record with that; otherwise nobody could
// be asked what it was for, and it is refused. What upstream answers to it beyond
// that exchange is an exchange of its own (byItself).
func (s *socket) control(m *message) error {
	if !s.hasExchangeFor(m.asked) {
		m.refuse(notUnderstood("it begins no exchange, and none runs that it could belong to"))
	}
	if m.no == nil {
		m.refuse(s.judgeControl(m))
	}
	if m.no != nil {
		return s.refuseAlone(m)
	}
	if err := s.attach(m); err != nil {
		return err
	}
	if err := s.send(s.up, m.kind, m.text); err != nil {
		return fmt.Errorf("%w: %w", errUpstreamWrite, err)
	}
	return nil
}

func (s *socket) hasExchangeFor(asked openai.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.exchanges.about(asked)
	return known
}

// judgeControl judges a message that may make upstream answer once more as a
// response.create is judged, but for the place that an answer takes. Of a message
// that is not known nobody can tell which model it is for.
func (s *socket) judgeControl(m *message) *refusal.Refusal {
	again, known := controls[m.asked.Type]
	if known && !again {
		return nil
	}
	e := s.base
	e.ID = m.id
	who, err := s.g.Authenticator.Recheck(s.ctx, s.who)
	if no := s.g.identify(s.ctx, who, err, &e); no != nil {
		return no
	}
	if no := s.g.admit(s.ctx, who, e); no != nil {
		return no
	}
	switch {
	case len(who.Policy.Models) == 0 || known && m.asked.Model == "":
		return nil
	case known:
		return admission.Model(who, m.asked.Model)
	}
	return refusal.Request("model_not_allowed", "your team may use certain models only, and the proxy does not know "+
		"this kind of WebSocket message, so that it cannot tell which model it is for. Send a response.create.")
}

// attach puts a message on record with the exchange that it belongs to. The lock
// keeps that from being closed meanwhile.
func (s *socket) attach(m *message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x, _ := s.exchanges.about(m.asked)
	if x == nil { // the response that it is about is over
		x = s.forMessage(m)
		if no := s.open(x, m); no != nil {
			return s.unkept(errNotOnDisk)
		}
		s.setAside(x)
		s.keepForMore(x)
	} else {
		for i := range m.findings {
			m.findings[i].Offset += x.recorded // it stands behind the earlier messages
		}
		x.e.Findings = redaction.Keep(append(x.e.Findings, m.findings...))
		if err := x.keep(m); err != nil {
			return s.unkept(err)
		}
	}
	return nil
}

// unkept ends the connection, as what passes on it cannot be put on record.
func (s *socket) unkept(err error) error {
	s.cancel(err)
	return err
}
