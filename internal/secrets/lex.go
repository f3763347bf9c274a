package secrets

import (
	"bytes"
	"errors"
	"fmt"
)

// errJSON is the cause of all errors about bodies that are not JSON.
var errJSON = errors.New("the body is not valid JSON")

func malformed(i int) error { return fmt.Errorf("%w at byte %d", errJSON, i) }

// skipString returns the index of the quote that closes the string whose
// content begins at i: the first that an even number of backslashes precedes.
// Text inside JSON inside JSON has more backslashes than quotes, so it is the
// quotes that are looked for.
func skipString(text []byte, i int) (int, error) {
	for start := i; ; i++ {
		k := bytes.IndexByte(text[i:], '"')
		if k < 0 {
			return 0, malformed(len(text))
		}
		i += k
		slashes := i
		for slashes > start && text[slashes-1] == '\\' {
			slashes--
		}
		if (i-slashes)%2 == 0 {
			return i, nil
		}
	}
}

func skipSpace(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\n' || text[i] == '\t' || text[i] == '\r') {
		i++
	}
	return i
}

// isLiteral reports whether a value without quotes has no text in it that is to be
// searched.
func isLiteral(word []byte) bool {
	switch string(word) {
	case "true", "false", "null":
		return true
	}
	for _, c := range word {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return false
		}
	}
	return len(word) > 0
}

// skipValue returns the end of the JSON value at i. It checks brackets, strings
// and literals, and leaves the rest to who is meant to read it.
func skipValue(text []byte, i int) (int, error) {
	depth := 0
	for {
		i = skipSpace(text, i)
		if i >= len(text) {
			return 0, malformed(i)
		}
		switch text[i] {
		case '"':
			end, err := skipString(text, i+1)
			if err != nil {
				return 0, err
			}
			i = end + 1
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ',', ':':
			if depth == 0 {
				return 0, malformed(i)
			}
			i++
			continue
		default:
			start := i
			for i < len(text) && text[i] != ',' && text[i] != '}' && text[i] != ']' && text[i] > ' ' {
				i++
			}
			if !isLiteral(text[start:i]) {
				return 0, malformed(start)
			}
		}
		if depth < 0 {
			return 0, malformed(i)
		}
		if depth == 0 {
			return i, nil
		}
	}
}

// members calls each with every member of the object that begins at i: its key
// as written, and where its value begins. Each returns where the value ends.
func members(text []byte, i int, each func(key []byte, value int) (int, error)) (int, error) {
	i = skipSpace(text, i+1)
	if at(text, i) == '}' {
		return i + 1, nil
	}
	for {
		if at(text, i) != '"' {
			return 0, malformed(i)
		}
		end, err := skipString(text, i+1)
		if err != nil {
			return 0, err
		}
		key := text[i+1 : end]
		i = skipSpace(text, end+1)
		if at(text, i) != ':' {
			return 0, malformed(i)
		}
		if i, err = each(key, skipSpace(text, i+1)); err != nil {
			return 0, err
		}
		i = skipSpace(text, i)
		switch at(text, i) {
		case ',':
			i = skipSpace(text, i+1)
		case '}':
			return i + 1, nil
		default:
			return 0, malformed(i)
		}
	}
}

// elements calls each with every element of the array that begins at i.
func elements(text []byte, i int, each func(index, value int) (int, error)) (int, error) {
	i = skipSpace(text, i+1)
	if at(text, i) == ']' {
		return i + 1, nil
	}
	for n := 0; ; n++ {
		var err error
		if i, err = each(n, i); err != nil {
			return 0, err
		}
		i = skipSpace(text, i)
		switch at(text, i) {
		case ',':
			i = skipSpace(text, i+1)
		case ']':
			return i + 1, nil
		default:
			return 0, malformed(i)
		}
	}
}
