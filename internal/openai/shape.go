package openai

import "strings"

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
		if len(outer) > maxShort || len(leaf.name) > maxShort || leaf.name == "" || strings.Contains(inner, ".") {
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
