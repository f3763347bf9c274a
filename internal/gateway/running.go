package gateway

import (
	"context"
	"errors"
	"sync"

	"codex-proxy/internal/developer"
)

// The reasons for which the proxy itself ends a running stream. Each is the
// cause of its context's cancellation, and all of them read as a sentence.
var (
	errShutdown  = errors.New("the proxy is shutting down")
	errSilent    = errors.New("nothing came for longer than the limit")
	errBodyIdle  = errors.New("the request body stopped coming for longer than the limit")
	errNotOnDisk = errors.New("the record could not be kept, and --audit=required forbids going on without it")
	errFinished  = errors.New("the exchange is over")
)

// ErrDeadline is the cause with which whoever calls the gateway ends the context of
// a request for which there is no more time.
var ErrDeadline = errors.New("the longest time that an exchange may take here is over")

// cutOff ends the streams of a token that is no longer good.
type cutOff struct{ because *developer.TokenError }

func (c *cutOff) Error() string { return "cut off: " + c.because.Message() }

// running is the set of streams that are open now.
type running struct {
	mu      sync.Mutex
	streams map[*stream]struct{}
}

// stream is one of them, and whose it is.
type stream struct {
	who    developer.Identity
	cancel context.CancelCauseFunc
}

// begin adds a stream that cancel can end; the function it returns removes it.
func (r *running) begin(who developer.Identity, cancel context.CancelCauseFunc) (end func()) {
	s := &stream{who, cancel}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.streams == nil {
		r.streams = map[*stream]struct{}{}
	}
	r.streams[s] = struct{}{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.streams, s)
	}
}

// identities returns each token that has a stream open, once.
func (r *running) identities() []developer.Identity {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := make(map[string]bool, len(r.streams))
	var list []developer.Identity
	for s := range r.streams {
		if !seen[s.who.TokenID] {
			seen[s.who.TokenID] = true
			list = append(list, s.who)
		}
	}
	return list
}

func (r *running) cancel(tokenID string, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.streams {
		if s.who.TokenID == tokenID {
			s.cancel(cause)
		}
	}
}

func (r *running) cancelAll(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.streams {
		s.cancel(cause)
	}
}
