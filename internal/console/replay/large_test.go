package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/sqlite"
)

// BenchmarkLongSession writes the pages of a session of 500 turns, whose requests
// grow to about 1 MB.
func BenchmarkLongSession(b *testing.B) {
	const turns = 500
	archive := must(disk.NewArchive(b.TempDir()))
	store := must(sqlite.OpenLedger(b.Context(), b.TempDir()+"/ledger.db"))
	defer store.Close()
	encoder := must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest)))
	random := rand.New(rand.NewPCG(1, 2))
	began := time.Now().UTC().Add(-turns * time.Minute)
	var items []json.RawMessage
	var facts []exchange.Exchange
	for i := range turns {
		var output strings.Builder
		for range 20 {
			fmt.Fprintf(&output, "%x %x %x some words that stand in every line of a tool's output\n", random.Uint64(), random.Uint64(), random.Uint64())
		}
		items = append(items, json.RawMessage(prompt("go on with "+fmt.Sprint(i))), json.RawMessage(prompt(output.String())))
		started := began.Add(time.Duration(i) * time.Minute)
		e := exchange.Exchange{
			ID: exchange.NewID(started), Started: started, Developer: alice, Session: thread, Model: "gpt-5.1-codex",
			Status: 200, Outcome: exchange.Completed, DurationMicros: 20_000_000, FirstByteMicros: 2_000_000,
		}
		doc := record.Document{Format: record.Format, Exchange: e, Response: &record.Message{Status: 200}}
		doc.Request.SetBytes(must(json.Marshal(map[string]any{"model": e.Model, "input": items})))
		answer := `{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Answer ` + fmt.Sprint(i) + `."}]}`
		items = append(items, json.RawMessage(answer))
		doc.Response.SetBytes([]byte(`data: {"type":"response.output_item.done","output_index":0,"item":` + answer + "}\n\ndata: {\"type\":\"response.completed\",\"response\":{}}\n\n"))
		raw := encoder.EncodeAll(must(json.Marshal(doc)), nil)
		if err := archive.Put(b.Context(), record.Key(e), bytes.NewReader(raw), int64(len(raw))); err != nil {
			b.Fatal(err)
		}
		facts = append(facts, e)
	}
	if err := store.Add(b.Context(), facts); err != nil {
		b.Fatal(err)
	}
	pages := Handler(Config{Archive: archive, Ledger: store, Frame: &frame{}, Now: time.Now})
	for name, address := range map[string]string{
		"first page": sessionAddress(alice, thread), "last page": sessionAddress(alice, thread) + "&turn=500", "all": sessionAddress(alice, thread) + "&all=1",
	} {
		b.Run(name, func(b *testing.B) {
			var size, most uint64
			for b.Loop() {
				w := &measured{header: http.Header{}}
				pages.ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, address, http.NoBody))
				size, most = w.size, max(most, w.heap)
			}
			b.ReportMetric(float64(size), "page-bytes")
			b.ReportMetric(float64(most), "heap-bytes")
		})
	}
}

// measured counts what is written, and how much memory is used meanwhile.
type measured struct {
	header     http.Header
	size, heap uint64
	flushes    int
}

func (m *measured) Header() http.Header { return m.header }
func (m *measured) WriteHeader(int)     {}
func (m *measured) Write(p []byte) (int, error) {
	m.size += uint64(len(p))
	return len(p), nil
}

// Flush comes after each turn.
func (m *measured) Flush() {
	if m.flushes++; m.flushes%25 == 0 {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		m.heap = max(m.heap, stats.HeapInuse)
	}
}
