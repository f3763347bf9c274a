// Package keymask puts asterisks in the place of a key wherever it comes up in what
// passes: "sk-" stays, if the key begins so, and each further byte becomes one
// asterisk. The length stays, so nothing around it changes. What holds no key passes
// as it is, without a copy, and nothing is held back but an end that may be the
// beginning of a key.
package keymask

import (
	"bytes"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
)

// A key that is shorter than this, in bytes, might be any word ("EMPTY" is what some
// servers want) and is not masked. Few words begin with "sk-".
const (
	minLength       = 16
	minLengthMarked = 8
	marker          = "sk-"
)

// Mask knows the keys to mask. It never changes. The zero Mask knows none.
type Mask struct {
	patterns []pattern
	longest  int // bytes of the longest pattern
}

// pattern is a key as it may be spelt.
type pattern struct {
	text, mask []byte
	// rare is the piece of text that is searched for, as few texts hold its first
	// byte; it stands at the offset at.
	rare []byte
	at   int
}

// New returns a mask of keys, as they are and with the escapes of JSON, HTML and
// URLs.
func New(keys ...string) *Mask {
	m := &Mask{}
	for _, key := range keys {
		for _, text := range spellings(key) {
			m.patterns = append(m.patterns, newPattern(text))
			m.longest = max(m.longest, len(text))
		}
	}
	return m
}

func spellings(key string) []string {
	if len(key) < minLengthMarked || len(key) < minLength && !strings.HasPrefix(key, marker) {
		return nil
	}
	quoted, _ := json.Marshal(key) // any text can be
	escaped := string(quoted[1 : len(quoted)-1])
	plainly := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key)
	all := []string{
		key, escaped, plainly, strings.ReplaceAll(plainly, "/", `\/`),
		html.EscapeString(key), url.QueryEscape(key), url.PathEscape(key),
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func newPattern(text string) pattern {
	const shortest, longest, rarestFirst = 8, 16, "ZQXJWKVYzqjxHGUBFMNOPLDRSCATIE7968453201vkwybpgfm"
	p := pattern{text: []byte(text), mask: bytes.Repeat([]byte("*"), len(text))}
	if strings.HasPrefix(text, marker) {
		copy(p.mask, marker)
	}
	best := len(rarestFirst)
	for at := range len(text) - shortest + 1 {
		if rank := strings.IndexByte(rarestFirst, text[at]); rank >= 0 && rank < best {
			best, p.at = rank, at
		}
	}
	p.rare = p.text[p.at:min(len(text), p.at+longest)]
	return p
}

// index returns where the pattern begins in text, or -1.
func (p *pattern) index(text []byte) int {
	for from := 0; ; {
		i := bytes.Index(text[from:], p.rare)
		if i < 0 {
			return -1
		}
		if start := from + i - p.at; start >= 0 && bytes.HasPrefix(text[start:], p.text) {
			return start
		}
		from += i + 1
	}
}

// Bytes returns text with each key masked: text itself, if it holds none, else a
// copy.
func (m *Mask) Bytes(text []byte) []byte {
	masked := text
	for i := range m.patterns {
		p := &m.patterns[i]
		for from := 0; ; from += len(p.text) {
			at := p.index(masked[from:])
			if at < 0 {
				break
			}
			if &masked[0] == &text[0] {
				masked = slices.Clone(text)
			}
			from += at
			copy(masked[from:], p.mask)
		}
	}
	return masked
}

// Text is Bytes for a string.
func (m *Mask) Text(text string) string {
	for i := range m.patterns {
		p := &m.patterns[i]
		text = strings.ReplaceAll(text, string(p.text), string(p.mask))
	}
	return text
}

// Values masks each of values in place, and reports whether any held a key.
func (m *Mask) Values(values []string) (found bool) {
	for i, value := range values {
		if masked := m.Text(value); masked != value {
			values[i], found = masked, true
		}
	}
	return found
}

// Fields masks the values of a header or of trailers in place.
func (m *Mask) Fields(fields map[string][]string) {
	for _, values := range fields {
		m.Values(values)
	}
}

// tail returns how many bytes at the end of text may be the beginning of a key.
func (m *Mask) tail(text []byte) (held int) {
	for i := range m.patterns {
		p := &m.patterns[i]
		for at := max(0, len(text)-len(p.text)+1); at < len(text)-held; at++ {
			next := bytes.IndexByte(text[at:], p.text[0])
			if next < 0 {
				break
			}
			if at += next; bytes.HasPrefix(p.text, text[at:]) {
				held = max(held, len(text)-at)
			}
		}
	}
	return held
}
