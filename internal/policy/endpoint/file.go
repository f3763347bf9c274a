package endpoint

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// Load returns the list that the setting "endpoints" names: "codex" (or nothing)
// is what Codex needs, "all" whatever upstream knows, and anything else a file
// that lists what is open, one endpoint a line:
//
//	# what developers may use
//	include codex
//	GET,DELETE /responses/{id}
//	POST       /files
//
// "include codex" adds the endpoints of Codex, without which the file alone
// counts. A path may begin with /v1 or not; a segment "*" or "{name}" stands for
// any one segment. Errors name the file and the line.
func Load(setting string) (List, error) {
	switch setting {
	case "", "codex":
		return List{}, nil
	case "all":
		return List{all: true}, nil
	}
	text, err := os.ReadFile(setting)
	if err != nil {
		return List{}, fmt.Errorf("read the list of endpoints (it is \"codex\", \"all\" or a file): %w", err)
	}
	list, err := parse(string(text))
	if err != nil {
		return List{}, fmt.Errorf("the list of endpoints %s%w", setting, err)
	}
	return list, nil
}

// parse reads the text of a file. Its errors go on from the file's name.
func parse(text string) (List, error) {
	var list List
	number := 0
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		number++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if slices.Equal(words, []string{"include", "codex"}) {
			list.rows = append(list.rows, codex...)
			continue
		}
		row, err := parseRow(words)
		if err != nil {
			return List{}, fmt.Errorf(", line %d: %w", number, err)
		}
		list.rows = append(list.rows, row)
	}
	if len(list.rows) == 0 {
		return List{}, errors.New(" opens nothing: write lines such as \"POST /responses\", or \"include codex\"")
	}
	return list, nil
}

func parseRow(words []string) (Endpoint, error) {
	if len(words) != 2 {
		return Endpoint{}, fmt.Errorf("%q is not METHOD[,METHOD] /path, nor \"include codex\"", strings.Join(words, " "))
	}
	row := Endpoint{Methods: strings.Split(words[0], ",")}
	for _, method := range row.Methods {
		switch {
		case method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "":
			return Endpoint{}, fmt.Errorf("%q is no method: methods are in capitals, with commas and no blanks between them, such as GET,POST", method)
		case slices.Contains(never, method):
			return Endpoint{}, fmt.Errorf("%s cannot be opened: it would show the organisation's key, or names no path", method)
		}
	}
	var err error
	row.Path, err = parsePath(words[1])
	return row, err
}

// parsePath returns a path below /v1 with "*" for each segment that may be
// anything.
func parsePath(text string) (string, error) {
	path := text
	if below, ok := strings.CutPrefix(text, "/v1/"); ok {
		path = "/" + below
	}
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("the path %q does not begin with a slash", text)
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		name, isName := strings.CutPrefix(segment, "{")
		name, closed := strings.CutSuffix(name, "}")
		switch {
		case isName && closed && isPlain(name):
			segments[i] = "*"
		case segment == "*":
		case segment == "." || segment == ".." || !isPlain(segment):
			return "", fmt.Errorf("the path %q cannot be matched: each segment is plain text, * or {name}, without a query, escapes or a slash at the end", text)
		}
	}
	return "/" + strings.Join(segments, "/"), nil
}

// isPlain reports whether a segment is written in the same way by everybody.
func isPlain(segment string) bool {
	for i := range len(segment) {
		c := segment[i]
		isWord := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !isWord && !strings.ContainsRune("-._~:@", rune(c)) {
			return false
		}
	}
	return segment != ""
}
