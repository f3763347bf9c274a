package secrets

import (
	"bytes"
	"unicode/utf8"
)

const (
	// shortestBase64 is the shortest run that is decoded, in bytes.
	shortestBase64 = 24
	// base64Stride is how far apart runs are looked for: every run that is long
	// enough has such a place in it.
	base64Stride = shortestBase64
	// shortestWrap is the shortest line after which wrapped base64 goes on.
	shortestWrap  = 60
	longestBase64 = 8 << 20
)

// base64Values maps both alphabets, of RFC 4648 sections 4 and 5, to their
// values, and all else to 0xFF.
var base64Values = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xFF
	}
	for i, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") {
		t[c] = byte(i)
	}
	t['+'], t['/'], t['-'], t['_'] = 62, 63, 62, 63
	return t
}()

func base64Char(c byte) bool { return base64Values[c] != 0xFF }

// base64Run returns the run of base64 around i and not before from, its padding
// and the lines it is wrapped into included.
func base64Run(text []byte, from, i int) (start, end int) {
	start = i
	for start > from && i-start < longestBase64 && base64Char(text[start-1]) {
		start--
	}
	for line := start; ; {
		for i < len(text) && base64Char(text[i]) {
			i++
		}
		end = i
		for end < len(text) && text[end] == '=' && end-i < 2 {
			end++
		}
		next := end
		if at(text, next) == '\r' {
			next++
		}
		if end > i || end-line < shortestWrap || next >= len(text) || text[next] != '\n' || end-start > longestBase64 {
			return start, end
		}
		next = skipBlanks(text, next+1)
		if next >= len(text) || !base64Char(text[next]) {
			return start, end
		}
		line, i = next, next
	}
}

// decodeBase64 decodes as much of text as fits dst and is base64 of either
// alphabet, passing over line breaks, and returns how many bytes that gave.
func decodeBase64(dst, text []byte) int {
	n, bits, held := 0, uint32(0), 0
	for _, c := range text {
		value := base64Values[c]
		if value == 0xFF {
			if space.has(c) {
				continue
			}
			break
		}
		bits = bits<<6 | uint32(value)
		if held++; held == 4 {
			if n+3 > len(dst) {
				return n
			}
			dst[n], dst[n+1], dst[n+2] = byte(bits>>16), byte(bits>>8), byte(bits)
			n, bits, held = n+3, 0, 0
		}
	}
	if held >= 2 && n < len(dst) {
		bits <<= 6 * (4 - held)
		dst[n] = byte(bits >> 16)
		n++
		if held == 3 && n < len(dst) {
			dst[n] = byte(bits >> 8)
			n++
		}
	}
	return n
}

// looksLikeText reports whether the first bytes that a run encodes are text.
// It is asked of every long word, path and hash, so it looks at twelve only.
func looksLikeText(run []byte) bool {
	var head [12]byte
	n := decodeBase64(head[:], run[:min(len(run), 16)])
	return n >= 8 && (mostlyText(trimRune(head[:n])) || isWide(head[:n]))
}

// isWide reports whether text is ASCII in UTF-16, as PowerShell encodes it.
func isWide(text []byte) bool {
	return len(text) >= 8 && text[0] != 0 && text[1] == 0 && text[2] != 0 && text[3] == 0 && text[5] == 0 && text[7] == 0
}

// trimRune drops a character that is cut off at the end.
func trimRune(text []byte) []byte {
	for i := 1; i <= 3 && i <= len(text); i++ {
		c := text[len(text)-i]
		if c < utf8.RuneSelf {
			break
		}
		if c >= 0xC0 {
			return text[:len(text)-i]
		}
	}
	return text
}

// isText reports whether text is UTF-8 without control characters.
func isText(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7F {
			return false
		}
	}
	return utf8.Valid(text)
}

// mostlyText reports whether text is UTF-8 without control characters but for
// one byte in sixteen, as a terminal's colours or another charset's letters are.
func mostlyText(text []byte) bool {
	others, most := 0, (len(text)+15)/16
	for i := 0; i < len(text) && others <= most; {
		if c := text[i]; c < utf8.RuneSelf {
			others += btoi(c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7F)
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		others += btoi(r == utf8.RuneError && size == 1)
		i += size
	}
	return others <= most
}

// decodeText appends what a run encodes, or nothing if that is no text.
func decodeText(dst, run []byte) []byte {
	size := len(run)/4*3 + 3
	if cap(dst) < size {
		dst = make([]byte, 0, size)
	}
	dst = dst[:decodeBase64(dst[:size], run)]
	if isWide(dst) {
		dst = bytes.ReplaceAll(dst, []byte{0}, nil)
	}
	if !mostlyText(dst) {
		return dst[:0]
	}
	return dst
}
