//go:build unix

package script

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// evil are texts that a shell must never be handed to run.
var evil = []string{
	"$(:>pwned)", "`:>pwned`", "';:>pwned;'", `";:>pwned;"`, "x\n:>pwned", "x\r\n:>pwned", "x y", "x&:>pwned", "x|:>pwned", "x>pwned", "*", "x\x00y", "x\x1b[31m", "é",
}

func TestAHostileAddressIsRefusedAndRunsNothing(t *testing.T) {
	p := newProxy(t, true)
	script := p.script(t, "/setup.sh")
	inEveryShell(t, func(t *testing.T, m *machine) {
		for _, text := range evil {
			if strings.Contains(text, "\x00") {
				continue // no argument can hold it
			}
			m.fails(2, "the proxy's address must be like https://proxy.example.com", script, "--url", "http://"+text)
			m.fails(2, "the proxy's address must be like https://proxy.example.com", script, "--url", p.URL+"/"+text)
		}
		for _, text := range []string{"", "ftp://proxy.example.com", "proxy.example.com", "https://", "file:///etc/passwd", "https://alice@proxy.example.com", "-K/etc/passwd"} {
			m.fails(2, "the proxy's address must be like https://proxy.example.com", script, "--url", text)
		}
	})
	for _, request := range p.received() {
		if request != "GET /setup.sh" {
			t.Errorf("the proxy received %s", request)
		}
	}
}

func TestAHostileTokenIsRefusedAndRunsNothing(t *testing.T) {
	p := newProxy(t, true)
	script := p.script(t, "/setup.sh")
	inEveryShell(t, func(t *testing.T, m *machine) {
		for _, text := range evil {
			if strings.Contains(text, "\x00") {
				continue
			}
			want := "codex-proxy: this token is not known" // harmless, so the proxy is asked
			if strings.ContainsAny(text, " \r\n\x1b") || text == "é" {
				want = "the token has blanks, line breaks or other characters in it"
			}
			m.fails(1, want, script, "--token", text)
		}
	})
}

func TestAHostileNameOfTheProviderIsRefusedAndRunsNothing(t *testing.T) {
	for _, name := range []string{`$(:>pwned)`, "x\"\nbase_url = \"http://evil.example.com/v1", "x`:>pwned`"} {
		p := newProxyServing(t, serves{true, name})
		script := p.script(t, "/setup.sh")
		inEveryShell(t, func(t *testing.T, m *machine) {
			m.fails(1, "wants a name for itself that cannot be written. Nothing was changed.", script)
		})
	}
}

func TestMisuseIsSaid(t *testing.T) {
	script := newProxy(t, true).script(t, "/setup.sh")
	inEveryShell(t, func(t *testing.T, m *machine) {
		m.fails(2, "not known", script, "--verbose")
		m.fails(2, "--token needs a value", script, "--token")
		m.fails(2, "was not served by a proxy", shell)
		if s := m.succeeds(script, "--help"); !strings.Contains(s.out, "--uninstall") {
			t.Errorf("--help prints %q", s.out)
		}
	})
}

// TestHalfADownloadDoesNothing cuts the script behind each of its lines, and
// within the last of them.
func TestHalfADownloadDoesNothing(t *testing.T) {
	p := newProxy(t, true)
	script := p.script(t, "/setup.sh")
	m := newMachine(t, "dash")
	m.write(m.config(), "# mine\n", 0o600)
	before := m.state()
	last := strings.LastIndex(strings.TrimSuffix(script, "\n"), "\n") + 1
	for end := range len(script) - len("\n") {
		if script[end] == '\n' || end > last {
			m.run(script[:end])
		}
	}
	if m.state() != before {
		t.Error("a part of the script changed something")
	}
	if got := p.received(); len(got) != 1 {
		t.Errorf("a part of the script asked the proxy: %v", got[1:])
	}
}

// TestTheTokenIsInNoOtherProcess puts itself in front of every program that the
// script runs, and writes down what it is called with.
func TestTheTokenIsInNoOtherProcess(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		bin, seen := t.TempDir(), filepath.Join(t.TempDir(), "seen")
		for _, tool := range []string{"awk", "cat", "chmod", "cp", "curl", "date", "diff", "dirname", "ls", "mkdir", "mktemp", "mv", "readlink", "rm", "sed", "tail"} {
			wrapper := "#!/bin/sh\n{ echo " + tool + ` "$@"; env; } >>'` + seen + "'\nexec " + lookPath(t, tool) + ` "$@"` + "\n"
			if err := os.WriteFile(filepath.Join(bin, tool), []byte(wrapper), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		m.env = append(m.env, "PATH="+bin+":"+os.Getenv("PATH"))
		m.write(m.config(), "# mine\n", 0o600)
		script := p.script(t, "/setup.sh")
		for _, args := range [][]string{{"--dry-run"}, {}, {"--uninstall"}, {"--token", goodToken}} {
			m.succeeds(script, args...)
		}
		calls := m.read(seen)
		if !strings.Contains(calls, "/v1/responses") {
			t.Fatal("the calls were not seen")
		}
		if strings.Contains(calls, "codexproxy_abcd1234") {
			t.Error("the token was in a process's arguments or environment")
		}
	})
}

func TestTheDevelopersCurlrcDoesNotCount(t *testing.T) {
	p := newProxy(t, true)
	m := newMachine(t, "sh")
	m.write(filepath.Join(m.home, ".curlrc"), "verbose\noutput = \"stolen\"\n", 0o600)
	m.succeeds(p.script(t, "/setup.sh"))
	if m.exists(filepath.Join(m.home, "stolen")) {
		t.Error("~/.curlrc was obeyed")
	}
}
