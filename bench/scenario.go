package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"codex-proxy/internal/simulated"
)

// scenario is one kind of load. measure returns its numbers by name.
type scenario struct {
	name    string
	goal    string
	answer  simulated.Answer
	kinds   []string
	rounds  int // fewer than asked, where one takes long; 0 is as asked
	numbers []string
	// prepare makes what measure sends, outside of what is measured.
	prepare func() (measure func(context.Context, *gateway) (map[string]float64, error))
}

// result are the numbers of one gateway, one a round.
type result map[string][]float64

func scenarios() []scenario {
	return []scenario{
		bodies("200 KB bodies, 16 at once, a session's history resent", "≤ 1.6x bare", 200<<10, 16, 800, false, true),
		bodies("200 KB bodies, 16 at once, never seen before", "", 200<<10, 16, 800, false, false),
		bodies("2 MB image bodies, 8 at once, resent", "≤ 1.4x bare", 2<<20, 8, 120, true, true),
		bodies("2 MB image bodies, 8 at once, never seen before", "", 2<<20, 8, 120, true, false),
		streaming("50 streams, 10 ms between events", "CPU ≤ 1.1x bare; first byte +0.3 ms p50; event +0.1 ms p50", 50, 200),
		streaming("200 streams, 10 ms between events", "CPU ≤ 1.1x bare", 200, 200),
		open("1,000 open slow streams", "≤ 110 KB each, none lost", 1000),
		open("5,000 open slow streams", "≤ 110 KB each, none lost", 5000),
	}
}

// bodies measures the processor time of exchanges with large bodies and small
// JSON answers.
func bodies(name, goal string, size, atOnce, n int, image, resent bool) scenario {
	return scenario{
		name: name, goal: goal, answer: simulated.Say("Done."), kinds: kinds[1:],
		numbers: []string{"CPU ms per exchange", "with background work"},
		prepare: func() func(context.Context, *gateway) (map[string]float64, error) {
			sessions := make([]func(int) []byte, atOnce)
			for i := range sessions {
				sessions[i] = turns(rand.Uint64(), size, image)
			}
			body := func(worker, turn int) []byte { return sessions[worker](turn) }
			if !resent {
				// New text for every exchange, made before the clock runs.
				fresh := make([][]byte, n+atOnce)
				for i := range fresh {
					fresh[i] = turns(rand.Uint64(), size, image)(0)
				}
				body = func(worker, turn int) []byte { return fresh[(turn*atOnce+worker)%len(fresh)] }
			}
			return func(ctx context.Context, g *gateway) (map[string]float64, error) {
				if err := g.exchanges(ctx, 2*atOnce, atOnce, func(worker, turn int) []byte { return sessions[worker](1000 + turn) }); err != nil {
					return nil, err
				}
				before := g.settledCPU()
				if err := g.exchanges(ctx, n, atOnce, body); err != nil {
					return nil, err
				}
				at := g.cpu()
				settled := g.settledCPU()
				per := func(nanos int64) float64 { return float64(nanos) / float64(n) / 1e6 }
				return map[string]float64{"CPU ms per exchange": per(at - before), "with background work": per(settled - before)}, nil
			}
		},
	}
}

// streaming measures streams of events: processor time, and what the gateway
// adds to the way of a byte.
func streaming(name, goal string, n, events int) scenario {
	return scenario{
		name: name, goal: goal, answer: simulated.Stream(events, 10*time.Millisecond, 300), kinds: kinds,
		numbers: []string{"CPU µs per event", "first byte p50 ms", "first byte p99 ms", "event p50 ms", "event p99 ms", "lost"},
		prepare: func() func(context.Context, *gateway) (map[string]float64, error) {
			return func(ctx context.Context, g *gateway) (map[string]float64, error) {
				before := g.settledCPU()
				seen := g.streams(ctx, n, nil)
				used := g.settledCPU() - before
				return map[string]float64{
					"CPU µs per event":  float64(used) / float64(n*events) / 1e3,
					"first byte p50 ms": percentile(seen.firstByte, .5), "first byte p99 ms": percentile(seen.firstByte, .99),
					"event p50 ms": percentile(seen.underWay, .5), "event p99 ms": percentile(seen.underWay, .99),
					"lost": float64(n*events - seen.events + seen.failed),
				}, nil
			}
		},
	}
}

// open measures the memory of streams that are open at the same time.
func open(name, goal string, n int) scenario {
	const events, every = 12, time.Second
	return scenario{
		name: name, goal: goal, answer: simulated.Stream(events, every, 300), kinds: kinds[1:], rounds: 2,
		numbers: []string{"resident KB per stream", "lost"},
		prepare: func() func(context.Context, *gateway) (map[string]float64, error) {
			return func(ctx context.Context, g *gateway) (map[string]float64, error) {
				before := g.resident()
				var during int64
				seen := g.streams(ctx, n, func() {
					for range 4 {
						time.Sleep(time.Second)
						during = max(during, g.resident())
					}
				})
				return map[string]float64{
					"resident KB per stream": float64(during-before) / float64(n) / 1024,
					"lost":                   float64(n*events - seen.events + seen.failed),
				}, nil
			}
		},
	}
}

func percentile(values []time.Duration, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return float64(values[int(float64(len(values)-1)*p)]) / 1e6
}

// run measures every gateway once a round, each time in a process of its own.
func (s scenario) run(ctx context.Context, dir, binary string, rounds int) (map[string]result, error) {
	if s.rounds > 0 {
		rounds = min(rounds, s.rounds)
	}
	openai := simulated.New(simulated.Options{Always: &s.answer})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: openai, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with Close
	defer func() { openai.Close(); _ = server.Close() }()

	results := map[string]result{}
	for round := range rounds {
		for i := range s.kinds {
			kind := s.kinds[(i+round)%len(s.kinds)] // nobody is always first
			g, err := start(ctx, kind, dir, binary, listener.Addr().String())
			if err != nil {
				return nil, err
			}
			if g == nil {
				continue // not installed
			}
			numbers, err := s.prepare()(ctx, g)
			_ = g.stop()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
			if results[kind] == nil {
				results[kind] = result{}
			}
			for name, value := range numbers {
				results[kind][name] = append(results[kind][name], value)
			}
			fmt.Fprint(os.Stderr, ".")
		}
	}
	return results, nil
}
