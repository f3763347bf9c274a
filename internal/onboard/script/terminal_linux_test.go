package script

import (
	"context"
	"fmt"
	"os"
	"os/exec"
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

// atTerminal pipes the script into a shell that has a terminal, waits for the
// question, types, and returns the exit code and what the terminal showed.
func (m *machine) atTerminal(script, typed string) (code int, shown string) {
	m.t.Helper()
	keyboard, screen := openTerminal(m.t)
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	words := strings.Fields(m.shell)
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Env, c.Dir, c.Stdin = append(m.env, "CODEX_PROXY_TOKEN="), m.home, strings.NewReader(script)
	c.Stdout, c.Stderr = screen, screen
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		buffer := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buffer)
			if err != nil {
				return
			}
			select {
			case lines <- string(buffer[:n]):
			case <-ctx.Done():
				return
			}
		}
	}()
	for !strings.Contains(shown, "(not shown): ") {
		text, ok := <-lines
		if !ok {
			m.t.Fatalf("it did not ask:\n%s", shown)
		}
		shown += text
	}
	if echoes(m.t, screen) {
		m.t.Fatal("what is typed is shown")
	}
	if _, err := keyboard.WriteString(typed); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	// A shell that is just about to read may miss a Control-C: people press it again.
	var again <-chan time.Time
	if strings.HasSuffix(typed, "\x03") {
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		again = ticker.C
	}
	for {
		select {
		case <-again:
			if _, err := keyboard.WriteString("\x03"); err != nil {
				m.t.Fatal(err)
			}
			continue
		case text := <-lines:
			shown += text
			continue
		case <-ended:
		}
		break
	}
	if !echoes(m.t, screen) {
		m.t.Error("the terminal was left without echo")
	}
	// What was written is there to be read: a mark that follows it ends it.
	const mark = "--end of the screen--"
	if _, err := screen.WriteString(mark); err != nil {
		m.t.Fatal(err)
	}
	for !strings.Contains(shown, mark) {
		shown += <-lines
	}
	return c.ProcessState.ExitCode(), shown
}

func TestTheTokenIsAskedForAndNotShown(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		code, shown := m.atTerminal(p.script(t, "/setup.sh"), goodToken+"\n")
		if code != 0 || !strings.Contains(shown, "This token belongs to alice@example.com") {
			t.Errorf("it exited with %d:\n%s", code, shown)
		}
		if strings.Contains(shown, "abcd1234") {
			t.Error("the token was shown")
		}
		if m.read(m.token()) != goodToken+"\n" {
			t.Errorf("the token file holds %q", m.read(m.token()))
		}
	})
}

func TestControlCAtTheQuestionChangesNothing(t *testing.T) {
	p := newProxy(t, true)
	inEveryShell(t, func(t *testing.T, m *machine) {
		before := m.state()
		if code, shown := m.atTerminal(p.script(t, "/setup.sh"), "half\x03"); code != 130 {
			t.Errorf("it exited with %d:\n%s", code, shown)
		}
		if m.state() != before {
			t.Error("something was changed")
		}
	})
}
