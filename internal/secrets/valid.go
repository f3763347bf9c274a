package secrets

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// maxDepth bounds the nesting of a body.
const maxDepth = 200

// checkJSON returns an error unless text is one JSON value in UTF-8 (RFC 8259)
// and nothing else. Base is where text stands in the body, for the error.
func checkJSON(text []byte, base int) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("%w: it is not all UTF-8, at or after byte %d", errJSON, base)
	}
	end, err := validValue(text, 0, maxDepth)
	if err == nil && end != len(text) {
		err = malformed(end)
	}
	if err != nil && base > 0 {
		return fmt.Errorf("%w, of the part that begins at byte %d", err, base)
	}
	return err
}

// validValue returns the end of the value at i, which may nest so many levels.
func validValue(text []byte, i, levels int) (int, error) {
	switch at(text, i) {
	case '"':
		end, err := skipString(text, i+1)
		if err != nil {
			return 0, err
		}
		return end + 1, validString(text[i+1:end], i+1)
	case '{', '[':
		if levels == 0 {
			return 0, fmt.Errorf("%w: it is nested more than %d levels deep, at byte %d", errJSON, maxDepth, i)
		}
		if text[i] == '[' {
			return elements(text, i, func(_, value int) (int, error) { return validValue(text, value, levels-1) })
		}
		return members(text, i, func(key []byte, value int) (int, error) {
			if err := validString(key, value); err != nil {
				return 0, err
			}
			return validValue(text, value, levels-1)
		})
	}
	end := i
	for end < len(text) && (word | dash | plusSlash | dot).has(text[end]) {
		end++
	}
	if !isLiteral(text[i:end]) {
		return 0, malformed(i)
	}
	return end, nil
}

// isLiteral reports whether word is a number, true, false or null.
func isLiteral(word []byte) bool {
	switch string(word) {
	case "true", "false", "null":
		return true
	}
	i := 0
	if at(word, 0) == '-' {
		i++
	}
	whole := digit.run(word, i, len(word))
	if whole == i || word[i] == '0' && whole > i+1 {
		return false
	}
	if i = whole; at(word, i) == '.' {
		if i = digit.run(word, i+1, len(word)); i == whole+1 {
			return false
		}
	}
	if c := at(word, i); c == 'e' || c == 'E' {
		i++
		if c := at(word, i); c == '+' || c == '-' {
			i++
		}
		exponent := digit.run(word, i, len(word))
		if exponent == i {
			return false
		}
		i = exponent
	}
	return i == len(word)
}

// validString returns an error unless content may stand in a JSON string, which
// is near byte i: no control characters, and no escapes but JSON's. Half of a
// surrogate pair is one, as it is to most readers.
func validString(content []byte, i int) error {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for k := 0; k < len(content); {
		if k+8 <= len(content) {
			w := binary.LittleEndian.Uint64(content[k:])
			slashes := w ^ ones*'\\'
			if ((slashes-ones)&^slashes|(w-ones*' ')&^w)&highs == 0 {
				k += 8
				continue
			}
		}
		switch c := content[k]; {
		case c < ' ':
			return malformed(i)
		case c != '\\':
			k++
			continue
		}
		switch at(content, k+1) {
		case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			k += 2
		case 'u':
			if hexDigit.run(content, k+2, 4) != k+6 {
				return malformed(i)
			}
			k += 6
		default:
			return malformed(i)
		}
	}
	return nil
}
