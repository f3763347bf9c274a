package replay

import (
	"maps"
	"slices"

	"codex-proxy/internal/conversation"
)

// seen knows what the turns of a session have said, so that each shows only what
// is new. It counts, as a person may say the same twice.
type seen struct {
	// most is how often a turn had an item at most; last is of the last turn
	// alone.
	most, last map[conversation.Sum]int
	// asked is the last turn's request.
	asked []conversation.Sum
	turns int
}

// fresh are the entries of a request that no earlier turn had, and again whether
// the request is the last one's, word for word.
type fresh struct {
	is    []bool
	again bool
}

// turn takes the next turn, and reports what of its request is new.
func (s *seen) turn(request conversation.Request, answer []conversation.Entry) fresh {
	has := map[conversation.Sum]int{}
	if request.Previous != "" { // it goes on from the last turn without repeating it
		has = maps.Clone(s.last)
		if has == nil {
			has = map[conversation.Sum]int{}
		}
	}
	f := fresh{is: make([]bool, len(request.Entries))}
	asked := make([]conversation.Sum, len(request.Entries))
	for i, entry := range request.Entries {
		asked[i] = entry.Sum
		has[entry.Sum]++
		known := s.most[entry.Sum]
		// What a person or a tool says after the model's last word is new even if
		// it was said before, unless the last turn said it here too.
		if i >= request.Earlier && (entry.Kind == conversation.User || entry.Kind == conversation.Output) {
			known = s.last[entry.Sum]
		}
		f.is[i] = request.Previous != "" || has[entry.Sum] > known
	}
	f.again = s.turns > 0 && len(asked) > 0 && slices.Equal(asked, s.asked)
	for _, entry := range answer {
		has[entry.Sum]++
	}
	if s.most == nil {
		s.most = map[conversation.Sum]int{}
	}
	for sum, n := range has {
		s.most[sum] = max(s.most[sum], n)
	}
	s.last, s.asked = has, asked
	s.turns++
	return f
}
