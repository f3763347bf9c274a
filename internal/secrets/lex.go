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
	i, err := member(text, i, each)
	if err != nil {
		return 0, err
	}
	return membersAfter(text, i, each)
}

// membersAfter goes on behind the member of an object that ends at i.
func membersAfter(text []byte, i int, each func(key []byte, value int) (int, error)) (int, error) {
	for {
		i = skipSpace(text, i)
		switch at(text, i) {
		case ',':
			var err error
			if i, err = member(text, skipSpace(text, i+1), each); err != nil {
				return 0, err
			}
		case '}':
			return i + 1, nil
		default:
			return 0, malformed(i)
		}
	}
}

func member(text []byte, i int, each func(key []byte, value int) (int, error)) (int, error) {
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
	return each(key, skipSpace(text, i+1))
}

// keyBefore returns where the content of the key of the value at i stands.
func keyBefore(text []byte, i int) (start, end int) {
	colon := bytes.LastIndexByte(text[:i], ':')
	end = bytes.LastIndexByte(text[:colon], '"')
	start = end
	for text[start-1] != '"' || isEscaped(text, start-1) {
		start--
	}
	return start, end
}

// isEscaped reports whether an odd number of backslashes precedes i.
func isEscaped(text []byte, i int) bool {
	slashes := i
	for slashes > 0 && text[slashes-1] == '\\' {
		slashes--
	}
	return (i-slashes)%2 == 1
}

// elements calls each with every element of the array that begins at i.
func elements(text []byte, i int, each func(index, value int) (int, error)) (int, error) {
	i = skipSpace(text, i+1)
	if at(text, i) == ']' {
		return i + 1, nil
	}
	i, err := each(0, i)
	if err != nil {
		return 0, err
	}
	return elementsAfter(text, i, 1, each)
}

// elementsAfter goes on behind the element n-1 of an array, which ends at i.
func elementsAfter(text []byte, i, n int, each func(index, value int) (int, error)) (int, error) {
	for ; ; n++ {
		i = skipSpace(text, i)
		switch at(text, i) {
		case ',':
			var err error
			if i, err = each(n, skipSpace(text, i+1)); err != nil {
				return 0, err
			}
		case ']':
			return i + 1, nil
		default:
			return 0, malformed(i)
		}
	}
}
