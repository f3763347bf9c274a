package secrets

import "bytes"

// SSE restores an answer that comes as server-sent events, whatever the pieces
// in which it comes. Events are held until they are whole, which their reader
// would do too; what has no placeholder goes on as it came.
type SSE struct {
	restorer *Restorer
	held     []byte
}

// NewSSE returns what restores one stream with r.
func NewSSE(r *Restorer) *SSE { return &SSE{restorer: r} }

// Write takes the next piece of the stream and returns what can go on: the very
// slice while the conversation has no placeholders.
func (s *SSE) Write(piece []byte) []byte {
	if len(s.held) == 0 && (s.restorer.reach == RestoreOff || s.restorer.vault.Len() == 0) {
		return piece
	}
	s.held = append(s.held, piece...)
	var out []byte
	for {
		end := blockEnd(s.held)
		if end < 0 {
			s.held = append([]byte(nil), s.held...)
			return out
		}
		out = s.block(out, s.held[:end])
		s.held = s.held[end:]
	}
}

// Close returns what is left of a stream that ended inside an event.
func (s *SSE) Close() []byte {
	rest := s.held
	s.held = nil
	return rest
}

// blockEnd returns the end of the first event, its blank line included, or -1.
func blockEnd(text []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(text[i:], '\n')
		if n < 0 {
			return -1
		}
		line := text[i : i+n]
		i += n + 1
		if len(bytes.TrimRight(line, "\r")) == 0 {
			return i
		}
	}
}

// block appends one event with its secrets restored.
func (s *SSE) block(out, block []byte) []byte {
	i := bytes.Index(block, []byte("data:"))
	if i < 0 || i > 0 && block[i-1] != '\n' {
		return append(out, block...)
	}
	start := skipBlanks(block, i+len("data:"))
	end := start + bytes.IndexByte(block[start:], '\n')
	data := bytes.TrimRight(block[start:end], "\r")
	s.restorer.Event(data, func(event []byte) {
		if kind := eventHead(event).kind; !bytes.Equal(kind, eventHead(data).kind) { // what was held of an earlier one
			out = append(append(append(out, "event: "...), kind...), "\ndata: "...)
			out = append(append(out, event...), "\n\n"...)
			return
		}
		out = append(append(out, block[:start]...), event...)
		out = append(out, block[start+len(data):]...)
	})
	return out
}
