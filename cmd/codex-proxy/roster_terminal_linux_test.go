package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal returns both ends of a new terminal.
func openTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("there are no terminals here: %v", err)
	}
	t.Cleanup(func() { _ = keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = screen.Close() })
	return keyboard, screen
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// atTerminal runs the program with a person at a terminal, who types once the
// question is asked (and, for a secret, the terminal has ceased to echo), and
// returns what they saw and the exit code.
func atTerminal(t *testing.T, question, typed string, secret bool, args ...string) (shown string, code int) {
	t.Helper()
	keyboard, screen := openTerminal(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	exit := make(chan int, 1)
	go func() { exit <- run(ctx, args, screen, &out, screen) }()
	var seen strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(seen.String(), question) {
		if err := keyboard.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := keyboard.Read(buffer)
		if err != nil {
			t.Fatalf("the question was not asked (%v): %q", err, seen.String())
		}
		seen.Write(buffer[:n])
	}
	for secret && echoes(t, screen) && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if _, err := keyboard.WriteString(typed); err != nil {
		t.Fatal(err)
	}
	code = <-exit
	if err := screen.Close(); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(keyboard) // a terminal without its other end ends with an error
	seen.Write(rest)
	return out.String() + seen.String(), code
}

func TestAPersonIsAskedBeforeASync(t *testing.T) {
	directory := t.TempDir()
	file, data := filepath.Join(directory, "all.csv"), filepath.Join(directory, "data")
	if err := os.WriteFile(file, []byte("alice,Alice,core\nbob\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typed string
		code  int
		added bool
	}{{"\n", 1, false}, {"no\n", 1, false}, {"Yes\n", 0, true}} {
		shown, code := atTerminal(t, "[y/N] ", c.typed, false, "developer", "sync", file, "--no-tokens", "--data", data)
		if code != c.code || !strings.Contains(shown, "Developers: 2 to add. Do it?") || !strings.Contains(shown, "alice") {
			t.Errorf("answered %q, sync exited with %d and said %q", c.typed, code, shown)
		}
		if list, _, _ := command(t, "", "developer", "list", "--json", "--data", data); strings.Contains(list, "alice") != c.added {
			t.Errorf("answered %q, there are the developers %s", c.typed, list)
		}
	}
}

func TestATokenToImportIsAskedForAndNotShown(t *testing.T) {
	data := t.TempDir()
	if _, stderr, code := command(t, "", "developer", "add", "alice", "--no-token", "--data", data); code != 0 {
		t.Fatal(stderr)
	}
	const token = "token-from-elsewhere-0001"
	shown, code := atTerminal(t, "(it is not shown): ", token+"\n", true, "token", "import", "alice", "--data", data)
	if code != 0 || strings.Contains(shown, token) || !strings.Contains(shown, "is now valid for alice") {
		t.Errorf("the import exited with %d and showed %q", code, shown)
	}
}
