package script

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// configCase is a file of ../testdata/cases, whose README says what it may hold.
// It stands for the machine that its text names: see on.
type configCase struct {
	name string
	// before is nil where there is no config.toml.
	before, after, uninstalled []byte
	fails                      string
	serves                     serves
}

// serves is what a proxy says of itself.
type serves struct {
	webSocket bool
	// providerName is empty of proxies that do not say it.
	providerName string
}

func readCases(t *testing.T) []configCase {
	t.Helper()
	files, err := filepath.Glob("../testdata/cases/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no cases: %v", err)
	}
	var cases []configCase
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		archive := txtar.Parse(raw)
		says := func(line string) bool { return strings.Contains(string(archive.Comment), "\n"+line+"\n") }
		c := configCase{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), serves: serves{webSocket: !says("websocket: false")}}
		if says("provider name: OpenAI") {
			c.serves.providerName = OpenAI
		}
		for _, f := range archive.Files {
			text := append([]byte{}, f.Data...)
			if says("line endings: CRLF") {
				text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
			}
			if says("byte order mark: yes") {
				text = append([]byte("\ufeff"), text...)
			}
			switch f.Name {
			case "before":
				if says("last newline: no") {
					text = bytes.TrimRight(text, "\r\n")
				}
				c.before, c.uninstalled = text, text
			case "after":
				c.after = text
			case "uninstalled":
				c.uninstalled = text
			case "error":
				c.fails = strings.TrimSpace(string(text))
			default:
				t.Fatalf("%s has the unknown file %q", file, f.Name)
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// on returns the case as it is on a machine whose proxy is at address and whose
// token is in tokenFile.
func (c configCase) on(address, tokenFile string) configCase {
	words := strings.NewReplacer("https://proxy.example.com", address, "/home/alice/.codex/codex-proxy-token", tokenFile)
	for _, text := range []*[]byte{&c.before, &c.after, &c.uninstalled} {
		if *text != nil {
			*text = []byte(words.Replace(string(*text)))
		}
	}
	return c
}
