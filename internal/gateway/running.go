package gateway

import (
	"cmp"
	"context"
	"errors"
	"slices"
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

// running are the streams that are open now, by the token that each belongs to.
type running struct {
	mu     sync.Mutex
	tokens map[string]*tokenStreams
	looks  int64 // look-ups so far
}

// tokenStreams are the open streams of one token.
type tokenStreams struct {
	who     developer.Identity
	streams map[*stream]struct{}
	// look numbers the token's last look-up; isLooking says that it still goes on.
	look      int64
	isLooking bool
}

// stream is one of them.
type stream struct{ cancel context.CancelCauseFunc }

// begin adds a stream that cancel can end; the function it returns removes it.
func (r *running) begin(who developer.Identity, cancel context.CancelCauseFunc) (end func()) {
	s := &stream{cancel}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens == nil {
		r.tokens = map[string]*tokenStreams{}
	}
	t := r.tokens[who.TokenID]
	if t == nil {
		t = &tokenStreams{who: who, streams: map[*stream]struct{}{}}
		r.tokens[who.TokenID] = t
	}
	t.streams[s] = struct{}{}
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if delete(t.streams, s); len(t.streams) == 0 && r.tokens[who.TokenID] == t {
			delete(r.tokens, who.TokenID)
		}
	}
}

// due returns each token that has a stream open and is not being looked up, the one
// first whose last look-up is the longest ago.
func (r *running) due() []*tokenStreams {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]*tokenStreams, 0, len(r.tokens))
	for _, t := range r.tokens {
		if !t.isLooking {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b *tokenStreams) int { return cmp.Compare(a.look, b.look) })
	return list
}

// beginLook notes that a token is being looked up; false means that it has no stream
// any more.
func (r *running) beginLook(t *tokenStreams) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(t.streams) == 0 {
		return false
	}
	r.looks++
	t.look, t.isLooking = r.looks, true
	return true
}

// endLook notes that the look-up is over, and ends the token's streams if there is a
// cause.
func (r *running) endLook(t *tokenStreams, cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.isLooking = false
	if cause != nil {
		for s := range t.streams {
			s.cancel(cause)
		}
	}
}

func (r *running) cancelAll(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.tokens {
		for s := range t.streams {
			s.cancel(cause)
		}
	}
}
