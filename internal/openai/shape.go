package openai

import (
	"slices"
	"strconv"
	"strings"
)

// shape is what a Fields looks for. It never changes, so that one serves many.
type shape struct {
	members []member
	paths   []string // those picked, then those measured; a path's index is its slot
	parents []int    // by slot: the slot of the member around it, or -1
	slots   int      // one for each path, then one for each member around some
	// watchesCase says that names in other capital letters are noted.
	watchesCase bool
}

// member is a member of interest: picked, measured, or around such.
type member struct {
	name             string
	slot             int
	picked, measured bool
	members          []member
}

// watchingCase returns s, which notes names in other capital letters too.
func (s *shape) watchingCase() *shape {
	s.watchesCase = true
	return s
}

func newShape(paths []string) *shape { return newMeasuringShape(paths, nil) }

// newMeasuringShape returns a shape that picks some members and of others only
// counts the bytes of the strings within, member names not included.
func newMeasuringShape(pick, measure []string) *shape {
	all := append(append([]string(nil), pick...), measure...)
	s := &shape{paths: pick, slots: len(all)}
	for slot, path := range all {
		leaf := member{slot: slot, picked: slot < len(pick), measured: slot >= len(pick)}
		outer, inner, deep := strings.Cut(path, ".")
		parent := -1
		if deep {
			around := s.around(outer)
			parent = around.slot
			leaf.name = inner
			around.members = add(around.members, leaf)
		} else {
			leaf.name = outer
			s.members = add(s.members, leaf)
		}
		s.parents = append(s.parents, parent)
	}
	return s
}

// around returns the member with the given name that others are picked from.
func (s *shape) around(name string) *member {
	i := slices.IndexFunc(s.members, func(m member) bool { return m.name == name && m.members != nil })
	if i < 0 {
		s.members = add(s.members, member{name: name, slot: s.slots, members: []member{}})
		s.slots++
		i = len(s.members) - 1
	}
	return &s.members[i]
}

// add appends m, which can be told from the others by its name.
func add(members []member, m member) []member {
	taken := slices.ContainsFunc(members, func(other member) bool { return other.name == m.name })
	if taken || m.name == "" || len(m.name) > maxShort || strings.Contains(m.name, ".") {
		panic("openai: no path that Fields can pick, at " + strconv.Quote(m.name))
	}
	return append(members, m)
}

func (s *shape) slot(path string) int {
	for i, known := range s.paths {
		if known == path {
			return i
		}
	}
	panic("openai: path was not asked for: " + path)
}
