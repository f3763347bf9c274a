package simulated

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// sink is where the events of an answer go: an SSE stream or a WebSocket.
type sink interface {
	// send sends one event at once. It returns errCut when the answer is to be
	// cut there, and another error when the client is gone.
	send(ctx context.Context, e *event) error
	// garbage sends bytes that are no event.
	garbage(ctx context.Context) error
	// cut closes the connection without a good-bye. It may panic with
	// http.ErrAbortHandler.
	cut()
	// halfOpen stops reading from the client.
	halfOpen()
}

var (
	errCut    = errors.New("the answer is to be cut here")
	errClosed = errors.New("the simulated OpenAI was closed")
)

// play sends the events at their pace, and breaks as the fault wants.
func (s *Server) play(ctx context.Context, out sink, events []event, fault *Fault) error {
	pause := s.options.Pace
	if fault.Between > 0 {
		pause = fault.Between
	}
	stop := len(events)
	switch fault.Break {
	case BreakCut, BreakGarbage, BreakStall, BreakHalfOpen:
		stop = min(fault.After, len(events)-1)
	}
	if fault.Break == BreakHalfOpen {
		out.halfOpen()
	}
	pacer := newPacer(pause)
	defer pacer.stop()
	for i := range events[:stop] {
		if i > 0 {
			if err := s.pause(ctx, pacer); err != nil {
				return err
			}
		}
		switch err := out.send(ctx, &events[i]); {
		case errors.Is(err, errCut):
			out.cut()
			return err
		case err != nil:
			return err
		}
	}
	if stop < len(events) {
		return s.breakOff(ctx, out, fault.Break)
	}
	return nil
}

func (s *Server) breakOff(ctx context.Context, out sink, how Break) error {
	switch how {
	case BreakGarbage:
		return out.garbage(ctx)
	case BreakStall:
		return s.silence(ctx)
	case BreakHalfOpen:
		return s.silence(context.WithoutCancel(ctx))
	default:
		out.cut()
		return errCut
	}
}

// silence waits until the client goes away or the server is closed.
func (s *Server) silence(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return errClosed
	}
}

// pause waits for the pacer's next beat.
func (s *Server) pause(ctx context.Context, p *pacer) error {
	beat := p.next()
	if beat == nil {
		return ctx.Err()
	}
	select {
	case <-beat:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return errClosed
	}
}

// sleep waits for the duration.
func (s *Server) sleep(ctx context.Context, d time.Duration) error {
	p := newPacer(d)
	defer p.stop()
	return s.pause(ctx, p)
}

// pacer keeps a beat: its next is one interval after the one before, so that
// what happens between beats does not slow them down.
type pacer struct {
	every time.Duration
	due   time.Time
	timer *time.Timer // nil while there is no pause
}

func newPacer(every time.Duration) *pacer {
	return &pacer{every: every, due: time.Now()}
}

// next returns a channel that fires at the next beat; nil when there is no pause.
func (p *pacer) next() <-chan time.Time {
	if p.every <= 0 {
		return nil
	}
	p.due = p.due.Add(p.every)
	if p.timer == nil {
		p.timer = time.NewTimer(time.Until(p.due))
	} else {
		p.timer.Reset(time.Until(p.due))
	}
	return p.timer.C
}

func (p *pacer) stop() {
	if p.timer != nil {
		p.timer.Stop()
	}
}

// sse is the sink of an HTTP answer.
type sse struct {
	w       http.ResponseWriter
	control *http.ResponseController
	// left is how many bytes are sent before the cut; negative is no cut.
	left            int
	buffer, scratch []byte
}

func newSSE(w http.ResponseWriter, events []event, fault *Fault) *sse {
	out := &sse{w: w, control: http.NewResponseController(w), left: -1}
	if fault.Break == BreakCutBytes {
		total := 0
		for _, e := range events {
			total += len(appendFrame(nil, e.name, e.data))
		}
		out.left = fault.bytesBeforeCut(total)
	}
	return out
}

// bytesBeforeCut is how many of an answer's bytes are sent before it is cut:
// never so many that its last event is whole.
func (f *Fault) bytesBeforeCut(total int) int {
	return max(0, min(f.After, total-len("\n\n")-1))
}

// appendFrame appends a server-sent event. Chat completions have no names.
func appendFrame(b []byte, name string, data []byte) []byte {
	if name != "" {
		b = append(append(append(b, "event: "...), name...), '\n')
	}
	return append(append(append(b, "data: "...), data...), "\n\n"...)
}

func (o *sse) send(_ context.Context, e *event) error {
	b := appendFrame(o.buffer[:0], e.name, e.stamped(&o.scratch))
	o.buffer = b
	if o.left < 0 {
		return o.write(b)
	}
	if len(b) <= o.left {
		o.left -= len(b)
		return o.write(b)
	}
	if err := o.write(b[:o.left]); err != nil {
		return err
	}
	return errCut
}

func (o *sse) garbage(context.Context) error { return o.write([]byte(garbage)) }

func (o *sse) write(b []byte) error {
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.control.Flush()
}

func (o *sse) cut() { panic(http.ErrAbortHandler) }

// halfOpen has nothing to do: over HTTP the request has been read, and the
// connection stays as long as the handler does.
func (o *sse) halfOpen() {}

// stream answers with server-sent events.
func (x *turn) stream(events []event, fault *Fault) {
	h := x.w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	x.begin(http.StatusOK)
	out := newSSE(x.w, events, fault)
	if err := out.control.Flush(); err != nil {
		return
	}
	_ = x.play(x.r.Context(), out, events, fault) // an error means that nobody listens any more
}

// document answers with one JSON document.
func (x *turn) document(status int, data []byte, fault *Fault) {
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	ctx := x.r.Context()
	switch fault.Break {
	case BreakStall:
		_ = x.silence(ctx)
		return
	case BreakHalfOpen:
		_ = x.silence(context.WithoutCancel(ctx))
		return
	case BreakGarbage:
		data = []byte(garbage)
	}
	h.Set("Content-Length", strconv.Itoa(len(data)))
	x.begin(status)
	if fault.Break == BreakCut || fault.Break == BreakCutBytes {
		if _, err := x.w.Write(data[:len(data)/2]); err == nil {
			_ = http.NewResponseController(x.w).Flush()
		}
		panic(http.ErrAbortHandler)
	}
	_, _ = x.w.Write(data)
}

// json answers with a value as one JSON document.
func (x *turn) json(status int, v any) {
	x.document(status, append(marshal(v), '\n'), &Fault{})
}

// begin writes the status line.
func (x *turn) begin(status int) {
	x.w.Header().Set("Openai-Processing-Ms", strconv.FormatInt(time.Since(x.started).Milliseconds(), 10))
	x.w.WriteHeader(status)
}
