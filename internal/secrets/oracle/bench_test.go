package oracle

import (
	"os"
	"path/filepath"
	"testing"

	"codex-proxy/internal/secrets"
	"github.com/zricethezav/gitleaks/v8/detect"
)

// sourceCode is 256 KB of source code.
func sourceCode(b *testing.B) []byte {
	b.Helper()
	files, err := filepath.Glob("../*.go")
	if err != nil {
		b.Fatal(err)
	}
	var all []byte
	for i := 0; len(all) < 256<<10; i++ {
		source, err := os.ReadFile(files[i%len(files)])
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, source...)
	}
	return all[:256<<10]
}

func BenchmarkGitleaks(b *testing.B) {
	detector, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		b.Fatal(err)
	}
	source := sourceCode(b)
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		detector.DetectBytes(source)
	}
}

func BenchmarkScanner(b *testing.B) {
	scanner, err := secrets.New(secrets.Config{})
	if err != nil {
		b.Fatal(err)
	}
	source := sourceCode(b)
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		scanner.Scan(source, nil)
	}
}
