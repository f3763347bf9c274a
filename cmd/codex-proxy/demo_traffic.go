package main

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// demoWorkers are the sample developers who go on working while the demo runs.
func demoWorkers() []*sampleDeveloper { return demoDevelopers[1:3] }

// work lets the workers have sessions through the proxy, beginning with those that are
// not over, until ctx ends. The function that it returns waits for that.
func (cmd *demoCommand) work(ctx context.Context, p *proxy, stage *stage, unfinished []*sampleSession) (end func(), err error) {
	front, stop, err := listenLocally(ctx, p.handler())
	if err != nil {
		return nil, err
	}
	var working sync.WaitGroup
	for i, d := range demoWorkers() {
		w := worker{who: d, stage: stage, address: front.Host, pace: cmd.Pace, random: rand.New(rand.NewPCG(8, uint64(2+i)))}
		if i < len(unfinished) {
			w.session = unfinished[i]
			w.token = w.session.token
		} else if w.token, err = p.issue(ctx, d.id); err != nil {
			stop()
			return nil, err
		}
		working.Go(func() { w.work(ctx) })
	}
	return func() { working.Wait(); stop() }, nil
}

// worker is a sample developer at work.
type worker struct {
	who     *sampleDeveloper
	token   string
	session *sampleSession // nil before one begins
	stage   *stage
	address string
	pace    time.Duration
	random  *rand.Rand
	begun   int // sessions
}

// work has one session after the other, until ctx ends.
func (w *worker) work(ctx context.Context) {
	for ctx.Err() == nil {
		if w.session == nil {
			if !w.rest(ctx, 2, 5) {
				return
			}
			w.session = newSession(w.who, w.token, w.who.stories[w.begun%len(w.who.stories)], w.begun, time.Now())
			w.stage.enter(w.session)
			w.begun++
		}
		w.hold(ctx, w.session)
		w.stage.leave(w.session)
		w.session = nil
	}
}

// hold goes on with a session until it is over or something goes wrong.
func (w *worker) hold(ctx context.Context, s *sampleSession) {
	s.take = nil // from now on time passes by itself
	for first := true; len(s.scenes) > 0; first = false {
		pause := 1.0
		if s.scenes[0].byUser() {
			pause = 4
		}
		if !first && !w.rest(ctx, pause, 2*pause) {
			return
		}
		s.begin(time.Now())
		answer := s.answer()
		if w.pace > 0 { // else nobody is to wait for anything
			answer.Fault.FirstByte = time.Duration(500+w.random.IntN(2000)) * time.Millisecond
			answer.Fault.Between = workersPace * w.pace
		}
		s.openai.Play(answer)
		if whole, err := s.send(ctx, w.address, s.model, math.MaxInt); err != nil || !whole {
			return // the proxy has said so, or the demo ends
		}
	}
}

// workersPace is by how much the workers' answers are slower than others, so that
// there is time to look at them.
const workersPace = 8

// rest waits for so many seconds, and reports whether there is time for more.
func (w *worker) rest(ctx context.Context, least, most float64) bool {
	select {
	case <-time.After(time.Duration((least + (most-least)*w.random.Float64()) * float64(time.Second))):
		return true
	case <-ctx.Done():
		return false
	}
}

// withoutTraffic leaves out of the log what the workers exchange: it would fill the
// screen.
func withoutTraffic(log *slog.Logger, stage *stage) *slog.Logger {
	return slog.New(trafficHandler{log.Handler(), stage})
}

type trafficHandler struct {
	slog.Handler
	stage *stage
}

// Handle passes on what is not about a sample session.
func (h trafficHandler) Handle(ctx context.Context, r slog.Record) error {
	sample := false
	r.Attrs(func(a slog.Attr) bool {
		sample = a.Key == "session" && h.stage.session(a.Value.String()) != nil
		return !sample
	})
	if sample && r.Level < slog.LevelError {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}
