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
}

// decode returns a part of the hit's string as that string's reader sees it.
func (h *hit) decode(part []byte) []byte {
	if h.bare {
		return part
	}
	part, _ = unescape(nil, part)
	return part
}

// untouched are the members whose values are ids, data or what is not text: to
// look into them finds nothing, to alter them is an error at OpenAI. Members
// whose names end in "_id" are untouched too.
var untouched = set(
	"id", "encrypted_content", "prompt_cache_key", "safety_identifier", "model", "type", "role", "status", "name", "namespace", "phase",
	"parameters", "input_schema", "output_schema", "schema", "format", "strict", "tool_choice", "include", "service_tier", "truncation", "effort",
	"image_url", "file_data", "file_url", "file_name", "filename", "input_audio", "audio", "image", "b64_json", "partial_image_b64", "media_type", "mime_type",
)

// isClosedItem reports whether items of a type are not looked into at all: they
// are OpenAI's own state, or data.
func isClosedItem(kind []byte) bool {
	return bytes.HasPrefix(kind, []byte("compaction")) || bytes.HasSuffix(kind, []byte("compaction")) || string(kind) == "item_reference" || string(kind) == "image_generation_call"
}

// deepestBody bounds the nesting of a body.
const deepestBody = 200

// walker visits the strings of a body that are text.
type walker struct {
	raw   []byte
	path  []byte
	depth int
	text  func(open, close int, key []byte)
	// drop forgets what was visited since the raw offset.
	drop func(since int)
}

// value visits the value at i, which has the name key in its object.
func (w *walker) value(i int, key []byte) (int, error) {
	if w.depth++; w.depth > deepestBody {
		return 0, malformed(i)
	}
	defer func() { w.depth-- }()
	switch at(w.raw, i) {
	case '"':
		end, err := skipString(w.raw, i+1)
		if err != nil {
			return 0, err
		}
		w.text(i+1, end, key)
		return end + 1, nil
	case '{':
		return w.object(i)
	case '[':
		return elements(w.raw, i, func(n, value int) (int, error) {
			mark := w.push('[', strconv.AppendInt(nil, int64(n), 10))
			defer w.pop(mark)
			return w.value(value, key)
		})
	}
	return skipValue(w.raw, i)
}

// object visits the members of the object at i.
func (w *walker) object(start int) (int, error) {
	closed := false
	end, err := members(w.raw, start, func(key []byte, i int) (int, error) {
		switch {
		case closed:
			return skipValue(w.raw, i)
		case string(key) == "type" && at(w.raw, i) == '"':
			end, err := skipValue(w.raw, i)
			closed = err == nil && isClosedItem(w.raw[i+1:end-1])
			return end, err
		case string(key) == "tools" && at(w.raw, i) == '[':
			mark := w.push('.', key)
			defer w.pop(mark)
			return w.tools(i)
		case untouched[string(key)] || bytes.HasSuffix(key, []byte("_id")):
			return skipValue(w.raw, i)
		}
		mark := w.push('.', key)
		defer w.pop(mark)
		return w.value(i, key)
	})
	if closed {
		w.drop(start)
	}
	return end, err
}

// tools visits the descriptions of tools and of what groups them. Their names
// and schemas are what the model's calls must agree with.
func (w *walker) tools(i int) (int, error) {
	return elements(w.raw, i, func(n, tool int) (int, error) {
		mark := w.push('[', strconv.AppendInt(nil, int64(n), 10))
		defer w.pop(mark)
		return w.tool(tool)
	})
}

func (w *walker) tool(i int) (int, error) {
	if w.depth++; w.depth > deepestBody {
		return 0, malformed(i)
	}
	defer func() { w.depth-- }()
	if at(w.raw, i) != '{' {
		return skipValue(w.raw, i)
	}
	return members(w.raw, i, func(key []byte, i int) (int, error) {
		mark := w.push('.', key)
		defer w.pop(mark)
		switch c := at(w.raw, i); {
		case string(key) == "description" && c == '"':
			return w.value(i, key)
		case string(key) == "tools" && c == '[':
			return w.tools(i)
		case string(key) == "function" && c == '{': // as chat completions have it
			return w.tool(i)
		}
		return skipValue(w.raw, i)
	})
}

// push adds a step to the path, and returns what pop needs to take it off.
func (w *walker) push(kind byte, step []byte) int {
	mark := len(w.path)
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
	w.text = func(open, close int, key []byte) {
		content := raw[open:close]
		escaped := bytes.IndexByte(content, '\\') >= 0
		if escaped {
			wk.content, _ = unescape(wk.content[:0], content)
			content = wk.content
		}
		found := wk.scan(content)
		if r := wk.scanner.named(key, content); r != nil && len(found) == 0 {
			found = append(found, match{rule: r, start: 0, end: len(content)})
		}
		spans := cursor{text: raw[open:close], size: escapedSize}
		for _, m := range found {
			start, end := m.start, m.end
			if escaped {
				start, end = spans.span(start, end)
			}
			*hits = append(*hits, hit{rule: m.rule, start: open + start, end: open + end, open: open, close: close, encoding: m.encoding, path: string(w.path)})
		}
	}
	w.drop = func(since int) {
		for n := len(*hits); n > 0 && (*hits)[n-1].start >= since; n-- {
			*hits = (*hits)[:n-1]
		}
	}
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
