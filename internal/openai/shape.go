package openai

import (
	"bytes"
	"strings"
)

// shape is what a Fields looks for. It never changes, so that one serves many.
type shape struct {
	members []member
	paths   []string // those picked, then those measured; a path's index is its slot
	parents []int    // by slot: the slot of the member around it, or -1
	slots   int      // one for each path, then one for each member around some
}

// member is a member of interest: picked, measured, or around such.
type member struct {
	name             string
	slot             int
	picked, measured bool
	members          []member
}

func newShape(paths []string) *shape { return newMeasuringShape(paths, nil) }

// newMeasuringShape returns a shape that picks some members and of others only
// counts the bytes of the strings within, member names not included.
func newMeasuringShape(pick, measure []string) *shape {
	s := &shape{paths: pick}
	all := append(append([]string(nil), pick...), measure...)
	s.slots = len(all)
	for range all {
		s.parents = append(s.parents, -1)
	}
	for slot, path := range all {
		leaf := member{slot: slot, picked: slot < len(pick), measured: slot >= len(pick)}
		outer, inner, deep := strings.Cut(path, ".")
		leaf.name = inner
		if !deep {
			leaf.name = outer
			s.members = append(s.members, leaf)
		} else {
			around := s.around(outer)
			s.parents[slot] = around.slot
			around.members = append(around.members, leaf)
		}
		if len(outer) > maxName || len(leaf.name) > maxName || leaf.name == "" || strings.Contains(inner, ".") {
			panic("openai: no path that Fields can pick: " + path)
		}
	}
	return s
}

// around returns the member with the given name that others are picked from.
func (s *shape) around(name string) *member {
	for i := range s.members {
		if s.members[i].name == name {
			if s.members[i].members == nil {
				panic("openai: " + name + " can't be picked whole and in parts")
			}
			return &s.members[i]
		}
	}
	s.members = append(s.members, member{name: name, slot: s.slots})
	s.slots++
	return &s.members[len(s.members)-1]
}

func (s *shape) slot(path string) int {
	for i, known := range s.paths {
		if known == path {
			return i
		}
	}
	panic("openai: path was not asked for: " + path)
}

// maxName is the longest member name that can be picked, in bytes.
const maxName = 32

// name is a member name as it is read, its escapes undone. Names that can't be
// one of interest, being longer or not ASCII, become one that is too long.
type name struct {
	text   [maxName + 1]byte
	length uint8
	escape uint8  // 0: none, 1: after the backslash, 2-5: at a digit of \uXXXX
	code   uint16 // the digits so far
}

func (n *name) begin() { n.length, n.escape = 0, 0 }

// read reads up to and including the quote that ends the name.
func (n *name) read(p []byte) (used int, ended bool) {
	for i, c := range p {
		switch {
		case n.escape >= 2:
			n.digit(c)
		case n.escape == 1:
			n.escape = 0
			switch c {
			case 'u':
				n.escape, n.code = 2, 0
			case '"', '\\', '/':
				n.add(c)
			default:
				n.add(0) // a control character
			}
		case c == '\\':
			n.escape = 1
		case c == '"':
			return i + 1, true
		default:
			n.add(c)
		}
	}
	return len(p), false
}

func (n *name) digit(c byte) {
	digit := bytes.IndexByte([]byte("0123456789abcdef"), c|0x20)
	if c >= '0' && c <= '9' {
		digit = int(c - '0')
	}
	if digit < 0 {
		digit = 0xf // no digit: whatever it was, no name of interest
		n.length = uint8(len(n.text))
	}
	n.code = n.code<<4 | uint16(digit)
	n.escape++
	if n.escape < 6 {
		return
	}
	n.escape = 0
	if n.code >= 0x80 {
		n.length = uint8(len(n.text))
	}
	n.add(byte(n.code))
}

func (n *name) add(c byte) {
	if int(n.length) < len(n.text) {
		n.text[n.length] = c
		n.length++
	}
}

func (n *name) find(members []member) *member {
	for i := range members {
		if members[i].name == string(n.text[:n.length]) {
			return &members[i]
		}
	}
	return nil
}
