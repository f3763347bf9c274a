package record

import (
	"sync"
	"time"
)

// handOverWithin is how long a body's bytes wait in memory at the most until they are
// handed to the operating system.
const handOverWithin = time.Second

// tails are the writers that have bytes which the log does not have: what makes no
// full chunk yet. One timer for all of them hands these bytes over.
type tails struct {
	mu      sync.Mutex
	writers []*Writer
	timer   *time.Timer
	stopped bool
}

// handOverSoon has the writer's tails handed over before long. The caller holds the
// writer's lock.
func (s *Spool) handOverSoon(w *Writer) {
	if w.awaited {
		return
	}
	w.awaited = true
	t := &s.tails
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	if t.writers = append(t.writers, w); len(t.writers) == 1 {
		t.timer = time.AfterFunc(handOverWithin, s.handOver)
	}
}

// handOver hands the tails over that wait. While the disk does not keep up they wait
// on: each is smaller than a chunk.
func (s *Spool) handOver() {
	t := &s.tails
	t.mu.Lock()
	writers := t.writers
	t.writers = nil
	t.mu.Unlock()
	for _, w := range writers {
		w.mu.Lock()
		switch {
		case s.journal.hasRoom(requestChunk + responseChunk):
			_ = w.handOver() // the writer keeps the error
		case !w.closed:
			w.awaited = false
			s.handOverSoon(w)
		}
		w.mu.Unlock()
	}
}

// stop ends the handing over.
func (t *tails) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if t.timer != nil {
		t.timer.Stop()
	}
}
