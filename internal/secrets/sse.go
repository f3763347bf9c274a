package secrets

import "bytes"

// SSE restores an answer that comes as server-sent events, whatever the pieces
// in which it comes. Events are held until they are whole, which their reader
// would do too; what has no placeholder goes on as it came.
type SSE struct {
	restorer *Restorer
	held     []byte
	line     int // where the last line of held begins, which has no end yet
}

// NewSSE returns what restores one stream with r.
func NewSSE(r *Restorer) *SSE { return &SSE{restorer: r} }

// Write takes the next piece of the stream and returns what can go on: the very
// slice while the conversation has no placeholders.
func (s *SSE) Write(piece []byte) []byte {
	if len(s.held) == 0 && s.restorer.idle() {
		s.restorer.note(piece)
		return piece
	}
	s.held = append(s.held, piece...)
	var out []byte
	begin := 0
	for {
		n := bytes.IndexByte(s.held[s.line:], '\n')
		if n < 0 {
			break
		}
		line := s.held[s.line : s.line+n]
		s.line += n + 1
		if len(bytes.TrimRight(line, "\r")) == 0 { // a blank line ends an event
			out = s.block(out, s.held[begin:s.line])
			begin = s.line
		}
	}
	if begin > 0 {
		s.held = append(s.held[:0], s.held[begin:]...)
		s.line -= begin
	}
	return out
}

// Close returns what is left of a stream that ended: what was held of its texts,
// and what came of an event that is not whole.
func (s *SSE) Close() []byte {
	var out []byte
	s.restorer.flush("", func(event []byte) { out = appendEvent(out, event) })
	out = append(out, s.held...)
	s.held, s.line = nil, 0
	return out
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
	kind := readHead(data).kind
	s.restorer.Event(data, func(event []byte) {
		if !bytes.Equal(kind, readHead(event).kind) { // what was held of an earlier one
			out = appendEvent(out, event)
			return
		}
		out = append(append(out, block[:start]...), event...)
		out = append(out, block[start+len(data):]...)
	})
	return out
}

// appendEvent appends an event of the proxy's own making.
func appendEvent(out, event []byte) []byte {
	if kind := readHead(event).kind; len(kind) > 0 {
		out = append(append(append(out, "event: "...), kind...), '\n')
	}
	return append(append(append(out, "data: "...), event...), "\n\n"...)
}
