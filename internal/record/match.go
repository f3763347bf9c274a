package record

import (
	"bytes"
	"slices"
	"unicode"
	"unicode/utf8"
)

const (
	// depths is in how many readings of a body a text is looked for: as it
	// travelled, and with the escapes undone once, twice and three times. Codex
	// sends the outputs of tools as JSON in strings of JSON.
	depths = 4
	// around is how much of a hit's surroundings is kept on each side, in bytes.
	around = 160
)

// matcher looks for a text in a body that comes in pieces.
type matcher struct {
	// readings are of one and the same body, each with one more level of escapes
	// undone than the one before.
	readings [depths]reading
	undo     [depths - 1]unescaper
}

func newMatcher(query Query) *matcher {
	text := []byte(query.Text)
	if query.IgnoreCase {
		text = fold(text)
	}
	var m matcher
	for depth := range m.readings {
		m.readings[depth] = reading{text: text, ignoreCase: query.IgnoreCase, escapesOnly: depth > 0}
	}
	return &m
}

func (m *matcher) write(piece []byte) { m.feed(0, piece, nil) }

func (m *matcher) feed(depth int, piece []byte, made []int) {
	m.readings[depth].write(piece, made)
	if depth < len(m.undo) {
		piece, made = m.undo[depth].write(piece)
		m.feed(depth+1, piece, made)
	}
}

// close ends the body and returns the first hit of the plainest reading, with
// the count of all.
func (m *matcher) close() Hit {
	for depth := range m.undo {
		piece, made := m.undo[depth].flush()
		m.feed(depth+1, piece, made)
	}
	var hit Hit
	for depth := range m.readings {
		count := hit.Count + m.readings[depth].hit.Count
		if hit.Count == 0 {
			hit = m.readings[depth].hit
		}
		hit.Count = count
	}
	return hit
}

// reading looks for a text in one reading of a body.
type reading struct {
	text       []byte
	ignoreCase bool
	// escapesOnly makes a hit of an occurrence only when an escape stood for a
	// part of it: any other was a hit of the reading before.
	escapesOnly bool

	window []byte // the end of what came, from base on
	base   int    // how much came before window
	from   int    // where in window to look next
	made   []int  // where in all that came escapes stood, from window on
	hit    Hit
}

func (r *reading) write(piece []byte, made []int) {
	if missing := around - len(r.hit.After); r.hit.Count > 0 && missing > 0 {
		r.hit.After += string(piece[:min(missing, len(piece))])
	}
	came := r.base + len(r.window)
	for _, at := range made {
		r.made = append(r.made, came+at)
	}
	r.window = append(r.window, piece...)
	if !r.escapesOnly || len(r.made) > 0 {
		r.search()
	}
	r.forget()
}

func (r *reading) search() {
	where := r.window
	if r.ignoreCase {
		where = fold(where)
	}
	for {
		at := bytes.Index(where[r.from:], r.text)
		if at < 0 {
			return
		}
		start := r.from + at
		end := start + len(r.text)
		if r.escapesOnly && !r.madeWithin(start, end) {
			r.from = start + 1
			continue
		}
		r.from = end
		r.hit.Count++
		if r.hit.Count == 1 {
			r.hit.Before = string(r.window[max(0, start-around):start])
			r.hit.Match = string(r.window[start:end])
			r.hit.After = string(r.window[end:min(len(r.window), end+around)])
		}
	}
}

// madeWithin reports whether an escape stood for a part of the window.
func (r *reading) madeWithin(start, end int) bool {
	next, _ := slices.BinarySearch(r.made, r.base+start)
	return next < len(r.made) && r.made[next] < r.base+end
}

// forget keeps of the window what a hit yet to come may begin with, and its
// surroundings.
func (r *reading) forget() {
	r.from = max(r.from, len(r.window)-len(r.text)+1, 0)
	drop := max(0, r.from-around)
	r.window = append(r.window[:0], r.window[drop:]...)
	r.base += drop
	r.from -= drop
	gone, _ := slices.BinarySearch(r.made, r.base)
	r.made = append(r.made[:0], r.made[gone:]...)
}

// fold returns text with each letter in a form that its upper and lower case
// share, in as many bytes as text has. Letters whose cases take different
// numbers of bytes stay as they are.
func fold(text []byte) []byte {
	folded := make([]byte, 0, len(text))
	for len(text) > 0 {
		if c := text[0]; c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			folded, text = append(folded, c), text[1:]
			continue
		}
		char, size := utf8.DecodeRune(text)
		if char == utf8.RuneError {
			folded, text = append(folded, text[:size]...), text[size:]
			continue
		}
		least := char
		for other := unicode.SimpleFold(char); other != char; other = unicode.SimpleFold(other) {
			if utf8.RuneLen(other) == size {
				least = min(least, other)
			}
		}
		folded, text = utf8.AppendRune(folded, least), text[size:]
	}
	return folded
}
