package record

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"codex-proxy/internal/exchange"
)

// nowhere is an archive that reads documents and keeps none.
type nowhere struct{ *memory }

func (nowhere) Put(_ context.Context, _ string, doc io.Reader, _ int64) error {
	_, err := io.Copy(io.Discard, doc)
	return err
}

// newBench opens a spool whose archive and ledger cost nothing.
func newBench(b *testing.B) *house {
	return newHouse(b, func(o *Options) {
		o.Archive = nowhere{}
		o.Ledger = func(context.Context, []exchange.Exchange) error { return nil }
		o.Log = slog.New(slog.DiscardHandler)
	})
}

// forgetChunks has no body refer to what stands in the log by now.
func (h *house) forgetChunks() {
	h.journal.mu.Lock()
	defer h.journal.mu.Unlock()
	if s := h.journal.current; s != nil {
		clear(s.shared)
	}
}

// conversation is a request's body as Codex sends it, of about 200 kB.
func conversation() []byte {
	random := rand.New(rand.NewPCG(1, 1))
	words := strings.Fields("func return error the file reads when of a test package main import context value string exchange record spool if err != nil { } ( ) := range")
	var body strings.Builder
	body.WriteString(`{"model":"gpt-5","input":[`)
	for body.Len() < 200_000 {
		body.WriteString(`{"type":"function_call_output","call_id":"call_`)
		fmt.Fprintf(&body, `%x","output":"`, random.Uint64())
		for range 200 {
			body.WriteString(words[random.IntN(len(words))] + " ")
		}
		body.WriteString(`\n"},`)
	}
	return []byte(body.String())
}

func BenchmarkOpen(b *testing.B) {
	header := http.Header{"User-Agent": {"codex"}, "Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
	for _, parallel := range []int{1, 16, 100} {
		b.Run(fmt.Sprint(parallel, " at once"), func(b *testing.B) {
			h := newBench(b)
			b.SetParallelism(max(1, parallel/runtime.GOMAXPROCS(0)))
			if parallel == 1 {
				defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			}
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					e := newExchange()
					w, err := h.Open(context.Background(), e, Message{Method: "POST", URI: e.Path, Header: header}, nil)
					if err != nil {
						b.Error(err)
						return
					}
					w.Close(e)
				}
			})
			b.StopTimer()
			h.stop()
		})
	}
}

func BenchmarkRequestBody200KB(b *testing.B) {
	body := conversation()
	for _, resent := range []bool{false, true} {
		b.Run(fmt.Sprintf("resent=%v", resent), func(b *testing.B) {
			h := newBench(b)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if !resent {
					h.forgetChunks()
				}
				e, w := h.begin()
				for rest := body; len(rest) > 0; {
					piece := rest[:min(len(rest), 32<<10)]
					must(b, w.WriteRequest(piece))
					rest = rest[len(piece):]
				}
				w.Close(e)
			}
			b.StopTimer()
			h.stop()
		})
	}
}

func BenchmarkSettle(b *testing.B) {
	h := newBench(b)
	e, w := h.begin()
	must(b, w.WriteRequest(conversation()))
	w.Answer(200, http.Header{"Content-Type": {"text/event-stream"}})
	for range 100 {
		must(b, w.WriteResponse(conversation()[:1000]))
	}
	must(b, w.Flush(b.Context()))
	b.ReportAllocs()
	for b.Loop() {
		must(b, h.Spool.archive(b.Context(), &closing{writer: w, exchange: e}))
	}
	b.StopTimer()
	w.Close(e)
	h.stop()
}

func BenchmarkIdleWriter(b *testing.B) {
	h := newBench(b)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	body := string(conversation())
	var writers []*Writer
	for b.Loop() {
		_, w := h.talk(body, "event: response.created\n\n")
		writers = append(writers, w)
	}
	b.ReportMetric(float64(heap()-before)/float64(len(writers)), "heap-B/writer")
	for _, w := range writers {
		w.Close(newExchange())
	}
	h.stop()
}
