package main

import (
	"fmt"
	"strings"

	"codex-proxy/internal/terminal"
)

// sheet is text about an exchange for a person to read: facts, and under them what
// was said. Nothing in it can drive the terminal.
type sheet struct{ strings.Builder }

// fact adds one line, unless there is nothing to say.
func (s *sheet) fact(name, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		fmt.Fprintf(s, "%-10s%s\n", name, terminal.Safe(text))
	}
}

// said adds what was said under a line that names it. cut says that it broke off.
func (s *sheet) said(title, text string, cut bool) {
	s.WriteString("\n")
	if title != "" {
		fmt.Fprintf(s, "── %s ──\n", terminal.Safe(title))
	}
	if text != "" {
		s.WriteString(terminal.SafeLines(text) + "\n")
	}
	if cut {
		s.WriteString("[cut off here]\n")
	}
}
