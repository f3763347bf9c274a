package secrets

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func quote(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text)
	return strings.TrimSpace(b.String())
}

// codexBody is a request as Codex sends it: size bytes of source code and
// listings, mostly as tools print them, as JSON inside JSON strings.
func codexBody(tb testing.TB, size int) []byte {
	tb.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		tb.Skip("the benchmark reads the standard library's source")
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "src", "net", "http", "*.go"))
	if err != nil || len(files) == 0 {
		tb.Skip("the benchmark reads the standard library's source")
	}
	var b strings.Builder
	b.WriteString(`{"model":"gpt-5","instructions":"You are a coding agent.","prompt_cache_key":"c","stream":true,"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"go on"}]}`)
	for i := 0; b.Len() < size; i++ {
		source, err := os.ReadFile(files[i%len(files)])
		if err != nil {
			tb.Fatal(err)
		}
		for len(source) > 0 && b.Len() < size {
			piece := source[:min(len(source), 6000)]
			source = source[len(piece):]
			if i%3 == 0 {
				b.WriteString(`,{"type":"custom_tool_call_output","call_id":"call_1","output":[{"type":"input_text","text":` + quote(string(piece)) + `}]}`)
				continue
			}
			b.WriteString(`,{"type":"function_call_output","call_id":"call_1","output":` + quote(`{"output":`+quote(string(piece))+`,"metadata":{"exit_code":0}}`) + `}`)
		}
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func BenchmarkScanText(b *testing.B) {
	s := newScanner(b, Config{})
	var body struct {
		Input []struct{ Output json.RawMessage }
	}
	if err := json.Unmarshal(codexBody(b, 1<<20), &body); err != nil {
		b.Fatal(err)
	}
	var text []byte
	for _, item := range body.Input {
		text = append(append(text, item.Output...), '\n')
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s.Scan(text, nil)
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(Config{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRedact shows a body at first sight, and one that brings the history
// again with a little news, in the same conversation and in one that begins anew.
func BenchmarkRedact(b *testing.B) {
	s := newScanner(b, Config{})
	history := codexBody(b, 1<<20)
	b.Run("first sight", func(b *testing.B) {
		b.SetBytes(int64(len(history)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := NewVault(s, NewCache(1000), DefaultPolicy).Redact(history); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, c := range map[string]struct {
		secret string
		anew   bool
	}{
		"history and news": {}, "history with secrets and news": {secret: `,` + output("DB="+testURL)}, "history anew": {anew: true},
	} {
		b.Run(name, func(b *testing.B) {
			cache := NewCache(10000)
			v := NewVault(s, cache, DefaultPolicy)
			head := string(history[:len(history)-2]) + c.secret
			news := strings.Repeat("some more text ", 136)
			turn := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				turn++
				if c.anew {
					v = NewVault(s, cache, DefaultPolicy)
				}
				in := []byte(head + `,` + output(strconv.Itoa(turn)+news) + `]}`)
				b.StartTimer()
				if _, err := v.Redact(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
