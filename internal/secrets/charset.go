package secrets

import "math"

// charset is a set of bytes, as a mask over the classes that a byte is in.
type charset uint16

const (
	lowerHex   charset = 1 << iota // a-f
	lowerOther                     // g-z
	upperHex                       // A-F
	upperOther                     // G-Z
	digit                          // 0-9
	underscore
	dash
	plusSlash
	dot
	equals
	tilde
	colon
	symbol  // other printable ASCII
	space   // blank, tab, CR, LF
	foreign // beyond ASCII
	control // what no text has

	lower     = lowerHex | lowerOther
	upper     = upperHex | upperOther
	letter    = lower | upper
	alnum     = letter | digit
	word      = alnum | underscore
	base64url = word | dash
	base64std = alnum | plusSlash
	hexDigit  = digit | lowerHex | upperHex
	printable = base64url | plusSlash | dot | equals | tilde | colon | symbol
)

var classes = classify()

func classify() (t [256]charset) {
	for c := range t {
		switch {
		case c >= 'a' && c <= 'f':
			t[c] = lowerHex
		case c >= 'g' && c <= 'z':
			t[c] = lowerOther
		case c >= 'A' && c <= 'F':
			t[c] = upperHex
		case c >= 'G' && c <= 'Z':
			t[c] = upperOther
		case c >= '0' && c <= '9':
			t[c] = digit
		case c == '_':
			t[c] = underscore
		case c == '-':
			t[c] = dash
		case c == '+' || c == '/':
			t[c] = plusSlash
		case c == '.':
			t[c] = dot
		case c == '=':
			t[c] = equals
		case c == '~':
			t[c] = tilde
		case c == ':':
			t[c] = colon
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			t[c] = space
		case c > ' ' && c < 0x7f:
			t[c] = symbol
		case c >= 0x80:
			t[c] = foreign
		default:
			t[c] = control
		}
	}
	return t
}

func (s charset) has(c byte) bool { return classes[c]&s != 0 }

// run returns the end of the longest run of s that starts at i, at most limit
// bytes long.
func (s charset) run(text []byte, i, limit int) int {
	end := min(len(text), i+limit)
	for i < end && classes[text[i]]&s != 0 {
		i++
	}
	return i
}

// runBack returns the start of the longest run of s that ends at i, at most
// limit bytes long.
func (s charset) runBack(text []byte, i, limit int) int {
	end := max(0, i-limit)
	for i > end && classes[text[i-1]]&s != 0 {
		i--
	}
	return i
}

// all reports whether every byte of text is in s.
func (s charset) all(text []byte) bool { return s.run(text, 0, len(text)) == len(text) }

// content returns the classes that occur in text.
func content(text []byte) (s charset) {
	for _, c := range text {
		s |= classes[c]
	}
	return s
}

// entropy returns Shannon's entropy of text in bits per byte.
func entropy(text []byte) float64 {
	var counts [256]uint16
	if len(text) > math.MaxUint16 {
		text = text[:math.MaxUint16]
	}
	for _, c := range text {
		counts[c]++
	}
	sum, n := 0.0, float64(len(text))
	for _, count := range counts {
		if count > 0 {
			p := float64(count) / n
			sum -= p * math.Log2(p)
		}
	}
	return sum
}

func fold(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// hasFold reports whether text has the lower-case word at i, in any case.
func hasFold(text []byte, i int, word string) bool {
	if i < 0 || len(text)-i < len(word) {
		return false
	}
	for k := range len(word) {
		if fold(text[i+k]) != word[k] {
			return false
		}
	}
	return true
}

// indexFold returns where the lower-case word first occurs in text, in any
// case, or -1.
func indexFold(text []byte, word string) int {
	for i := range len(text) - len(word) + 1 {
		if fold(text[i]) == word[0] && hasFold(text, i, word) {
			return i
		}
	}
	return -1
}

// at returns the byte at i, or a newline outside text: where a text ends a line
// ends.
func at(text []byte, i int) byte {
	if i < 0 || i >= len(text) {
		return '\n'
	}
	return text[i]
}
