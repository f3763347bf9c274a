package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestTheFormulaDownloadsTheArchiveOfEachMachine(t *testing.T) {
	archives := map[target]artifact{}
	for _, target := range allTargets {
		archives[target] = artifact{name: target.archiveName("1.2.3"), sha256: strings.Repeat(target.arch[:1], 64)}
	}
	text, err := formula(source{version: "1.2.3"}, "https://example.com/releases/", archives)
	if err != nil {
		t.Fatal(err)
	}
	want := `  on_macos do
    on_intel do
      url "https://example.com/releases/v1.2.3/codex-proxy_1.2.3_darwin_amd64.tar.gz"`
	if !strings.Contains(string(text), want) {
		t.Errorf("the formula lacks\n%s\nin\n%s", want, text)
	}
	if got := strings.Count(string(text), "sha256 "); got != 4 || strings.Contains(string(text), "windows") {
		t.Errorf("the formula has %d archives, not those of macOS and Linux:\n%s", got, text)
	}

	ruby, err := exec.LookPath("ruby")
	if err != nil {
		t.Skip("no ruby to parse the formula with")
	}
	check := exec.CommandContext(t.Context(), ruby, "-c")
	check.Stdin = strings.NewReader(string(text))
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("ruby: %v: %s", err, out)
	}
}

func TestAFormulaIsNotMadeForWhatIsNoAddress(t *testing.T) {
	for _, address := range []string{"releases", "https://example.com/#{exit}", `https://example.com/"`, "%"} {
		if text, err := formula(source{version: "1.2.3"}, address, nil); err == nil {
			t.Errorf("%q made the formula\n%s", address, text)
		}
	}
}
