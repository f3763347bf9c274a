package openai

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// pickedLimit is how many bytes of picked values one Fields holds, all of them
// together. What would go beyond it is noted as too long and not held.
const pickedLimit = 64 << 10

// Fields picks a few members out of one JSON object (RFC 8259) as the object's
// bytes pass, in chunks of any size, and holds nothing else: its memory is
// bounded by 64 KiB of picked values, whatever the object's size and depth.
//
// Any valid object is read exactly. In values that are passed over only strings
// and brackets are followed, so that not all invalid JSON is noticed: a member
// can be trusted only as far as whoever reads the object in the end refuses
// invalid JSON. Member names are case-sensitive and compared after their escapes
// are undone ("mod\u0065l" is "model").
type Fields struct {
	shape  *shape
	values []picked
	buf    []byte // the picked values, one after the other
	err    error
	read   int64 // bytes before the chunk at hand
	absent int   // picked members not yet seen
	// measured is the bytes of text in measured members that have ended.
	measured int64

	state  state
	inner  []member // the members of the inner object being read; nil outside one
	member *member  // the member whose value is being read; nil when of no interest
	name   name
	value  skipper
}

// picked is what is known of one member.
type picked struct {
	start, end int32 // within Fields.buf
	seen       bool  // begun at least once
	whole      bool  // ended, and not taken back by a later one of the same name
	tooLong    bool
	repeated   bool
	respelled  bool // seen with other capital letters
}

// state is where in the object the next byte stands.
type state uint8

const (
	beforeObject state = iota
	beforeFirstName
	beforeName
	inName
	beforeColon
	beforeValue
	inValue
	afterValue
	afterObject
	broken
)

// NewFields returns a Fields that picks the members at the given paths: "model",
// or "response.usage" for a member of a member. A path must not lead into
// another ("error" and "error.code"), and a name has at most 40 bytes of ASCII;
// anything else is a mistake in the program, and panics.
func NewFields(paths ...string) *Fields {
	f := fieldsOf(newShape(paths))
	return &f
}

func fieldsOf(s *shape) Fields {
	return Fields{shape: s, values: make([]picked, s.slots), absent: len(s.paths)}
}

// reset makes f ready for the next object. Buffers that grew beyond what a few
// short values need are let go.
func (f *Fields) reset() {
	const enough = 256
	buf := f.buf[:0]
	if cap(buf) > enough {
		buf = nil
	}
	clear(f.values)
	*f = Fields{shape: f.shape, values: f.values, buf: buf, absent: len(f.shape.paths)}
}

// Write reads the next bytes of the object. It keeps nothing of p, and always
// returns len(p) and no error: what is wrong with the object is told by Err.
func (f *Fields) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n, _ := f.step(rest)
		rest = rest[n:]
	}
	return len(p), nil
}

// Raw returns the value at path as it was sent, without the space around it. It
// is valid until the next Write. ok is false when there is no such member, when
// its value has not ended yet, and when it was too long.
func (f *Fields) Raw(path string) (raw []byte, ok bool) {
	raw = f.raw(f.shape.slot(path))
	return raw, raw != nil
}

// String returns the string at path with its escapes undone, and "" when there is
// none or it is something else than a string.
func (f *Fields) String(path string) string { return f.text(f.shape.slot(path)) }

// Bool tells whether the value at path is true, and whether it is a boolean.
func (f *Fields) Bool(path string) (value, ok bool) {
	switch raw, _ := f.Raw(path); string(raw) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// Repeated tells whether the member at path, or the one that it is in, appeared
// more than once so far. The last one counts, as it does for most JSON parsers;
// who must be sure what another parser makes of it refuses.
func (f *Fields) Repeated(path string) bool {
	slot := f.shape.slot(path)
	parent := f.shape.parents[slot]
	return f.values[slot].repeated || parent >= 0 && f.values[parent].repeated
}

// Respelled tells whether a member appeared so far whose name is the one at path
// but for capital letters, which is another member to some JSON parsers and the
// same to others.
func (f *Fields) Respelled(path string) bool { return f.values[f.shape.slot(path)].respelled }

// TooLong tells whether the value at path was too long to be held.
func (f *Fields) TooLong(path string) bool { return f.values[f.shape.slot(path)].tooLong }

// Found tells whether every path has been seen to the end of its value, so that
// there is no need to go on unless Repeated matters.
func (f *Fields) Found() bool { return f.absent == 0 }

// Done tells whether the whole object has been read.
func (f *Fields) Done() bool { return f.state == afterObject }

// Err tells why the bytes so far can't be the beginning of a JSON object, with
// nothing after it but space. It is nil for an object that has not ended yet.
func (f *Fields) Err() error { return f.err }

// raw returns the whole value in a slot, nil when there is none.
func (f *Fields) raw(slot int) []byte {
	v := &f.values[slot]
	if !v.whole || v.tooLong {
		return nil
	}
	return f.buf[v.start:v.end]
}

// text returns the string in a slot, "" when there is none.
func (f *Fields) text(slot int) string { return string(unquote(f.raw(slot))) }

// integer returns the integer in a slot; ok is false for anything else,
// fractions and exponents included.
func (f *Fields) integer(slot int) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(f.raw(slot)), 10, 64)
	return n, err == nil
}

// textBytes is the bytes of text in the measured members so far.
func (f *Fields) textBytes() int64 {
	if f.state == inValue && f.member != nil && f.member.measured {
		return f.measured + f.value.text
	}
	return f.measured
}

// unquote decodes a JSON string; nil when raw is none. Where there is nothing to
// decode the result is a part of raw.
func unquote(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	plain := raw[1 : len(raw)-1]
	for _, c := range plain {
		if c < ' ' || c == '\\' || c >= utf8.RuneSelf {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				return nil
			}
			return []byte(s)
		}
	}
	return plain
}

// step reads until a picked or measured value has ended, which it returns the
// slot of, or to the end of p, with slot -1. It returns how much of p it read.
func (f *Fields) step(p []byte) (n, slot int) {
	slot = -1
	for n < len(p) && slot < 0 {
		switch f.state {
		case inName:
			used, ended := f.name.read(p[n:])
			n += used
			if ended {
				f.state = beforeColon
			}
		case inValue:
			used, ended := f.value.skip(p[n:])
			f.keep(p[n : n+used])
			n += used
			if ended {
				slot = f.endValue()
			}
		case broken:
			n = len(p)
		default:
			switch c := p[n]; c {
			case ' ', '\t', '\r', '\n':
				n++
			default:
				if f.between(c) {
					n++
				} else if f.state == broken {
					f.err = fmt.Errorf("not a JSON object: unexpected character at byte %d", f.read+int64(n))
				}
			}
		}
	}
	f.read += int64(n)
	return n, slot
}

// between reads c, which stands between names and values. It returns false when
// c belongs to what begins there, or breaks the object.
func (f *Fields) between(c byte) (consumed bool) {
	switch {
	case f.state == beforeObject && c == '{':
		f.state = beforeFirstName
	case (f.state == beforeFirstName || f.state == beforeName) && c == '"':
		f.name.begin()
		f.state = inName
	case f.state == beforeColon && c == ':':
		members := f.inner
		if members == nil {
			members = f.shape.members
		}
		f.member = f.name.find(members)
		if f.member == nil && f.shape.watchesCase {
			f.noteRespelled(members)
		}
		f.state = beforeValue
	case f.state == beforeValue:
		return f.beginValue(c)
	case f.state == afterValue && c == ',':
		f.state = beforeName
	case (f.state == afterValue || f.state == beforeFirstName) && c == '}':
		f.state = afterObject
		if f.inner != nil {
			f.inner = nil
			f.state = afterValue
		}
	default:
		f.state = broken
		return false
	}
	return true
}

// beginValue begins the value whose first character is c, and consumes c only
// when it opens an object whose members are wanted.
func (f *Fields) beginValue(c byte) (consumed bool) {
	if !f.value.begin(c) {
		f.state = broken
		return false
	}
	f.state = inValue
	m := f.member
	if m == nil {
		return false
	}
	f.restart(m)
	if len(m.members) > 0 && c == '{' {
		f.inner = m.members
		f.state = beforeFirstName
		return true
	}
	return false
}

// noteRespelled notes the member whose name has been read in other capitals.
func (f *Fields) noteRespelled(members []member) {
	for i := range members {
		if strings.EqualFold(members[i].name, string(f.name.text.bytes())) {
			f.values[members[i].slot].respelled = true
		}
	}
}

// restart notes that m's value begins, and takes back what an earlier member of
// the same name said.
func (f *Fields) restart(m *member) {
	v := &f.values[m.slot]
	*v = picked{start: int32(len(f.buf)), seen: true, repeated: v.seen || v.repeated, respelled: v.respelled}
	for i := range m.members {
		child := &f.values[m.members[i].slot]
		*child = picked{repeated: child.repeated, respelled: child.respelled}
	}
	if v.repeated {
		f.absent = 0
		for slot := range f.shape.paths {
			if !f.values[slot].whole {
				f.absent++
			}
		}
	}
}

// keep holds the next part of a value, if it is a picked one.
func (f *Fields) keep(part []byte) {
	if f.member == nil || !f.member.picked {
		return
	}
	v := &f.values[f.member.slot]
	switch {
	case v.tooLong:
	case len(f.buf)+len(part) > pickedLimit:
		v.tooLong = true
		f.buf = f.buf[:v.start]
	default:
		f.buf = append(f.buf, part...)
	}
}

// endValue ends the value at hand and returns its slot, or -1.
func (f *Fields) endValue() (slot int) {
	f.state = afterValue
	m := f.member
	if m == nil || len(m.members) > 0 {
		return -1
	}
	if m.measured {
		f.measured += f.value.text
		return m.slot
	}
	v := &f.values[m.slot]
	v.end = int32(len(f.buf))
	v.whole = true
	f.absent--
	return m.slot
}
