package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/upstream"
)

// slowStore answers a look-up after a while, or, while it hangs, not at all.
type slowStore struct {
	takes    time.Duration
	hangs    atomic.Bool
	disabled sync.Map // by token
	stuck    sync.Map // by token: hangs whatever the store does

	mu        sync.Mutex
	now, most int // look-ups at once
}

// entered counts look-ups in and out, and returns the most that there were at once.
func (s *slowStore) entered(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += n
	s.most = max(s.most, s.now)
	return s.most
}

func (s *slowStore) Authenticate(context.Context, string) (developer.Identity, error) {
	return developer.Identity{}, errors.New("nobody signs in here")
}

func (s *slowStore) Recheck(ctx context.Context, who developer.Identity) (developer.Identity, error) {
	s.entered(1)
	defer s.entered(-1)
	if _, stuck := s.stuck.Load(who.TokenID); stuck || s.hangs.Load() {
		<-ctx.Done()
		return who, fmt.Errorf("look up the token: %w", ctx.Err())
	}
	time.Sleep(s.takes)
	if _, off := s.disabled.Load(who.TokenID); off {
		return who, &developer.TokenError{Reason: developer.TokenDisabled}
	}
	return who, nil
}

// watched is a gateway with many running streams, each of a token of its own.
type watched struct {
	store   *slowStore
	gateway *Gateway
	streams []context.Context
	ends    []func()
}

func token(i int) string { return fmt.Sprintf("token-%d", i) }

func watch(t *testing.T, streams int, takes time.Duration) *watched {
	w := &watched{store: &slowStore{takes: takes}}
	w.gateway = New(Config{
		Authenticator: w.store, Limits: DefaultLimits(),
		Key: func() upstream.Key { return upstream.Key{} },
	})
	for i := range streams {
		ctx, cancel := context.WithCancelCause(t.Context())
		w.streams = append(w.streams, ctx)
		w.ends = append(w.ends, w.gateway.running.begin(developer.Identity{TokenID: token(i)}, cancel))
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { w.gateway.Watch(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	return w
}

// disable cuts every so many-th token off and expects just their streams to end
// within five seconds.
func (w *watched) disable(t *testing.T, every int) {
	t.Helper()
	began := time.Now()
	for i := 0; i < len(w.streams); i += every {
		w.store.disabled.Store(token(i), true)
	}
	for i := 0; i < len(w.streams); i += every {
		select {
		case <-w.streams[i].Done():
		case <-time.After(5*time.Second - time.Since(began)):
			t.Fatalf("stream %d still runs 5 seconds after its token was disabled", i)
		}
		var cut *cutOff
		if !errors.As(context.Cause(w.streams[i]), &cut) {
			t.Fatalf("stream %d was ended by %v", i, context.Cause(w.streams[i]))
		}
	}
	time.Sleep(10 * time.Second)
	for i, ctx := range w.streams {
		if i%every != 0 && ctx.Err() != nil {
			t.Fatalf("stream %d, whose token is good, was ended: %v", i, context.Cause(ctx))
		}
	}
}

func TestOffMeansOffWith5000StreamsOnASlowStore(t *testing.T) {
	for _, takes := range []time.Duration{0, 8 * time.Millisecond, 50 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := watch(t, 5000, takes)
			time.Sleep(11777 * time.Millisecond) // some moment between looks
			w.disable(t, 97)
			if most := w.store.entered(0); most > rechecksAtOnce {
				t.Errorf("%d look-ups at once", most)
			}
		})
	}
}

func TestAnOutageOfTheStoreCutsNobodyOffAndOffHoldsRightAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, 5000, 8*time.Millisecond)
		time.Sleep(7 * time.Second)
		w.store.hangs.Store(true)
		time.Sleep(2*time.Minute + 345*time.Millisecond)
		for i, ctx := range w.streams {
			if ctx.Err() != nil {
				t.Fatalf("stream %d was ended by the outage: %v", i, context.Cause(ctx))
			}
		}
		w.store.hangs.Store(false)
		w.disable(t, 97)
	})
}

func TestLookUpsThatHangDoNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, 5000, 8*time.Millisecond)
		for i := range 40 {
			w.store.stuck.Store(token(1+97*i), true) // none of those that are disabled
		}
		time.Sleep(10 * time.Second)
		w.disable(t, 97)
	})
}

func TestStreamsThatHaveEndedAreNotLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, 100, 8*time.Millisecond)
		time.Sleep(5 * time.Second)
		for _, end := range w.ends {
			end()
		}
		synctest.Wait()
		w.store.most = 0
		time.Sleep(time.Minute)
		if most := w.store.entered(0); most != 0 || len(w.gateway.running.tokens) != 0 {
			t.Errorf("%d look-ups at once, %d tokens", most, len(w.gateway.running.tokens))
		}
	})
}
