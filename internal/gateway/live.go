package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/refusal"
)

// stopped ends an exchange that somebody stops.
type stopped struct{ by string }

func (s *stopped) Error() string { return "stopped by " + s.by }

// isStopped reports whether somebody has stopped the exchange of a context.
func isStopped(ctx context.Context) bool {
	var by *stopped
	return errors.As(context.Cause(ctx), &by)
}

// stopRefusal tells the developer. It must not be retried: Codex would begin again.
func stopRefusal() *refusal.Refusal {
	return refusal.Request("stopped", "an administrator stopped this request while it ran. Ask them before you send it again.")
}

// Running returns the exchanges that run now in this process, the one that began
// first first.
func (g *Gateway) Running() []exchange.Running { return g.live.all() }

// Stop ends a running exchange on behalf of somebody: Codex is told so and does not
// try again, and the exchange is on record as interrupted. Over a WebSocket the
// connection ends with it, and with that whatever else was asked on it. It returns
// false when no such exchange runs in this process.
func (g *Gateway) Stop(id, by string) bool {
	p := g.live.find(id)
	if p == nil {
		return false
	}
	p.stopping.Store(true)
	p.stop(&stopped{by})
	return true
}

// live is the set of exchanges that run now.
type live struct {
	mu      sync.Mutex
	running map[string]*progress
}

// progress is what can be seen of an exchange while it runs.
type progress struct {
	begun exchange.Running // what does not change
	stop  func(cause error)

	model             atomic.Pointer[string]
	request, response atomic.Int64 // bytes
	events, text      atomic.Int64 // text is the output's, in bytes
	stopping          atomic.Bool
}

// enter adds an exchange that stop can end; leave removes it.
func (l *live) enter(e *exchange.Exchange, model string, stop func(cause error)) *progress {
	p := &progress{stop: stop, begun: exchange.Running{
		ID: e.ID, Started: e.Started, Developer: e.Developer, Team: e.Team, Session: e.Session,
		Client: e.Client, Transport: e.Transport,
	}}
	p.named(model)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == nil {
		l.running = map[string]*progress{}
	}
	l.running[e.ID] = p
	return p
}

func (l *live) leave(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, id)
}

func (l *live) find(id string) *progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.running[id]
}

func (l *live) all() []exchange.Running {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]exchange.Running, 0, len(l.running))
	for _, p := range l.running {
		e := p.begun
		if model := p.model.Load(); model != nil {
			e.Model = *model
		}
		e.RequestBytes, e.ResponseBytes = p.request.Load(), p.response.Load()
		e.Events, e.OutputTokens = p.events.Load(), openai.EstimateOutput(p.text.Load())
		e.Stopping = p.stopping.Load()
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b exchange.Running) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// named notes the model.
func (p *progress) named(model string) {
	if known := p.model.Load(); model != "" && (known == nil || *known != model) {
		p.model.Store(&model)
	}
}

// answered notes the next piece of an answer, and what it has said so far.
func (p *progress) answered(bytes int, said openai.Answer) {
	if p == nil {
		return // nothing runs
	}
	p.response.Add(int64(bytes))
	p.events.Add(1)
	p.text.Store(said.OutputBytes)
	p.named(said.Model)
}

// progressed notes that so many bytes have come. Of an answer that is one object,
// what it says is known at its end alone.
func (an *answer) progressed(bytes int) {
	var said openai.Answer
	if an.events {
		said = an.a.watch.Answer()
	}
	an.a.progress.answered(bytes, said)
}

// sayStopped ends a stream of events with one that says that it was stopped. The
// empty lines before it end an event that the client has only the beginning of.
func (an *answer) sayStopped() error {
	if !an.events || an.coded || an.hasEnded() {
		return errNotWhole
	}
	event := fmt.Appendf(nil, "\n\nevent: response.failed\ndata: %s\n\n", stopRefusal().Frame(an.a.e.ID))
	_ = an.a.recordAnswer(event) // logged there
	return an.give(event)
}

// errNotWhole says that an answer cannot be ended by words of the proxy's.
var errNotWhole = errors.New("the answer cannot be ended whole")

// sayStopped tells the client that its exchange was stopped. A client that takes
// nothing is not waited for.
func (s *socket) sayStopped() {
	force := time.AfterFunc(closeWait, func() { _ = s.down.CloseNow() })
	defer force.Stop()
	if x := s.first(); x != nil {
		_ = s.toClient(websocket.MessageText, stopRefusal().Frame(x.e.ID)) // it may be gone already
	}
}

// stop ends the connection for the sake of an exchange that still runs.
func (s *socket) stop(x *socketExchange, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.exchanges.open, x) {
		s.cancel(cause)
	}
}
