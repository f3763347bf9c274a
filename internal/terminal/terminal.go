// Package terminal makes text from elsewhere safe to print on a terminal.
//
// Names, models, prompts and error messages come from other people. An escape
// sequence in one could recolour, overwrite or retitle the terminal, or answer
// for the person who sits at it; a bidirectional control could make a line read
// as what it is not (CVE-2021-25743 and CVE-2021-42574 are such cases).
package terminal

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Safe returns text as one line that cannot drive a terminal: every control
// character (C0 with line feed, carriage return and tab, DEL, C1), every
// control of the writing direction, every line or paragraph separator, every
// character that takes no room (which makes two names look like one, and in which
// text hides) and every byte that is not UTF-8 is replaced by a visible escape such
// as \x1b or \u202e. All else, in any language, stays as it is: also the joiners,
// which scripts and emoji need.
func Safe(text string) string { return escape(text, "") }

// SafeLines is Safe for text of many lines: line feeds and tabs stay.
func SafeLines(text string) string { return escape(text, "\n\t") }

// Cut cuts text of many lines around the first run of what SafeLines replaces. Where
// there is none, all of it comes before.
func Cut(text string) (before, hidden, after string) {
	const keep = "\n\t"
	first := hostileIndex(text, keep)
	if first < 0 {
		return text, "", ""
	}
	end := first
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if !hostile(r, keep) && (r != utf8.RuneError || size > 1) {
			break
		}
		end += size
	}
	return text[:first], text[first:end], text[end:]
}

// escape replaces all that is hostile, except the bytes in keep.
func escape(text, keep string) string {
	first := hostileIndex(text, keep)
	if first < 0 {
		return text
	}
	var out strings.Builder
	out.Grow(len(text) + 16)
	out.WriteString(text[:first])
	for rest := text[first:]; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, rest[0])
		case !hostile(r, keep):
			out.WriteString(rest[:size])
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\r':
			out.WriteString(`\r`)
		case r == '\t':
			out.WriteString(`\t`)
		case r < 0x100:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
		rest = rest[size:]
	}
	return out.String()
}

// hostileIndex is where the first thing to replace is, or -1.
func hostileIndex(text, keep string) int {
	for i, r := range text {
		if hostile(r, keep) {
			return i
		}
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			return i
		}
	}
	return -1
}

func hostile(r rune, keep string) bool {
	switch {
	case r < 0x20:
		return !strings.ContainsRune(keep, r)
	case r < 0x7f:
		return false
	case r <= 0x9f: // DEL and C1
		return true
	case r == '\u061c', r == '\u200e', r == '\u200f', // bidirectional marks
		r >= '\u202a' && r <= '\u202e', // embeddings and overrides
		r == '\u2028', r == '\u2029',   // line and paragraph separators
		r == '\u00ad', r == '\u180e', r == '\u200b', r == '\ufeff', // of no width
		r >= '\u2060' && r <= '\u206f', // isolates, invisible operators
		r >= 0xe0000 && r <= 0xe0fff:   // tags and variation selectors
		return true
	}
	return false
}
