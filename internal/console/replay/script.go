package replay

import (
	"encoding/json"
	"regexp"
	"strings"
)

// scriptCommand is a shell command, and scriptPatch a patch, inside the JavaScript
// with which Codex's current models call their tools.
var (
	scriptCommand = regexp.MustCompile(`\b(?:cmd|command)"?\s*:\s*("(?:[^"\\]|\\.)*")`)
	scriptPatch   = regexp.MustCompile(`("(?:\\n)*\*\*\* Begin Patch(?:[^"\\]|\\.)*")`)
)

// readableScript puts the commands and the patches of a script before it, as one
// reads them, and leaves everything else as it is.
func readableScript(script string) string {
	var first strings.Builder
	for _, found := range scriptCommand.FindAllStringSubmatch(script, -1) {
		var command string
		if json.Unmarshal([]byte(found[1]), &command) == nil {
			first.WriteString("$ " + strings.ReplaceAll(strings.TrimRight(command, "\n"), "\n", "\n  ") + "\n")
		}
	}
	script = scriptPatch.ReplaceAllStringFunc(script, func(quoted string) string {
		var patch string
		if json.Unmarshal([]byte(quoted), &patch) != nil {
			return quoted
		}
		first.WriteString(strings.Trim(patch, "\n") + "\n")
		return `"…"`
	})
	return first.String() + script
}
