package secrets

import (
	"bytes"
	"maps"
	"slices"
	"strings"
)

// Reach says where an answer's placeholders are put back.
type Reach uint8

const (
	// RestoreAll puts them back in text and in what tools are called with, so that
	// a command or a file works on the developer's machine. An injected prompt can
	// then make a command use the secret, though not read it.
	RestoreAll Reach = iota
	// RestoreText puts them back in text only.
	RestoreText
	// RestoreOff leaves them.
	RestoreOff
)

// Restorer puts secrets back into one answer, event by event. It is not safe
// for concurrent use.
type Restorer struct {
	vault   *Vault
	reach   Reach
	streams map[string]*stream
	unknown map[string]bool
	passed  int
}

// stream is one text that arrives in deltas.
type stream struct {
	// held is the end of what came, if it may begin a placeholder, as written in
	// the delta's JSON string.
	held  []byte
	depth depth
	// before and after are what an event with only the held text has around it, to
	// send if no more deltas come.
	before, after []byte
}

// Restorer returns what restores one answer to this conversation.
func (v *Vault) Restorer(reach Reach) *Restorer {
	return &Restorer{vault: v, reach: reach, streams: map[string]*stream{}, unknown: map[string]bool{}}
}

// Unknown returns the placeholders that the answer has and this conversation
// did not issue. They were left as they are.
func (r *Restorer) Unknown() []string {
	return slices.Sorted(maps.Keys(r.unknown))
}

// Passed returns how many events, or whole answers, could not be restored, as they
// were too large to be held or could not be read, and went on with their
// placeholders, if they had any.
func (r *Restorer) Passed() int { return r.passed }

// Pass says that an event or an answer goes on as it is, because it is too large to
// be held, and calls emit with what was held of the texts before it.
func (r *Restorer) Pass(emit func([]byte)) {
	r.passed++
	r.flush("", emit)
}

// idle reports whether there is nothing to restore.
func (r *Restorer) idle() bool { return r.reach == RestoreOff || r.vault.Len() == 0 }

// Event takes one event of a streamed answer, as JSON, of the Responses API or
// of chat completions, and calls emit with the events to send in its place: the
// very event if nothing was replaced or held back. What emit gets is valid until
// it returns, unless it is the event itself.
func (r *Restorer) Event(event []byte, emit func([]byte)) {
	if r.idle() {
		r.note(event)
		emit(event)
		return
	}
	h := readHead(event)
	if r.reach == RestoreText {
		h.deltas = slices.DeleteFunc(h.deltas, func(d delta) bool { return d.tool })
	}
	switch {
	case bytes.Contains(h.kind, []byte("reasoning")) || bytes.Contains(h.kind, []byte("audio")) || bytes.Contains(h.kind, []byte("image")):
		emit(event)
		return
	case len(h.deltas) > 0:
		emit(r.deltas(event, &h, emit))
		return
	}
	for _, ended := range h.ended(event) {
		r.flush(ended, emit)
	}
	if r.reach == RestoreText && isToolEvent(h.kind) {
		emit(event)
		return
	}
	emit(r.Body(event))
}

// note notes the placeholders in an answer that is left as it is and that this
// conversation did not issue.
func (r *Restorer) note(text []byte) {
	for {
		start, end, t, ok := nextPlaceholder(text)
		if !ok {
			return
		}
		if _, known := r.vault.lookup(t); !known {
			r.unknown[string(text[start:end])] = true
		}
		text = text[end:]
	}
}

// isToolEvent reports whether an event or an item is about a tool's call.
func isToolEvent(kind []byte) bool {
	return bytes.Contains(kind, []byte("_call"))
}

// deltas returns the event with the pieces of texts that it brings restored.
func (r *Restorer) deltas(event []byte, h *head, emit func([]byte)) []byte {
	var out []byte
	copied := 0
	for i := range h.deltas {
		d := &h.deltas[i]
		s := r.streams[d.stream]
		if s == nil {
			s = &stream{}
			r.streams[d.stream] = s
		}
		held := len(s.held)
		restored, rest, changed := r.restore(nil, append(s.held, event[d.start:d.end]...), &s.depth, true)
		if s.held = slices.Clone(rest); len(rest) > 0 {
			if d.last {
				restored, s.held = append(restored, rest...), nil
			} else {
				s.before = append(append(s.before[:0], event[:d.from]...), d.before...)
				s.after = append(append(s.after[:0], d.after...), event[d.to:]...)
			}
		}
		if changed || held > 0 || len(s.held) > 0 {
			out = append(append(out, event[copied:d.start]...), restored...)
			copied = d.end
		}
		if d.last {
			delete(r.streams, d.stream)
		}
	}
	for _, ended := range h.finished {
		r.flush(ended, emit)
	}
	if copied == 0 {
		return event
	}
	return append(out, event[copied:]...)
}

// flush sends what is held of the texts whose names begin so, and forgets them.
func (r *Restorer) flush(prefix string, emit func([]byte)) {
	for _, name := range slices.Sorted(maps.Keys(r.streams)) {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if s := r.streams[name]; len(s.held) > 0 {
			emit(slices.Concat(s.before, s.held, s.after))
		}
		delete(r.streams, name)
	}
}

// restore appends text with the secrets for its placeholders, up to where one
// may begin that text does not end, and returns that rest. Quoted says that text
// is the content of a JSON string, with its escapes.
func (r *Restorer) restore(dst, text []byte, d *depth, quoted bool) (out, rest []byte, changed bool) {
	follow := func(part []byte) {
		if dst = append(dst, part...); quoted {
			part, _ = unescape(nil, part)
		}
		d.write(part)
	}
	for {
		start, end, t, ok := nextPlaceholder(text)
		follow(text[:start])
		if !ok {
			return dst, text[start:], changed
		}
		if e, known := r.vault.lookup(t); known {
			value := e.value
			if !e.verbatim {
				value = escape(nil, value, d.layers())
			}
			d.write(value)
			dst = escape(dst, value, btoi(quoted))
			changed = true
		} else {
			r.unknown[string(text[start:end])] = true
			follow(text[start:end])
		}
		text = text[end:]
	}
}

// Body restores a whole JSON document: an event, or an answer that is not
// streamed. Without a placeholder it returns the very slice.
func (r *Restorer) Body(body []byte) []byte {
	if r.idle() {
		r.note(body)
		return body
	}
	if !bytes.Contains(body, []byte(placeholderHead)) {
		return body
	}
	w := restoring{restorer: r, body: body}
	if _, err := w.value(skipSpace(body, 0)); err != nil {
		r.passed++
		return body
	}
	if w.copied == 0 {
		return body
	}
	return append(w.out, body[w.copied:]...)
}

// restoring is a body on its way back.
type restoring struct {
	restorer *Restorer
	body     []byte
	out      []byte
	copied   int
	depth    int
}

// value restores the value at i.
func (w *restoring) value(i int) (int, error) {
	if w.depth++; w.depth > maxDepth {
		return 0, malformed(i)
	}
	defer func() { w.depth-- }()
	switch at(w.body, i) {
	case '"':
		end, err := skipString(w.body, i+1)
		if err == nil {
			w.text(i+1, end)
		}
		return end + 1, err
	case '[':
		return elements(w.body, i, func(_, i int) (int, error) { return w.value(i) })
	case '{':
		return w.object(i)
	}
	return skipValue(w.body, i)
}

// object restores the object at i, unless it turns out to be one that keeps its
// placeholders.
func (w *restoring) object(i int) (int, error) {
	out, copied, closed := len(w.out), w.copied, false
	end, err := members(w.body, i, func(key []byte, i int) (int, error) {
		if closed || w.keeps(key) {
			return skipValue(w.body, i)
		}
		if string(key) == "type" && w.body[i] == '"' {
			end, err := skipValue(w.body, i)
			closed = err == nil && w.isClosed(w.body[i+1:end-1])
			return end, err
		}
		return w.value(i)
	})
	if closed {
		w.out, w.copied = w.out[:out], copied
	}
	return end, err
}

// isClosed reports whether objects of a type keep their placeholders: reasoning,
// which only the model reads, and calls if only text is restored.
func (w *restoring) isClosed(kind []byte) bool {
	return string(kind) == "reasoning" || isClosedItem(kind) || w.restorer.reach == RestoreText && isToolEvent(kind)
}

// keeps reports whether the value of a member keeps its placeholders.
func (w *restoring) keeps(key []byte) bool {
	switch string(key) {
	case "reasoning", "reasoning_content":
		return true
	case "tool_calls", "function_call":
		return w.restorer.reach == RestoreText
	}
	return false
}

// text restores the string whose content is body[start:end].
func (w *restoring) text(start, end int) {
	raw := w.body[start:end]
	if !bytes.Contains(raw, []byte(placeholderHead)) {
		return
	}
	var d depth
	restored, rest, changed := w.restorer.restore(nil, raw, &d, true)
	if changed {
		w.out = append(append(append(w.out, w.body[w.copied:start]...), restored...), rest...)
		w.copied = end
	}
}
