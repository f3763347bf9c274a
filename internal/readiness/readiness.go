// Package readiness says whether a server could serve now. The answer is in memory:
// each part is asked beside the requests, so that one that hangs holds up neither a
// request nor the answer.
package readiness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Part is one thing that a server needs.
type Part struct {
	Name string
	// Check returns why the part cannot serve; nil when it can. It is not called
	// again before it has returned.
	Check func(ctx context.Context) error
}

// Options are how parts are asked.
type Options struct {
	// Every is the time between two checks of a part. 0 is for a process that sleeps
	// between requests: parts are then checked when somebody asks.
	Every time.Duration
	// Limit is how long a check may take; one that takes longer says that its part
	// hangs.
	Limit time.Duration
	// Reason names a part's own kinds of errors, for anybody to read; "" for others.
	Reason func(error) string
	Now    func() time.Time
	Log    *slog.Logger
}

// Watch knows how the parts are. It is an http.Handler that answers 200 when all can
// serve, else 503, and names each part with "ok" or why not.
type Watch struct {
	options Options
	parts   []*part
}

// part is a Part, and what its last check came back with.
type part struct {
	Part

	mu      sync.Mutex
	checked chan struct{} // closed once the check that runs has returned; nil while none runs
	began   time.Time     // when the check that runs did
	asked   bool          // a check has returned
	err     error         // what the last one returned
	said    string        // what the log has
}

// New returns a Watch of parts, which knows nothing yet.
func New(options Options, parts ...Part) *Watch {
	w := &Watch{options: options}
	for _, p := range parts {
		w.parts = append(w.parts, &part{Part: p})
	}
	return w
}

// Run checks every part, again and again, until ctx ends. It then waits for checks
// that run, for as long as the limit: one that hangs is left behind.
func (w *Watch) Run(ctx context.Context) {
	if w.options.Every == 0 {
		return
	}
	ticker := time.NewTicker(w.options.Every)
	defer ticker.Stop()
	for {
		for _, p := range w.parts {
			w.begin(ctx, p)
			w.tell(p)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			w.wait(context.WithoutCancel(ctx))
			return
		}
	}
}

// Ask checks every part once, and returns when all have answered or the limit is
// over.
func (w *Watch) Ask(ctx context.Context) {
	for _, p := range w.parts {
		w.begin(context.WithoutCancel(ctx), p)
	}
	w.wait(ctx)
}

// wait waits for the checks that run, for as long as the limit.
func (w *Watch) wait(ctx context.Context) {
	limit := time.NewTimer(w.options.Limit)
	defer limit.Stop()
	for _, p := range w.parts {
		p.mu.Lock()
		checked := p.checked
		p.mu.Unlock()
		if checked == nil {
			continue
		}
		select {
		case <-checked:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// begin checks a part, unless that is being done.
func (w *Watch) begin(ctx context.Context, p *part) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.checked != nil {
		return
	}
	p.checked, p.began = make(chan struct{}), w.options.Now()
	go func() {
		limited, cancel := context.WithTimeout(ctx, w.options.Limit)
		defer cancel()
		err := p.Check(limited)
		p.mu.Lock()
		p.asked, p.err = true, err
		close(p.checked)
		p.checked = nil
		p.mu.Unlock()
	}()
}

// state returns "ok", or why a part cannot serve: for anybody, and for the log.
func (w *Watch) state(p *part) (word string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.checked != nil && w.options.Now().Sub(p.began) > w.options.Limit:
		since := p.began.UTC().Format(time.RFC3339)
		return "cannot serve: hanging since " + since, fmt.Errorf("its check hangs since %s", since)
	case !p.asked:
		return "cannot serve: not checked yet", errors.New("it is not checked yet")
	case p.err != nil:
		return "cannot serve: " + w.reason(p.err), p.err
	}
	return "ok", nil
}

// reason is what anybody may know of an error: no path, and no text of the system's.
func (w *Watch) reason(err error) string {
	if w.options.Reason != nil {
		if known := w.options.Reason(err); known != "" {
			return known
		}
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "hanging"
	case errors.Is(err, syscall.EROFS):
		return "read-only"
	case errors.Is(err, syscall.ENOSPC):
		return "disk full"
	case errors.Is(err, fs.ErrPermission):
		return "not writable"
	case errors.Is(err, fs.ErrNotExist):
		return "moved"
	}
	return "failing, the server's log says why"
}

// tell writes to the log when a part has become another.
func (w *Watch) tell(p *part) {
	word, err := w.state(p)
	p.mu.Lock()
	before, began := p.said, p.asked || err != nil && word != "cannot serve: not checked yet"
	if began {
		p.said = word
	}
	p.mu.Unlock()
	switch {
	case !began || word == before:
	case err != nil:
		w.options.Log.Error("not ready", "part", p.Name, "error", err)
	case before != "":
		w.options.Log.Info("ready again", "part", p.Name)
	}
}

// ServeHTTP implements http.Handler.
func (w *Watch) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	if w.options.Every == 0 {
		w.Ask(r.Context())
	}
	states, status := map[string]string{}, http.StatusOK
	for _, p := range w.parts {
		word, err := w.state(p)
		if states[p.Name] = word; err != nil {
			status = http.StatusServiceUnavailable
		}
		w.tell(p)
	}
	answer.Header().Set("Content-Type", "application/json")
	answer.WriteHeader(status)
	_ = json.NewEncoder(answer).Encode(states) // the asker may be gone
}
