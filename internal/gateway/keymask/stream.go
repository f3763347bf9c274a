package keymask

import (
	"io"
	"slices"
)

// Stream masks what comes piece by piece. The zero Stream masks nothing.
type Stream struct {
	mask *Mask
	held []byte
	// found says that there was a key.
	found bool
}

// Stream returns a stream of its own for each text.
func (m *Mask) Stream() Stream { return Stream{mask: m} }

// Next takes the next piece and returns what can go on: piece itself, unless it or
// what was held before begins or holds a key. It keeps nothing of piece.
func (s *Stream) Next(piece []byte) []byte {
	if s.mask == nil || len(piece) == 0 {
		return piece
	}
	if len(s.held) > 0 {
		piece = slices.Concat(s.held, piece)
	}
	masked := s.mask.Bytes(piece)
	s.found = s.found || &masked[0] != &piece[0]
	ready := len(masked) - s.mask.tail(masked)
	s.held = append(s.held[:0], masked[ready:]...)
	return masked[:ready]
}

// Rest returns, at the end, what was held: it was no key.
func (s *Stream) Rest() []byte {
	rest := s.held
	s.held = nil
	return rest
}

// Found reports whether there was a key so far.
func (s *Stream) Found() bool { return s.found }

// Reader masks what is read from a source.
type Reader struct {
	source io.Reader
	stream Stream
	ready  []byte
	err    error
}

// Reader returns a reader of the masked source. It reads no further ahead than the
// source gives at once.
func (m *Mask) Reader(source io.Reader) *Reader {
	return &Reader{source: source, stream: m.Stream()}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (n int, err error) {
	for {
		if len(r.ready) > 0 {
			n = copy(p, r.ready)
			r.ready = r.ready[n:]
		}
		switch {
		case len(r.ready) > 0 || n > 0 && r.err == nil || len(p) == 0:
			return n, nil
		case r.err != nil:
			return n, r.err
		}
		var read int
		read, r.err = r.source.Read(p)
		r.ready = r.stream.Next(p[:read])
		if r.err != nil {
			if rest := r.stream.Rest(); len(rest) > 0 {
				r.ready = slices.Concat(r.ready, rest)
			}
		}
	}
}

// Found reports whether there was a key so far.
func (r *Reader) Found() bool { return r.stream.Found() }
