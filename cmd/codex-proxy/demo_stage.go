package main

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/metrics"
)

// stage is OpenAI as the demo's proxy sees it: sample sessions are answered from their
// stories, and everybody else by an OpenAI that improvises.
type stage struct {
	others http.Handler

	mu       sync.Mutex
	sessions map[string]*sampleSession
}

func newStage(others http.Handler) *stage {
	return &stage{others: others, sessions: map[string]*sampleSession{}}
}

func (s *stage) enter(session *sampleSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[session.id] = session
}

func (s *stage) leave(session *sampleSession) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session.id)
}

// session is the sample session of an id; nil if it is none.
func (s *stage) session(id string) *sampleSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if session := s.session(r.Header.Get("Session-Id")); session != nil {
		session.ServeHTTP(w, r)
		return
	}
	s.others.ServeHTTP(w, r)
}

// demoClock is a clock that can be set, and that goes on from there. Its times carry a
// monotonic reading which is set with it.
type demoClock struct{ ahead atomic.Int64 }

func (c *demoClock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *demoClock) set(to time.Time)        { c.ahead.Store(int64(time.Until(to))) }
func (c *demoClock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// take is how long one exchange of the past takes. Nobody waits: the clock is advanced
// where OpenAI would have kept Codex waiting, which is not where the proxy is at work.
type take struct {
	clock            *demoClock
	waiting, writing time.Duration
	// heard gets word of the first two events, when Codex has read them.
	heard chan struct{}
}

func newTake(clock *demoClock, waiting, writing time.Duration) *take {
	return &take{clock: clock, waiting: waiting, writing: writing, heard: make(chan struct{}, 2)}
}

// hear tells that Codex has read an event.
func (t *take) hear() {
	if t == nil {
		return
	}
	select {
	case t.heard <- struct{}{}:
	default: // nobody waits for more
	}
}

// watch lets the time pass until the first byte, and returns what lets the rest of it
// pass between the second event and the third: Codex has read the second only when the
// proxy has noted when it passed the first on.
func (t *take) watch(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	t.clock.advance(t.waiting)
	return &takenWriter{ResponseWriter: w, take: t, gone: r.Context().Done()}
}

type takenWriter struct {
	http.ResponseWriter
	take    *take
	gone    <-chan struct{}
	flushed int // the header first, and then each event
}

// FlushError passes an event on.
func (w *takenWriter) FlushError() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if w.flushed++; w.flushed != 2 && w.flushed != 3 {
		return err
	}
	select {
	case <-w.take.heard:
	case <-w.gone:
	}
	if w.flushed == 3 {
		w.take.clock.advance(w.take.writing)
	}
	return err
}

// endings is a meter that also tells when an exchange is over and its time is taken.
type endings struct {
	*metrics.Metrics
	ended chan struct{}
}

// Ended counts the exchange and tells of it.
func (e endings) Ended(x exchange.Exchange) {
	e.Metrics.Ended(x)
	e.ended <- struct{}{}
}
