package openai

import "bytes"

// WatchEvents watches a stream of server-sent events (text/event-stream, as the
// WHATWG HTML standard defines it in 9.2.6): those of the Responses API, and the
// chunks of a chat completion. An event counts once the blank line after it has
// been seen.
func WatchEvents() Watcher {
	return &eventStream{events: newEventReader()}
}

// eventStream takes lines apart. No line is held: only the name of the field at
// its beginning, and of the values what is needed.
type eventStream struct {
	events eventReader

	place   place
	field   short // of the line at hand
	begun   bool  // the first line has ended, so that no byte order mark can come
	afterCR bool  // a line feed now belongs to the line that has ended

	name    short // the event's name
	data    short // the beginning of the event's data
	hasData bool
}

// place is where in a line the next byte stands.
type place uint8

const (
	inField    place = iota
	afterColon       // where one space does not count
	inEvent
	inData
	inOther
)

func (s *eventStream) Terminal() bool { return s.events.terminal }

func (s *eventStream) Answer() Answer { return s.events.answer }

func (s *eventStream) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if s.afterCR {
			s.afterCR = false
			if rest[0] == '\n' {
				rest = rest[1:]
				continue
			}
		}
		end := lineEnd(rest)
		if end < 0 {
			s.part(rest)
			break
		}
		s.part(rest[:end])
		s.endLine()
		s.afterCR = rest[end] == '\r'
		rest = rest[end+1:]
	}
	return len(p), nil
}

// part reads a part of a line, of any length.
func (s *eventStream) part(p []byte) {
	for len(p) > 0 {
		switch s.place {
		case inField:
			colon := bytes.IndexByte(p, ':')
			if colon < 0 {
				s.field.add(p)
				return
			}
			s.field.add(p[:colon])
			p = p[colon+1:]
			s.place = afterColon
		case afterColon:
			if p[0] == ' ' {
				p = p[1:]
			}
			s.beginValue()
		case inEvent:
			s.name.add(p)
			return
		case inData:
			s.data.add(p)
			s.events.write(p)
			return
		case inOther:
			return
		}
	}
}

// beginValue begins the value of the field whose name has been read.
func (s *eventStream) beginValue() {
	field := s.field.bytes()
	if !s.begun {
		field = bytes.TrimPrefix(field, []byte("\ufeff"))
	}
	switch string(field) {
	case "event":
		s.place = inEvent
		s.name.length = 0
	case "data":
		s.place = inData
		if s.hasData {
			s.data.add([]byte{'\n'})
			s.events.write([]byte{'\n'})
		}
		s.hasData = true
	default:
		s.place = inOther // a comment, or a field without meaning here
	}
}

// endLine ends the line at hand, and with it the event if the line is blank.
func (s *eventStream) endLine() {
	blank := s.place == inField && s.field.length == 0
	if s.place == inField || s.place == afterColon {
		s.beginValue() // an empty one
	}
	if blank && s.hasData {
		if string(bytes.TrimSpace(s.data.bytes())) == chatDone {
			s.events.done()
		}
		s.events.end(s.name.bytes())
	}
	if blank {
		s.name.length, s.data.length, s.hasData = 0, 0, false
	}
	s.place, s.field.length, s.begun = inField, 0, true
}

// lineEnd returns where the first line in p ends, at a carriage return or a line
// feed; -1 when it does not end in p. It looks for both in windows, so that a
// stream with only one of the two is not searched to its end line after line.
func lineEnd(p []byte) int {
	const window = 512
	for from := 0; from < len(p); from += window {
		part := p[from:min(from+window, len(p))]
		lf := bytes.IndexByte(part, '\n')
		if lf >= 0 {
			part = part[:lf]
		}
		if cr := bytes.IndexByte(part, '\r'); cr >= 0 {
			return from + cr
		}
		if lf >= 0 {
			return from + lf
		}
	}
	return -1
}
