package developer

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// flushEvery is how often Recorder.Run writes.
const flushEvery = time.Minute

// Recorder remembers when tokens were last used and writes it in batches, so
// that no request waits for a write. What it has not written yet is lost in a
// crash, which costs at most a minute's exactness.
type Recorder struct {
	keeper LastUsedKeeper

	mu    sync.Mutex
	times map[string]time.Time
}

// NewRecorder returns a recorder that writes to keeper.
func NewRecorder(keeper LastUsedKeeper) *Recorder {
	return &Recorder{keeper: keeper, times: map[string]time.Time{}}
}

// Touch remembers that a token was used. It never waits for the store.
func (r *Recorder) Touch(tokenID string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times[tokenID].Before(at) {
		r.times[tokenID] = at
	}
}

// Flush writes what Touch remembered since the last time. What cannot be
// written is kept for the next time.
func (r *Recorder) Flush(ctx context.Context) error {
	r.mu.Lock()
	times := r.times
	r.times = map[string]time.Time{}
	r.mu.Unlock()
	if len(times) == 0 {
		return nil
	}
	if err := r.keeper.SetLastUsed(ctx, times); err != nil {
		for id, at := range times {
			r.Touch(id, at)
		}
		return fmt.Errorf("write when tokens were last used: %w", err)
	}
	return nil
}

// Run flushes once a minute until ctx ends, and then one last time. It tells
// failed of every flush that failed, and goes on.
func (r *Recorder) Run(ctx context.Context, failed func(error)) {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for running := true; running; {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			running = false
		}
		if err := r.Flush(context.WithoutCancel(ctx)); err != nil {
			failed(err)
		}
	}
}
