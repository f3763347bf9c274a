package secrets

import (
	"bytes"
	"maps"
	"slices"
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
}

// stream is one text that arrives in deltas.
type stream struct {
	// held is the end of what came, if it may begin a placeholder.
	held  []byte
	depth depth
	// event is the last delta's event, and value where its delta stands, to send
	// what is held if no more deltas come.
	event      []byte
	start, end int
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

// Event takes one event of a streamed answer, as JSON, and calls emit with the
// events to send in its place: the very event if nothing was replaced or held
// back. What emit gets is valid until it returns, unless it is the event itself.
func (r *Restorer) Event(event []byte, emit func([]byte)) {
	if r.reach == RestoreOff || r.vault.Len() == 0 {
		emit(event)
		return
	}
	head := eventHead(event)
	switch {
	case bytes.Contains(head.kind, []byte("reasoning")) || bytes.Contains(head.kind, []byte("audio")) || bytes.Contains(head.kind, []byte("image")):
		emit(event)
	case r.reach == RestoreText && isToolEvent(head.kind):
		emit(event)
	case bytes.HasSuffix(head.kind, []byte(".delta")) && head.deltaEnd > 0:
		r.delta(event, head, emit)
	default:
		if bytes.HasSuffix(head.kind, []byte(".done")) {
			r.flush(head, emit)
		}
		emit(r.Body(event))
	}
}

// isToolEvent reports whether an event or an item is about a tool's call.
func isToolEvent(kind []byte) bool {
	return bytes.Contains(kind, []byte("_call"))
}

// head is what an event says about itself.
type head struct {
	kind                 []byte
	item, output, part   []byte // item_id, output_index and content_index, as written
	deltaStart, deltaEnd int    // the content of the string "delta"
}

func eventHead(event []byte) (h head) {
	i := skipSpace(event, 0)
	if at(event, i) != '{' {
		return h
	}
	_, _ = members(event, i, func(key []byte, i int) (int, error) {
		end, err := skipValue(event, i)
		if err != nil {
			return 0, err
		}
		switch string(key) {
		case "type":
			h.kind = bytes.Trim(event[i:end], `"`)
		case "item_id":
			h.item = event[i:end]
		case "output_index":
			h.output = event[i:end]
		case "content_index":
			h.part = event[i:end]
		case "delta":
			if event[i] == '"' {
				h.deltaStart, h.deltaEnd = i+1, end-1
			}
		}
		return end, nil
	})
	return h
}

// key names the stream that a delta belongs to.
func (h *head) key() string {
	kind := h.kind[:max(0, bytes.LastIndexByte(h.kind, '.'))]
	return string(kind) + "\x00" + string(h.item) + "\x00" + string(h.output) + "\x00" + string(h.part)
}

// delta restores a piece of a text.
func (r *Restorer) delta(event []byte, h head, emit func([]byte)) {
	raw := event[h.deltaStart:h.deltaEnd]
	key := h.key()
	s := r.streams[key]
	if s == nil {
		s = &stream{}
		r.streams[key] = s
	}
	piece, _ := unescape(nil, raw)
	text := append(s.held, piece...)
	restored, rest, changed := r.restore(nil, text, &s.depth)
	if !changed && len(s.held) == 0 && len(rest) == 0 {
		emit(event)
		return
	}
	s.held = append([]byte(nil), rest...)
	if len(rest) > 0 {
		s.event, s.start, s.end = append(s.event[:0], event...), h.deltaStart, h.deltaEnd
	}
	emit(exchange(event, h.deltaStart, h.deltaEnd, restored))
}

// exchange returns event with text, escaped, for the content [start, end) of a
// string.
func exchange(event []byte, start, end int, text []byte) []byte {
	out := make([]byte, 0, len(event)+len(text))
	out = escape(append(out, event[:start]...), text, 1)
	return append(out, event[end:]...)
}

// flush sends what is held of the text that ends with this event.
func (r *Restorer) flush(h head, emit func([]byte)) {
	s := r.streams[h.key()]
	if s == nil {
		return
	}
	delete(r.streams, h.key())
	if len(s.held) > 0 {
		emit(exchange(s.event, s.start, s.end, s.held))
	}
}

// restore appends text with the secrets for its placeholders, up to where one
// may begin that text does not end, and returns that rest.
func (r *Restorer) restore(dst, text []byte, d *depth) (out, rest []byte, changed bool) {
	for {
		start, end, t, ok := nextPlaceholder(text)
		d.write(text[:start])
		dst = append(dst, text[:start]...)
		if !ok {
			return dst, text[start:], changed
		}
		if e, known := r.vault.lookup(t); known {
			layers := 0
			if !e.verbatim {
				layers = d.layers()
			}
			before := len(dst)
			dst = escape(dst, e.value, layers)
			d.write(dst[before:])
			changed = true
		} else {
			r.unknown[string(text[start:end])] = true
			d.write(text[start:end])
			dst = append(dst, text[start:end]...)
		}
		text = text[end:]
	}
}

// Body restores a whole JSON document: an event, or an answer that is not
// streamed. Without a placeholder it returns the very slice.
func (r *Restorer) Body(body []byte) []byte {
	if r.reach == RestoreOff || r.vault.Len() == 0 || !bytes.Contains(body, []byte(placeholderHead)) {
		return body
	}
	w := restoring{restorer: r, body: body}
	if _, err := w.value(skipSpace(body, 0)); err != nil || w.copied == 0 {
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
	if w.depth++; w.depth > deepestBody {
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
		end, err := skipValue(w.body, i)
		if err != nil || w.isClosed(i) {
			return end, err
		}
		return members(w.body, i, func(key []byte, i int) (int, error) {
			if untouched[string(key)] || bytes.HasSuffix(key, []byte("_id")) {
				return skipValue(w.body, i)
			}
			return w.value(i)
		})
	}
	return skipValue(w.body, i)
}

// isClosed reports whether the object at i is one that keeps its placeholders:
// reasoning, which only the model reads, and calls if only text is restored.
func (w *restoring) isClosed(i int) bool {
	kind := eventHead(w.body[i:]).kind
	return string(kind) == "reasoning" || isClosedItem(kind) || w.restorer.reach == RestoreText && isToolEvent(kind)
}

// text restores the string whose content is body[start:end].
func (w *restoring) text(start, end int) {
	raw := w.body[start:end]
	if !bytes.Contains(raw, []byte(placeholderHead)) {
		return
	}
	var d depth
	for {
		at, length, t, ok := nextPlaceholder(raw)
		if !ok {
			return
		}
		before, _ := unescape(nil, raw[:at])
		d.write(before)
		e, known := w.restorer.vault.lookup(t)
		if known {
			w.out = append(w.out, w.body[w.copied:start+at]...)
			value := e.value
			if !e.verbatim {
				value = escape(nil, value, d.layers())
			}
			w.out = escape(w.out, value, 1)
			w.copied = start + length
			d.write(value)
		} else {
			w.restorer.unknown[string(raw[at:length])] = true
			d.write(raw[at:length])
		}
		start, raw = start+length, raw[length:]
	}
}
