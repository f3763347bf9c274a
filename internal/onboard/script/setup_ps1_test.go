//go:build unix

package script

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestThePowerShellScriptLeavesWhatTheCaseSays(t *testing.T) {
	if _, err := exec.LookPath("pwsh"); err != nil {
		t.Skip("PowerShell is not installed: setup.ps1 is only parsed, and its edit of config.toml interpreted")
	}
	cases := readCases(t)
	proxies := newProxies(t, cases)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			holdToCase(t, newMachine(t, "pwsh"), proxies[c.serves], c, "/setup.ps1")
		})
	}
}

// interpreter stands in for PowerShell: it parses the script, and runs functions
// of it that have no effect but their result.
type interpreter struct{ t *testing.T }

// call is one call of a function, and then its result.
type call struct {
	Function  string `json:"function"`
	Arguments []any  `json:"arguments"`
	Value     string `json:"value"`
	Error     string `json:"error"`
}

func newInterpreter(t *testing.T) interpreter {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	if _, err := os.Stat("testdata/powershell/node_modules/web-tree-sitter"); err != nil {
		t.Skip("the parser of PowerShell is not installed: run scripts/test.sh")
	}
	return interpreter{t}
}

func (i interpreter) run(script string, calls []call) ([]call, error) {
	i.t.Helper()
	file := i.t.TempDir() + "/setup.ps1"
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		i.t.Fatal(err)
	}
	input, err := json.Marshal(calls)
	if err != nil {
		i.t.Fatal(err)
	}
	// Without the flag node ends only when it has optimised the parser, seconds later.
	node := exec.CommandContext(i.t.Context(), "node", "--liftoff-only", "testdata/powershell/interpret.js", file)
	var errs bytes.Buffer
	node.Stdin, node.Stderr = bytes.NewReader(input), &errs
	out, err := node.Output()
	if err != nil {
		i.t.Log(errs.String())
		return nil, err
	}
	var results []call
	if err := json.Unmarshal(out, &results); err != nil || len(results) != len(calls) {
		i.t.Fatalf("the interpreter printed %q, %v", out, err)
	}
	return results, nil
}

// edit is a call of Edit-Config on the bytes of a config.toml.
func edit(what string, config []byte, s serves, command ...string) call {
	if s.providerName == "" {
		s.providerName = AnyProvider
	}
	return call{Function: "Edit-Config", Arguments: []any{
		what, asCharacters(config), "https://proxy.example.com/v1", strconv.FormatBool(s.webSocket), s.providerName, command,
	}}
}

// asCharacters makes every byte a character, as the script reads its files.
func asCharacters(text []byte) string {
	var out strings.Builder
	for _, b := range text {
		out.WriteRune(rune(b))
	}
	return out.String()
}

func TestThePowerShellScriptEditsAsTheCaseSays(t *testing.T) {
	node := newInterpreter(t)
	unix := []string{"cat", "/home/alice/.codex/codex-proxy-token"}
	windows := []string{"cmd", "/d", "/c", "type", `C:\Users\alice\.codex\codex-proxy-token`}
	onWindows := strings.NewReplacer(`command = "cat"`, `command = "cmd"`,
		`args = ["/home/alice/.codex/codex-proxy-token"]`, `args = ["/d", "/c", "type", "C:\\Users\\alice\\.codex\\codex-proxy-token"]`)
	for _, c := range readCases(t) {
		t.Run(c.name, func(t *testing.T) {
			results, err := node.run(powerShell, []call{
				edit("setup", c.before, c.serves, unix...), edit("setup", c.after, c.serves, unix...), edit("remove", c.after, serves{}),
				edit("setup", c.before, c.serves, windows...),
			})
			if err != nil {
				t.Fatal(err)
			}
			if c.fails != "" {
				if !strings.Contains(results[0].Error, c.fails) {
					t.Errorf("setup says %q, want %q", results[0].Error, c.fails)
				}
				return
			}
			for i, want := range []string{string(c.after), string(c.after), string(c.uninstalled)} {
				if diff := cmp.Diff(asCharacters([]byte(want)), results[i].Value); diff != "" || results[i].Error != "" {
					t.Errorf("%s, %s (-want +got):\n%s", []string{"setup", "a second setup", "remove"}[i], results[i].Error, diff)
				}
			}
			if strings.Contains(string(c.before), "codex-proxy-token") {
				return // set up before, as on Unix
			}
			if diff := cmp.Diff(asCharacters([]byte(onWindows.Replace(string(c.after)))), results[3].Value); diff != "" {
				t.Errorf("setup on Windows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestThePowerShellScriptFindsTheModelAndShowsADiff(t *testing.T) {
	results, err := newInterpreter(t).run(powerShell, []call{
		edit("model", []byte("# model = \"no\"\nmodel = 'gpt-6.1-luna' # mine\n[x]\nmodel = \"other\"\n"), serves{}),
		edit("model", []byte("model = \"$(evil)\"\n"), serves{}),
		{Function: "Format-Diff", Arguments: []any{"config.toml", "", "a\nb\n"}},
		{Function: "Format-Diff", Arguments: []any{"config.toml", "a\nb\nc\n", "0\na\nB\nc\n\nd\n"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		"gpt-6.1-luna", "",
		"--- config.toml\n+++ config.toml (new)\n@@ -1,0 +1,2 @@\n+a\n+b",
		"--- config.toml\n+++ config.toml (new)\n@@ -1,3 +1,6 @@\n+0\n a\n-b\n+B\n c\n+\n+d",
	} {
		if diff := cmp.Diff(want, results[i].Value); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestHalfAPowerShellScriptDoesNotParse(t *testing.T) {
	node := newInterpreter(t)
	last := strings.LastIndex(powerShell, "\n}\n")
	for _, end := range []int{last / 3, last / 2, last - 100, last} {
		if _, err := node.run(powerShell[:end], nil); err == nil {
			t.Errorf("the first %d bytes of the script parse", end)
		}
	}
}

func TestThePowerShellScriptIsASCII(t *testing.T) {
	// Windows PowerShell 5.1 reads anything else in the machine's own code page.
	for i, r := range powerShell {
		if r > 0x7e || r < 0x20 && r != '\n' {
			t.Fatalf("byte %d is %q", i, r)
		}
	}
}
