package conversation

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// Size is a number of bytes for people: "812 B", "55 KB", "1.2 MB" (units of
// 1,000).
func Size(bytes int) string {
	switch {
	case bytes < 1000:
		return fmt.Sprintf("%d B", bytes)
	case bytes < 999_500:
		return fmt.Sprintf("%.0f KB", float64(bytes)/1e3)
	case bytes < 999_950_000:
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}

// deepest is how far JSON is laid out; what is nested deeper stays on a line.
const deepest = 12

// arguments lays out what a tool is called with. A shell command is shown as one.
func arguments(value gjson.Result) string {
	if inner, ok := structure(value); ok {
		value = inner
	}
	if value.Type == gjson.String {
		return value.String()
	}
	for _, path := range []string{"command", "cmd"} {
		command := value.Get(path)
		if !command.Exists() {
			continue
		}
		lines := "$ " + strings.ReplaceAll(commandLine(command), "\n", "\n  ")
		value.ForEach(func(key, other gjson.Result) bool {
			if name := key.String(); name != path && name != "type" {
				lines += "\n" + member(name, other, 0)
			}
			return true
		})
		return lines
	}
	return readable(value)
}

// commandLine is a command as one would type it. A list of words that runs a
// shell is the script that the shell runs.
func commandLine(command gjson.Result) string {
	if !command.IsArray() {
		return text(command)
	}
	var words []string
	for _, word := range command.Array() {
		words = append(words, word.String())
	}
	if len(words) == 3 && strings.HasSuffix(words[0], "sh") && (words[1] == "-c" || words[1] == "-lc") {
		return words[2]
	}
	for i, word := range words {
		if word == "" || strings.ContainsAny(word, " \t\n\"'\\$`|&;<>()*?[]{}~#!") {
			words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// unwrapped lays out what a tool returned: a text, a list of parts, or JSON in a
// string, whose text output is shown as text.
func unwrapped(value gjson.Result) string {
	if value.IsArray() {
		var parts []string
		value.ForEach(func(_, part gjson.Result) bool {
			if inner, ok := structure(part.Get("text")); ok {
				parts = append(parts, unwrapped(inner))
			} else {
				parts = append(parts, partText(part))
			}
			return true
		})
		return strings.Join(parts, "\n")
	}
	if inner, ok := structure(value); ok {
		return unwrapped(inner)
	}
	if !value.IsObject() {
		return text(value)
	}
	output := value.Get("output")
	if output.Type != gjson.String {
		return readable(value)
	}
	lines := strings.TrimSuffix(text(output), "\n")
	value.ForEach(func(key, other gjson.Result) bool {
		if name := key.String(); name != "output" {
			lines = join(lines, member(name, other, 0))
		}
		return true
	})
	return lines
}

// structure returns the object or list that a string holds as JSON.
func structure(value gjson.Result) (gjson.Result, bool) {
	if value.Type != gjson.String {
		return value, false
	}
	text := strings.TrimSpace(value.String())
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") || !json.Valid([]byte(text)) {
		return value, false
	}
	return gjson.Parse(text), true
}

// readable lays out JSON with a member on each line, texts of several lines as
// they are, and what strings hold as JSON laid out too.
func readable(value gjson.Result) string { return strings.TrimPrefix(layout(value, 0), "\n") }

// layout is value as it stands after its name or dash: on the same line, or
// below it, indented by depth.
func layout(value gjson.Result, depth int) string {
	if inner, ok := structure(value); ok {
		value = inner
	}
	indent := strings.Repeat("  ", depth)
	switch {
	case value.Type == gjson.String && strings.Contains(value.String(), "\n"):
		lines := strings.TrimSuffix(value.String(), "\n")
		return "\n" + indent + strings.ReplaceAll(lines, "\n", "\n"+indent)
	case value.Type == gjson.String:
		return elided(value.String())
	case !value.IsObject() && !value.IsArray():
		return value.Raw
	case depth >= deepest:
		return strings.ReplaceAll(value.Raw, "\n", " ")
	}
	var lines strings.Builder
	value.ForEach(func(key, element gjson.Result) bool {
		lines.WriteString("\n")
		if value.IsArray() {
			lines.WriteString(indent + "- " + strings.TrimLeft(layout(element, depth+1), "\n "))
		} else {
			lines.WriteString(member(key.String(), element, depth))
		}
		return true
	})
	if lines.Len() == 0 {
		return value.Raw
	}
	return lines.String()
}

// elided returns a text of one line, or names it where it is data that nobody
// reads: a data URL, or thousands of characters without a space.
func elided(text string) string {
	const readable = 2000
	switch {
	case strings.HasPrefix(text, "data:"):
		return attachment("data", "", text)
	case len(text) > readable && !strings.Contains(text, " "):
		return "[" + Size(len(text)) + " without a space]"
	}
	return text
}

// member is one member of an object, with its name.
func member(name string, value gjson.Result, depth int) string {
	below := layout(value, depth+1)
	if !strings.HasPrefix(below, "\n") {
		below = " " + below
	}
	return strings.Repeat("  ", depth) + name + ":" + below
}
