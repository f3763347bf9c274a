package simulated_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"codex-proxy/internal/simulated"
)

// nowhere is a ResponseWriter that drops what is written.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Flush()                      {}

// The benchmarks show what an answer costs the simulated OpenAI itself, without
// the network: it shares a core with the load in a side-by-side benchmark.

func BenchmarkSyntheticStreamOf1000(b *testing.B) {
	stream := simulated.Stream(1000, 0, 300)
	sim := simulated.New(simulated.Options{Always: &stream})
	b.ReportAllocs()
	for b.Loop() {
		serveOnce(sim, streamed)
	}
}

func BenchmarkDocumentForA200KBBody(b *testing.B) {
	document := simulated.Stream(50, 0, 40)
	sim := simulated.New(simulated.Options{Always: &document})
	body := `{"model":"gpt-5.1-codex","input":[{"type":"message","role":"user","content":"` + strings.Repeat("lorem ipsum ", 17_000) + `"}]}`
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		serveOnce(sim, body)
	}
}

func BenchmarkImprovisedStream(b *testing.B) {
	sim := simulated.New(simulated.Options{})
	b.ReportAllocs()
	for b.Loop() {
		serveOnce(sim, streamed)
	}
}

func serveOnce(sim *simulated.Server, body string) {
	request := httptest.NewRequest(http.MethodPost, "/v1/responses", bytes.NewReader([]byte(body)))
	sim.ServeHTTP(nowhere{make(http.Header)}, request)
}
