package secrets

import (
	"bytes"
	"strconv"
)

// hit is a secret in a body: raw[start:end], within the string whose content
// is raw[open:close]. Offsets count from where the value that was walked begins.
type hit struct {
	rule        *rule
	start, end  int
	open, close int
	encoding    Encoding
	path        string
	known       bool // a value that the conversation replaced before
	bare        bool // the text is no JSON string, so it has no escapes of its own
	isName      bool // the string is a member's name
}

// decode returns a part of the hit's string as that string's reader sees it.
func (h *hit) decode(part []byte) []byte {
	if h.bare {
		return part
	}
	part, _ = unescape(nil, part)
	return part
}

// isClosedItem reports whether items of a type are not looked into at all: they
// are OpenAI's own state, or data.
func isClosedItem(kind []byte) bool {
	return bytes.HasPrefix(kind, []byte("compaction")) || bytes.HasSuffix(kind, []byte("compaction")) || string(kind) == "item_reference" || string(kind) == "image_generation_call"
}

// minName is the shortest name of a member in which a secret is looked for.
const minName = 12

// walker visits the strings of a body that are text. Its body is valid.
type walker struct {
	raw  []byte
	path []byte
	// text is told of a string's content, and name of a member's.
	text func(open, close int, key []byte)
	name func(open, close int)
}

// value visits the value at i, which has the name key in its object and stands in
// that place.
func (w *walker) value(i int, key []byte, in *place) (int, error) {
	switch at(w.raw, i) {
	case '"':
		end, err := skipString(w.raw, i+1)
		if err != nil {
			return 0, err
		}
		w.text(i+1, end, key)
		return end + 1, nil
	case '{':
		return members(w.raw, i, func(key []byte, i int) (int, error) { return w.member(key, i, in) })
	case '[':
		return elements(w.raw, i, func(n, value int) (int, error) {
			mark := w.push('[', strconv.AppendInt(nil, int64(n), 10))
			defer w.pop(mark)
			return w.value(value, key, in)
		})
	}
	return skipValue(w.raw, i)
}

// member visits the member of an object in that place whose value is at i.
func (w *walker) member(key []byte, i int, in *place) (int, error) {
	if len(key) >= minName {
		w.name(keyBefore(w.raw, i))
	}
	mark := w.push('.', key)
	defer w.pop(mark)
	isID, isData := in.hasID(key), in.hasData(key)
	if w.raw[i] != '"' || !isID && !isData {
		return w.value(i, key, in.of(key))
	}
	end, err := skipString(w.raw, i+1)
	if err != nil {
		return 0, err
	}
	w.exempt(i+1, end, key, isID)
	return end + 1, nil
}

// exempt visits a string in an exempt place: what of it has not the form that the
// place is exempt for.
func (w *walker) exempt(open, close int, key []byte, id bool) {
	content := w.raw[open:close]
	switch {
	case id && isID(content):
	case id:
		w.text(open, close, key)
	default:
		if searched := dataIn(content); searched > 0 {
			w.text(open, open+searched, key)
		}
	}
}

// maxPath bounds a path, in bytes, about: each finding has one.
const maxPath = 512

// push adds a step to the path, and returns what pop needs to take it off.
func (w *walker) push(kind byte, step []byte) int {
	mark := len(w.path)
	if mark > maxPath {
		return mark
	}
	step = step[:min(len(step), maxPath)]
	if kind == '.' {
		w.path = append(append(w.path, '.'), step...)
		return mark
	}
	w.path = append(append(append(w.path, '['), step...), ']')
	return mark
}

func (w *walker) pop(mark int) { w.path = w.path[:mark] }

// plainMembers hold text, so that their names say nothing about it.
var plainMembers = set("text", "output", "input", "arguments", "content", "summary", "instructions", "command", "description", "delta")

// visit returns a walker over raw that appends the secrets of the strings to
// *hits.
func (wk *work) visit(raw []byte, hits *[]hit) *walker {
	w := &walker{raw: raw}
	find := func(open, close int, key []byte, isName bool) {
		content := raw[open:close]
		escaped := bytes.IndexByte(content, '\\') >= 0
		if escaped {
			wk.content, _ = unescape(wk.content[:0], content)
			content = wk.content
		}
		found := wk.scan(content)
		if len(found) == 0 && !isName {
			if r := wk.scanner.named(key, content); r != nil {
				found = append(found, match{rule: r, start: 0, end: len(content)})
			}
		}
		spans := cursor{text: raw[open:close], size: escapedSize}
		for _, m := range found {
			start, end := m.start, m.end
			if escaped {
				start, end = spans.span(start, end)
			}
			*hits = append(*hits, hit{
				rule: m.rule, start: open + start, end: open + end, open: open, close: close,
				encoding: m.encoding, path: string(w.path), isName: isName,
			})
		}
	}
	w.text = func(open, close int, key []byte) { find(open, close, key, false) }
	w.name = func(open, close int) { find(open, close, nil, true) }
	return w
}

// named judges a value that is all of a JSON member by the member's name.
func (s *Scanner) named(key, value []byte) *rule {
	if !s.names || len(value) < 5 || len(value) > longestToken || plainMembers[string(key)] {
		return nil
	}
	var n name
	n.split(key)
	kind := n.kind()
	if kind == namesNothing {
		return nil
	}
	r := judge(value, s.issuers, &n, kind, 0, 0, len(value), false, &target{})
	if r == nil || s.isNewer(r) || s.allows(r, value) {
		return nil
	}
	return r
}
