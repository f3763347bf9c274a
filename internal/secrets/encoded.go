package secrets

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf8"
)

// step reads one character of JSON's string syntax at i: how many bytes it
// takes, and, for an escape, the character. A backslash that begins no escape
// stands for itself.
func step(text []byte, i int) (size int, r rune, escaped bool) {
	if text[i] != '\\' {
		return 1, 0, false
	}
	if i+1 < len(text) && simpleEscapes[text[i+1]] != 0 {
		return 2, rune(simpleEscapes[text[i+1]]), true
	}
	if at(text, i+1) == 'u' && i+6 <= len(text) {
		if n, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 32); err == nil {
			if n >= 0xD800 && n < 0xDC00 && i+12 <= len(text) && text[i+6] == '\\' && text[i+7] == 'u' {
				if low, err := strconv.ParseUint(string(text[i+8:i+12]), 16, 32); err == nil && low >= 0xDC00 && low < 0xE000 {
					return 12, rune((n-0xD800)<<10|(low-0xDC00)) + 0x10000, true
				}
			}
			return 6, rune(n), true
		}
	}
	return 1, 0, false
}

// simpleEscapes are the escapes of one letter.
var simpleEscapes = [256]byte{'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f', '"': '"', '\\': '\\', '/': '/', '\'': '\''}

// unescape appends text without JSON's escapes and says whether it had any. It
// copies eight bytes at a time up to the next backslash.
func unescape(dst, text []byte) ([]byte, bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n, changed := len(dst), false
	dst = slices.Grow(dst, len(text)+8)
	dst = dst[:cap(dst)]
	for i := 0; i < len(text); {
		if i+8 <= len(text) {
			w := binary.LittleEndian.Uint64(text[i:])
			binary.LittleEndian.PutUint64(dst[n:], w)
			w ^= ones * '\\'
			found := (w - ones) &^ w & highs
			if found == 0 {
				i, n = i+8, n+8
				continue
			}
			k := bits.TrailingZeros64(found) / 8
			i, n = i+k, n+k
		} else if text[i] != '\\' {
			dst[n] = text[i]
			i, n = i+1, n+1
			continue
		}
		if i+1 < len(text) && simpleEscapes[text[i+1]] != 0 {
			dst[n] = simpleEscapes[text[i+1]]
			i, n, changed = i+2, n+1, true
			continue
		}
		size, r, escaped := step(text, i)
		i += size
		if escaped {
			n += utf8.EncodeRune(dst[n:], r)
			changed = true
		} else {
			dst[n] = '\\'
			n++
		}
	}
	return dst[:n], changed
}

// cursor finds what bytes of an encoded text some bytes of its decoded form
// take. It walks the text again, which is rare, so that decoding need not keep a
// map, which would be dear. Spans must be asked for from left to right.
type cursor struct {
	text       []byte
	size       func(text []byte, i int) (encoded, decoded int)
	i, decoded int
}

func (c *cursor) span(start, end int) (from, to int) {
	from = c.seek(start)
	return from, c.seek(end)
}

func (c *cursor) seek(decoded int) int {
	for c.i < len(c.text) && c.decoded < decoded {
		encoded, n := c.size(c.text, c.i)
		c.i += encoded
		c.decoded += n
	}
	return c.i
}

// escapedSize is the size of the character at i with and without JSON's escape.
func escapedSize(text []byte, i int) (encoded, decoded int) {
	size, r, escaped := step(text, i)
	if escaped {
		return size, utf8.RuneLen(validRune(r))
	}
	return size, 1
}

// percentSize is the size of the byte at i with and without percent-encoding.
func percentSize(text []byte, i int) (encoded, decoded int) {
	if _, ok := percentByte(text, i); ok {
		return 3, 1
	}
	return 1, 1
}

// validRune is the rune that utf8.AppendRune writes for r.
func validRune(r rune) rune {
	if utf8.ValidRune(r) {
		return r
	}
	return utf8.RuneError
}

// urlChar reports whether c may stand in a URL.
func urlChar(c byte) bool {
	return printable.has(c) && c != '"' && c != '\'' && c != '<' && c != '>' && c != '`' && c != '\\' && c != '{' && c != '}' && c != '|' && c != '^'
}

func percentByte(text []byte, i int) (byte, bool) {
	if text[i] != '%' || !hexDigit.has(at(text, i+1)) || !hexDigit.has(at(text, i+2)) || i+2 >= len(text) {
		return 0, false
	}
	return unhex(text[i+1])<<4 | unhex(text[i+2]), true
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return fold(c) - 'a' + 10
}

// unpercent appends text without percent-encoding and says whether it had any.
func unpercent(dst, text []byte) ([]byte, bool) {
	changed := false
	for i := 0; i < len(text); i++ {
		if c, ok := percentByte(text, i); ok {
			dst = append(dst, c)
			changed = true
			i += 2
			continue
		}
		c := text[i]
		if c == '+' { // a blank, as forms have it
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst, changed
}
