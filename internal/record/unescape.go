package record

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unescaper undoes the escapes of JSON strings in a text that comes in pieces.
// It minds escapes alone, not quotes, so that it does for a whole JSON document
// what it does for one string in it. What is no escape stays as it is.
type unescaper struct {
	rest []byte // an escape whose end has not come yet
	in   []byte // rest and the piece after it
	out  []byte
	made []int
}

// write takes the next piece. It returns what the text so far means, as far as
// it was not returned before, and where in it the characters begin that
// escapes stood for. Both are valid until the next call.
func (u *unescaper) write(piece []byte) (text []byte, made []int) { return u.undo(piece, false) }

// flush returns what is left when the text has ended.
func (u *unescaper) flush() (text []byte, made []int) { return u.undo(nil, true) }

func (u *unescaper) undo(piece []byte, last bool) ([]byte, []int) {
	u.out, u.made = u.out[:0], u.made[:0]
	if len(u.rest) > 0 {
		u.in = append(append(u.in[:0], u.rest...), piece...)
		u.rest, piece = u.rest[:0], u.in
	}
	for {
		slash := bytes.IndexByte(piece, '\\')
		if slash < 0 {
			u.out = append(u.out, piece...)
			return u.out, u.made
		}
		u.out = append(u.out, piece[:slash]...)
		piece = piece[slash:]
		char, size := unescape(piece, last)
		switch {
		case size == 0:
			u.rest = append(u.rest, piece...)
			return u.out, u.made
		case char < 0:
			u.out = append(u.out, piece[:size]...)
		default:
			u.made = append(u.made, len(u.out))
			u.out = utf8.AppendRune(u.out, char)
		}
		piece = piece[size:]
	}
}

// unescape reads the escape that text begins with and returns the character it
// stands for and its size in bytes. The character is negative when this is no
// escape, the size 0 when its end has not come and may still come.
func unescape(text []byte, last bool) (char rune, size int) {
	if len(text) < 2 {
		return incomplete(len(text), last)
	}
	switch text[1] {
	case '"', '\\', '/':
		return rune(text[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return -1, 1
	}
	if len(text) < 6 {
		return incomplete(1, last)
	}
	first := hexRune(text[2:6])
	if first < 0 || !utf16.IsSurrogate(first) {
		if first < 0 {
			return -1, 1
		}
		return first, 6
	}
	if len(text) < 12 {
		if last || !bytes.HasPrefix([]byte(`\u`), text[6:min(8, len(text))]) {
			return utf8.RuneError, 6
		}
		return 0, 0
	}
	if text[6] == '\\' && text[7] == 'u' {
		if pair := utf16.DecodeRune(first, hexRune(text[8:12])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// incomplete answers for a text that ends within an escape.
func incomplete(size int, last bool) (rune, int) {
	if last {
		return -1, size
	}
	return 0, 0
}

// hexRune reads four hexadecimal digits; -1 when they are not.
func hexRune(digits []byte) rune {
	value, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return -1
	}
	return rune(value)
}
