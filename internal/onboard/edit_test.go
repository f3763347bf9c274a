package onboard

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// proxied is the provider of the cases; an empty name is what older proxies give.
func proxied(webSocket bool, name string) Provider {
	return Provider{
		Name: name, BaseURL: "https://proxy.example.com/v1", WebSocket: webSocket,
		TokenCommand: []string{"cat", "/home/alice/.codex/codex-proxy-token"},
	}
}

// configCase is one file of testdata/cases, whose README says what it may hold.
type configCase struct {
	name                       string
	before, after, uninstalled []byte
	fails                      string
	webSocket                  bool
	providerName               string
}

func readCases(t testing.TB) []configCase {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.txtar")
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
		is := func(line string) bool { return strings.Contains(string(archive.Comment), "\n"+line+"\n") }
		c := configCase{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), webSocket: !is("websocket: false")}
		if is("provider name: OpenAI") {
			c.providerName = "OpenAI"
		}
		for _, f := range archive.Files {
			text := f.Data
			if is("line endings: CRLF") {
				text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
			}
			if is("byte order mark: yes") {
				text = append([]byte(byteOrderMark), text...)
			}
			switch f.Name {
			case "before":
				if is("last newline: no") {
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

func TestSettingUpLeavesWhatTheCaseSays(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(c.name, func(t *testing.T) {
			after, err := Setup(c.before, proxied(c.webSocket, c.providerName))
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("setup gave the error %v, want one that says %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(c.after), string(after)); diff != "" {
				t.Errorf("setup (-want +got):\n%s", diff)
			}
			again, err := Setup(after, proxied(c.webSocket, c.providerName))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(after), string(again)); diff != "" {
				t.Errorf("a second setup (-want +got):\n%s", diff)
			}
			gone, err := Uninstall(after)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(c.uninstalled), string(gone)); diff != "" {
				t.Errorf("uninstall (-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzUninstallIsTheWayBack holds the edit to its promise on any file that it
// accepts at all.
func FuzzUninstallIsTheWayBack(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add(c.before)
	}
	for _, text := range []string{"\n", "\r\n", "a=1\nb=2\r", "a=1\r\nb=2\n", "a=1\nb=2\r\n", "model_provider='''\n[x]\n'''", "\ufeff", "[a]\n\n\n# x", "\n\n\n", "#", "# codex-proxy: end"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, before []byte) {
		if bytes.Contains(before, []byte("# codex-proxy: ")) {
			t.Skip("set up already, or made to look so")
		}
		after, err := Setup(before, proxied(true, ""))
		if err != nil {
			t.Skip("refused")
		}
		again, err := Setup(after, proxied(true, ""))
		if err != nil || !bytes.Equal(again, after) {
			t.Fatalf("a second setup of %q changed %q to %q, %v", before, after, again, err)
		}
		moved, err := Setup(after, Provider{Name: "OpenAI", BaseURL: "http://127.0.0.1:1/v1", TokenCommand: []string{"cat", "/t"}})
		if err != nil {
			t.Fatalf("a move to another address fails: %v", err)
		}
		for _, installed := range [][]byte{after, moved} {
			gone, err := Uninstall(installed)
			if err != nil || !bytes.Equal(gone, before) {
				t.Fatalf("uninstall left %q of %q, %v", gone, before, err)
			}
		}
	})
}

func TestUninstallLeavesWhatWasNeverSetUp(t *testing.T) {
	for _, text := range []string{"", "model = \"x\"\n", "# codex-proxy: was: model_provider = \"x\"\n"} {
		if got, err := Uninstall([]byte(text)); err != nil || string(got) != text {
			t.Errorf("uninstall of %q gave %q, %v", text, got, err)
		}
	}
}

func TestSetupSaysWhichLineIsNoTOML(t *testing.T) {
	for text, says := range map[string]string{
		"a = 1\nb = \"open\n":                      "line 2",
		"a = 1\na = 2\n":                           "line 2",
		"x = 1\nmodel_providers = { x = {} }\n":    "line 2: model_providers is one inline table",
		"[model_providers]\ncodex-proxy = {}\n":    "line 2: there is a provider",
		"model_providers.codex-proxy.name = 'x'\n": "line 1: there is a provider",
	} {
		if _, err := Setup([]byte(text), proxied(true, "")); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("setup of %q says %v, want %q", text, err, says)
		}
	}
}

func TestAWindowsPathIsWrittenSoThatItReadsBack(t *testing.T) {
	p := proxied(true, "")
	p.TokenCommand = []string{"cmd", "/d", "/c", "type", `C:\Users\Älice "A"\.codex\codex-proxy-token`}
	out, err := Setup(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadSettings(out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p.TokenCommand[1:], got.ModelProviders["codex-proxy"].Auth.Args); diff != "" {
		t.Error(diff)
	}
}
