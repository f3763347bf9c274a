package main

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestTheExampleOfTheDocumentationIsTaken(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "secrets.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(examples) != 1 {
		t.Fatalf("the page has %d examples, want one", len(examples))
	}
	file := filepath.Join(t.TempDir(), "codex-proxy.toml")
	write(t, file, examples[0][1])
	if code := run(t.Context(), []string{"secrets", "rules", "--config", file}, nil, t.Output(), t.Output()); code != 0 {
		t.Errorf("it is refused with %d", code)
	}
}
