package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/coder/websocket"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
)

// fromUpstream relays what upstream sends.
func (s *socket) fromUpstream(ctx context.Context) error {
	in := s.inbox(s.up)
	defer in.lease.Release()
	for {
		kind, event, err := in.next(ctx)
		if noRoom(err) != nil {
			return &hangUp{
				code: websocket.StatusTryAgainLater, words: "no room in memory for a message of OpenAI's just now; try again",
				outcome: exchange.Interrupted, origin: exchange.OriginProxy,
			}
		}
		if errors.Is(err, errTooLong) {
			return &hangUp{
				code:    websocket.StatusMessageTooBig,
				words:   fmt.Sprintf("a message of OpenAI's is larger than %d MiB", s.g.Limits.Frame>>20),
				outcome: exchange.UpstreamError, origin: exchange.OriginProxy,
			}
		}
		if err != nil {
			return s.g.keys.maskClose(err)
		}
		event = s.g.keys.mask.Load().Bytes(event)
		s.silence.Reset(s.g.Limits.AnswerIdle)
		var head openai.EventHead
		if kind == websocket.MessageText {
			head = s.heads.Read(event)
		}
		x, err := s.claim(head)
		if err != nil {
			return s.unkept(err)
		}
		if err := s.answer(ctx, x, kind, event); err != nil {
			return err
		}
	}
}

// claim finds the exchange that an event belongs to, and keeps it from being closed
// until the event has been handled.
func (s *socket) claim(head openai.EventHead) (*socketExchange, error) {
	s.mu.Lock()
	s.active = s.g.Now()
	x := s.exchanges.find(head)
	if x != nil {
		x.busy = true
		if x.timer != nil {
			x.timer.Stop()
		}
	}
	s.mu.Unlock()
	if x != nil {
		return x, nil
	}
	return s.byItself(head)
}

// answer puts an event on record and gives it to the client. The last event of an
// exchange is handed to the operating system before it is handed to the client.
func (s *socket) answer(ctx context.Context, x *socketExchange, kind websocket.MessageType, event []byte) error {
	x.frames.Frame(event)
	x.progress.answered(len(event), x.frames.Answer())
	if err := errors.Join(x.recordAnswer(event), x.recordAnswer([]byte{'\n'})); err != nil {
		return s.unkept(err)
	}
	over := x.frames.Terminal()
	if over {
		x.secure(ctx)
	}
	if err := s.restore(x, kind, event); err != nil {
		return fmt.Errorf("%w: %w", errClientWrite, err)
	}
	if x.e.ResponseBytes == 0 {
		x.e.FirstByteMicros = s.g.since(x.began).Microseconds()
	}
	x.e.ResponseBytes += int64(len(event))
	s.answered(x, over)
	return nil
}

// answered notes that the client has an event of the exchange's.
func (s *socket) answered(x *socketExchange, over bool) {
	s.mu.Lock()
	late := s.exchanges.isLate(x)
	closes := late && !x.aside && x.frames.Final()
	switch {
	case closes:
		s.exchanges.removeLate(x)
	case late:
		s.keepForMore(x)
	default:
		x.busy = false
	}
	s.mu.Unlock()
	switch {
	case closes:
		x.settle()
	case over && !late:
		s.finish(x)
	}
}

// restore gives the client a message of upstream's with its secrets.
func (s *socket) restore(x *socketExchange, kind websocket.MessageType, event []byte) error {
	if x.restorer == nil || kind != websocket.MessageText {
		return s.toClient(kind, event)
	}
	var failed error
	x.restorer.Event(event, func(event []byte) {
		if failed == nil {
			failed = s.toClient(kind, event)
		}
	})
	return failed
}

// first returns the exchange that has run for longest, nil if none runs.
func (s *socket) first() *socketExchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.exchanges.open) == 0 {
		return nil
	}
	return s.exchanges.open[0]
}
