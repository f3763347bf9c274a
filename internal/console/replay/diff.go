package replay

import (
	"strings"
)

// mostRuns bounds what a text is cut into; what is left is one more run.
const mostRuns = 4000

// lay cuts a text into runs: the lines of patches, diffs and code stand out.
// isCall says that it is what a tool is called with.
func (s secretsByPlaceholder) lay(text string, isCall bool) []Run {
	var runs []Run
	var gathered strings.Builder
	class := ""
	flush := func() {
		if gathered.Len() > 0 {
			runs = append(runs, Run{Class: class, Spans: s.spans(gathered.String())})
			gathered.Reset()
		}
	}
	layout := layout{call: isCall}
	for len(text) > 0 {
		end := strings.IndexByte(text, '\n') + 1
		if end == 0 {
			end = len(text)
		}
		// The lines of a diff are runs of their own, as each may have a ground.
		if next := layout.class(text[:end]); len(runs) < mostRuns && (next != class || next == classAdded || next == classDeleted) {
			flush()
			class = next
		}
		gathered.WriteString(text[:end])
		text = text[end:]
	}
	flush()
	return runs
}

// The classes of runs.
const (
	classCommand  = "cmd"
	classArgument = "arg"
	classCode     = "code"
	classAdded    = "add"
	classDeleted  = "del"
	classHunk     = "hunk"
	classFile     = "file"
)

// layout is what the lines so far say about the next.
type layout struct {
	call    bool
	lines   int
	command bool // in a command of several lines
	patch   bool // between *** Begin Patch and *** End Patch
	unified bool // in a diff as git and diff -u print it
	fence   bool // in a block of code in Markdown
}

// class is the class of a line.
func (l *layout) class(line string) string {
	l.lines++
	// A command's later lines, and with them the patch that it may hold, are
	// indented by two.
	inner := line
	if l.call && l.command {
		inner = strings.TrimPrefix(line, "  ")
	}
	switch {
	case strings.HasPrefix(inner, "*** Begin Patch"):
		l.patch = true
		return classFile
	case l.patch && strings.HasPrefix(inner, "*** End Patch"):
		l.patch = false
		return classFile
	case l.patch:
		return diffClass(inner)
	case strings.HasPrefix(line, "diff --git "), strings.HasPrefix(line, "--- a/"), strings.HasPrefix(line, "--- /dev/null"):
		l.unified = true
		return classFile
	case l.unified && isDiffLine(line):
		return diffClass(line)
	}
	l.unified = false
	switch {
	case l.call && (l.lines == 1 || l.command) && strings.HasPrefix(line, "$ "):
		l.command = true
		return classCommand
	case l.command && strings.HasPrefix(line, "  "):
		return classCommand
	case l.command:
		l.command = false
		return classArgument
	case l.call && l.lines > 1:
		return classArgument
	case strings.HasPrefix(strings.TrimSpace(line), "```"):
		l.fence = !l.fence
		return classCode
	case l.fence:
		return classCode
	}
	return ""
}

// isDiffLine reports whether a line can go on with a unified diff.
func isDiffLine(line string) bool {
	if strings.TrimSpace(line) == "" {
		return false
	}
	switch line[0] {
	case ' ', '+', '-', '@', '\\':
		return true
	}
	for _, header := range []string{"index ", "new file", "deleted file", "old mode", "new mode", "similarity", "rename ", "copy ", "Binary "} {
		if strings.HasPrefix(line, header) {
			return true
		}
	}
	return false
}

// diffClass is the class of a line inside a patch or a diff.
func diffClass(line string) string {
	switch {
	case strings.HasPrefix(line, "*** "), strings.HasPrefix(line, "+++ "), strings.HasPrefix(line, "--- "):
		return classFile
	case strings.HasPrefix(line, "@@"):
		return classHunk
	case strings.HasPrefix(line, "+"):
		return classAdded
	case strings.HasPrefix(line, "-"):
		return classDeleted
	}
	return classCode
}
