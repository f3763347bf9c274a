package openai

import "bytes"

// name is a member name as it is read, its escapes undone. A name that can't be
// one of interest, being too long or not ASCII, reads as empty.
type name struct {
	text   short
	escape uint8  // 0: none, 1: after the backslash, 2-5: at a digit of \uXXXX
	code   uint16 // the digits so far
}

func (n *name) begin() { n.text.length, n.escape = 0, 0 }

// read reads up to and including the quote that ends the name.
func (n *name) read(p []byte) (used int, ended bool) {
	for used < len(p) {
		if n.escape > 0 {
			n.unescape(p[used])
			used++
			continue
		}
		plain := used
		for used < len(p) && p[used] != '"' && p[used] != '\\' {
			used++
		}
		n.text.add(p[plain:used])
		if used == len(p) {
			return used, false
		}
		used++
		if p[used-1] == '"' {
			return used, true
		}
		n.escape = 1
	}
	return used, false
}

// unescape reads a character of an escape, after the backslash.
func (n *name) unescape(c byte) {
	switch {
	case n.escape > 1:
		n.digit(c)
	case c == 'u':
		n.escape, n.code = 2, 0
	case c == '"' || c == '\\' || c == '/':
		n.text.add([]byte{c})
		n.escape = 0
	default:
		n.text.overflow() // a control character
		n.escape = 0
	}
}

func (n *name) digit(c byte) {
	digit := bytes.IndexByte([]byte("0123456789abcdef"), c)
	if digit < 0 {
		digit = bytes.IndexByte([]byte("0123456789ABCDEF"), c)
	}
	if digit < 0 {
		n.text.overflow() // no escape that JSON knows
	}
	n.code = n.code<<4 | uint16(digit&0xf)
	n.escape++
	if n.escape < 6 {
		return
	}
	n.escape = 0
	if n.code < 0x80 {
		n.text.add([]byte{byte(n.code)})
	} else {
		n.text.overflow()
	}
}

// find returns the member with this name, nil when there is none.
func (n *name) find(members []member) *member {
	for i := range members {
		if members[i].name == string(n.text.bytes()) {
			return &members[i]
		}
	}
	return nil
}

// maxShort is the most bytes that a short holds.
const maxShort = 40

// short is a piece of text that matters only if it is short: one that is longer
// reads as empty.
type short struct {
	text   [maxShort]byte
	length uint8
}

func (s *short) add(p []byte) {
	if int(s.length)+len(p) > maxShort {
		s.overflow()
		return
	}
	s.length += uint8(copy(s.text[s.length:], p))
}

func (s *short) overflow() { s.length = maxShort + 1 }

func (s *short) bytes() []byte {
	if s.length > maxShort {
		return nil
	}
	return s.text[:s.length]
}
