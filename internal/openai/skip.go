package openai

import "bytes"

// skipper finds the end of one JSON value as its bytes pass. It follows strings
// and counts brackets, so that it needs no stack and no depth is too deep.
type skipper struct {
	depth    int
	scalar   bool // a number, true, false or null
	inString bool
	escaped  bool // the next byte of the string stands after a backslash
	// text is the bytes so far of the strings in the value, escapes as they are
	// and member names not included; last is the part of it that turns out to be
	// a name when a colon follows.
	text, last int64
}

// begin begins the value whose first character is c, which skip then gets. It
// returns false when no value begins so.
func (s *skipper) begin(c byte) bool {
	*s = skipper{scalar: isScalar[c]}
	return s.scalar || c == '"' || c == '{' || c == '['
}

// skip reads on to the value's end. A number, true, false or null ends before
// the first byte that can't be part of one.
func (s *skipper) skip(p []byte) (n int, ended bool) {
	if s.scalar {
		for n < len(p) && isScalar[p[n]] {
			n++
		}
		return n, n < len(p)
	}
	for n < len(p) {
		if s.inString {
			used, closed := s.skipString(p[n:])
			n += used
			if !closed {
				return n, false
			}
			if s.depth == 0 {
				return n, true
			}
		}
		for n < len(p) && !isStructure[p[n]] {
			n++
		}
		if n == len(p) {
			return n, false
		}
		c := p[n]
		n++
		switch c {
		case '"':
			s.inString = true
			s.last = 0
		case ':':
			s.text -= s.last
			s.last = 0
		case '{', '[':
			s.depth++
		case '}', ']':
			s.depth--
			if s.depth == 0 {
				return n, true
			}
		}
	}
	return n, false
}

// skipString reads on to the string's end, and past the quote that closes it.
// It jumps from quote to quote: one is escaped when the run of backslashes
// before it is odd.
func (s *skipper) skipString(p []byte) (n int, closed bool) {
	if s.escaped {
		s.escaped = false
		n = 1
	}
	for {
		quote := bytes.IndexByte(p[n:], '"')
		end := n + quote
		if quote < 0 {
			end = len(p)
		}
		start := end
		for start > n && p[start-1] == '\\' {
			start--
		}
		odd := (end-start)%2 == 1
		if quote < 0 {
			s.escaped = odd
			s.count(len(p))
			return len(p), false
		}
		n = end + 1
		if !odd {
			s.inString = false
			s.count(end)
			return n, true
		}
	}
}

func (s *skipper) count(n int) {
	s.text += int64(n)
	s.last += int64(n)
}

// isScalar are the bytes that numbers, true, false and null are made of, and
// those of NaN and its like, which some parsers take.
var isScalar = bytesOf("0123456789+-.ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")

// isStructure are the bytes outside strings that skip has to look at.
var isStructure = bytesOf(`"{}[]:`)

func bytesOf(set string) (table [256]bool) {
	for i := range len(set) {
		table[set[i]] = true
	}
	return table
}
