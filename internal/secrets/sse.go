package secrets

import "bytes"

// SSE restores an answer that comes as server-sent events, whatever the pieces
// in which it comes. Events are held until they are whole, which their reader
// would do too; what has no placeholder goes on as it came, and so does an event
// that is too large to be held.
type SSE struct {
	restorer *Restorer
	limit    int
	held     []byte
	line     int // where the last line of held begins, which has no end yet
	seen     int // as far as this it is known to have none
	// passing says that the event that is coming goes on as it comes, and blank that
	// its last line has been empty so far.
	passing, blank bool
}

// NewSSE returns what restores one stream with r, and holds at most limit bytes,
// and the last piece, of an event.
func NewSSE(r *Restorer, limit int) *SSE { return &SSE{restorer: r, limit: limit} }

// Held returns how many bytes of an event are held that is not whole.
func (s *SSE) Held() int { return len(s.held) }

// Write takes the next piece of the stream and returns what can go on: the very
// slice while the conversation has no placeholders.
func (s *SSE) Write(piece []byte) []byte {
	if len(s.held) == 0 && (s.passing || s.restorer.idle()) {
		if !s.passing {
			s.restorer.note(piece)
			return piece
		}
		passed := s.pass(piece)
		if passed == len(piece) {
			return piece
		}
		return append(bytes.Clone(piece[:passed]), s.Write(piece[passed:])...)
	}
	s.held = append(s.held, piece...)
	var out []byte
	begin := 0
	for {
		n := bytes.IndexByte(s.held[s.seen:], '\n')
		if n < 0 {
			s.seen = len(s.held)
			break
		}
		end := s.seen + n
		isBlank := len(bytes.TrimRight(s.held[s.line:end], "\r")) == 0
		s.line, s.seen = end+1, end+1
		if isBlank { // it ends an event
			out = s.block(out, s.held[begin:s.line])
			begin = s.line
		}
	}
	if len(s.held)-begin > s.limit {
		return s.giveUp(out, begin)
	}
	if begin > 0 {
		const most = 1 << 20 // bytes that are kept for the next event
		rest := s.held[begin:]
		if cap(s.held) > most {
			s.held = nil
		}
		s.held = append(s.held[:0], rest...)
		s.line -= begin
		s.seen -= begin
	}
	return out
}

// giveUp lets the event that begins there go on as it comes.
func (s *SSE) giveUp(out []byte, begin int) []byte {
	s.restorer.Pass(func(event []byte) { out = appendEvent(out, event) })
	s.passing, s.blank = true, len(bytes.TrimRight(s.held[s.line:], "\r")) == 0
	out = append(out, s.held[begin:]...)
	s.held, s.line, s.seen = nil, 0, 0
	return out
}

// pass returns where the event ends in a piece that goes on as it comes, or the
// piece's length.
func (s *SSE) pass(piece []byte) int {
	for i, c := range piece {
		switch {
		case c == '\n' && s.blank:
			s.passing, s.blank = false, false
			return i + 1
		case c != '\r':
			s.blank = c == '\n'
		}
	}
	return len(piece)
}

// Close returns what is left of a stream that ended: what was held of its texts,
// and what came of an event that is not whole.
func (s *SSE) Close() []byte {
	var out []byte
	s.restorer.flush("", func(event []byte) { out = appendEvent(out, event) })
	out = append(out, s.held...)
	s.held, s.line, s.seen = nil, 0, 0
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
