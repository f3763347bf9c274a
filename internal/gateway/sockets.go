package gateway

import (
	"context"
	"sync"
	"time"
)

// sockets are the open WebSockets, which http.Server.Shutdown does not wait for.
type sockets struct {
	limit int // of one token's; 0 is none

	mu       sync.Mutex
	open     sync.WaitGroup
	draining chan struct{}
	byToken  map[string]map[*seat]struct{}
}

func newSockets(limit int) sockets {
	return sockets{limit: limit, draining: make(chan struct{}), byToken: map[string]map[*seat]struct{}{}}
}

// seat is the place of one WebSocket.
type seat struct {
	token string
	// socket is nil until both sides are connected.
	socket *socket
	left   chan struct{} // closed when the place is free again
}

// entry is what came of asking for a place.
type entry int

const (
	entered entry = iota
	shuttingDown
	allBusy
)

// enter takes a place for one more WebSocket of a token. At the limit the one that
// has been idle for longest is closed, and waited for; there is no place if every
// one is at work.
func (s *sockets) enter(ctx context.Context, token string) (*seat, entry) {
	place := &seat{token: token, left: make(chan struct{})}
	for {
		is, closing := s.tryEnter(place)
		if closing == nil {
			return place, is
		}
		select {
		case <-closing:
		case <-ctx.Done():
			return place, allBusy
		}
	}
}

// tryEnter takes the place if there is one. Otherwise it makes room, and returns
// what is closed as soon as there is some, or nil if none can be made.
func (s *sockets) tryEnter(place *seat) (is entry, closing <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDraining() {
		return shuttingDown, nil
	}
	taken := s.byToken[place.token]
	if s.limit > 0 && len(taken) >= s.limit {
		return allBusy, closeIdlest(taken)
	}
	if taken == nil {
		taken = map[*seat]struct{}{}
		s.byToken[place.token] = taken
	}
	taken[place] = struct{}{}
	s.open.Add(1)
	return entered, nil
}

// closeIdlest ends the WebSocket that has been idle for longest, and returns what
// is closed when it has left; nil if none is idle.
func closeIdlest(taken map[*seat]struct{}) <-chan struct{} {
	for {
		var idlest *seat
		var since time.Time
		for place := range taken {
			if place.socket == nil {
				continue
			}
			if at, idle := place.socket.idleSince(); idle && (idlest == nil || at.Before(since)) {
				idlest, since = place, at
			}
		}
		if idlest == nil {
			return nil
		}
		if idlest.socket.retire() {
			return idlest.left
		}
	}
}

// connected notes that both sides of a place's WebSocket are connected, so that it
// can be closed when it is idle.
func (s *sockets) connected(place *seat, socket *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	place.socket = socket
}

func (s *sockets) leave(place *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.byToken[place.token]
	if delete(taken, place); len(taken) == 0 {
		delete(s.byToken, place.token)
	}
	close(place.left)
	s.open.Done()
}

func (s *sockets) isDraining() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// drain lets no more sockets in; the channel is closed when the last has left.
func (s *sockets) drain() (left <-chan struct{}) {
	s.mu.Lock()
	if !s.isDraining() {
		close(s.draining)
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { s.open.Wait(); close(done) }()
	return done
}
