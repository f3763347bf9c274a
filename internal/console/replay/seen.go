package replay

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"codex-proxy/internal/conversation"
)

// seen knows what the turns of a session have said, so that each shows only what
// is new. It counts, as a person may say the same twice.
type seen struct {
	turns int
	// most is how often a turn had an item at most; last is of the last turn
	// alone.
	most, last said
	// asked is the last turn's request, and previous what it went on from.
	asked    []conversation.Sum
	previous string
	// answers are the last turns' conversations by the ids of their answers, from
	// which a request may go on.
	answers []answer
	// tools are the names of the tools by the ids of their calls.
	tools map[string]string
}

// said counts what a conversation has.
type said map[conversation.Sum]int

// answer is a turn's answer. spoken says that there is a conversation to go on
// from; the answer to a warm-up has none.
type answer struct {
	id     string
	said   said
	spoken bool
}

// mostAnswers is how many answers a request may go on from.
const mostAnswers = 8

// fresh are the entries of a request that no earlier turn had, and again whether
// the request is the last one's, word for word.
type fresh struct {
	is    []bool
	again bool
}

// turn takes the next turn, and reports what of its request is new.
func (s *seen) turn(request conversation.Request, answered []conversation.Entry, id string) fresh {
	from := s.from(request.Previous)
	has, spoken := said{}, from.spoken
	maps.Copy(has, from.said)
	f := fresh{is: make([]bool, len(request.Entries))}
	asked := make([]conversation.Sum, len(request.Entries))
	for i, entry := range request.Entries {
		asked[i] = entry.Sum
	}
	f.again = s.turns > 0 && len(asked) > 0 && slices.Equal(asked, s.asked) && request.Previous == s.previous
	for i, entry := range request.Entries {
		has[entry.Sum]++
		before := s.most[entry.Sum]
		// What a person or a tool says after the model's last word is new even if
		// it was said before, unless the last turn said it here too.
		if i >= request.Earlier && request.Previous == "" && isSpeech(entry) {
			before = s.last[entry.Sum]
		}
		// Who goes on from a conversation repeats nothing of it but by trying again.
		f.is[i] = has[entry.Sum] > before || from.spoken && isItem(entry) && !f.again
		spoken = spoken || isSpeech(entry)
	}
	for _, entry := range answered {
		has[entry.Sum]++
		spoken = true
	}
	s.keep(answer{id, has, spoken})
	s.asked, s.previous = asked, request.Previous
	s.turns++
	return f
}

// from is the answer that a request goes on from: none, if it says all itself. One
// that is not known is taken for the last.
func (s *seen) from(previous string) answer {
	if previous == "" {
		return answer{said: said{}}
	}
	for _, a := range s.answers {
		if a.id == previous {
			return a
		}
	}
	return answer{id: previous, said: s.last, spoken: true}
}

// keep takes a turn's conversation for the turns that follow.
func (s *seen) keep(a answer) {
	if s.most == nil {
		s.most = said{}
	}
	for sum, n := range a.said {
		s.most[sum] = max(s.most[sum], n)
	}
	s.last = a.said
	if a.id != "" {
		s.answers = append(s.answers, a)
		s.answers = s.answers[max(0, len(s.answers)-mostAnswers):]
	}
}

// isItem reports whether an entry is one of the conversation's own, which stand in
// a list, and not of what each request says anew, such as its tools.
func isItem(entry conversation.Entry) bool { return strings.HasSuffix(entry.Place, "]") }

// isSpeech reports whether an entry is what a person or a tool said.
func isSpeech(entry conversation.Entry) bool {
	return entry.Kind == conversation.User || entry.Kind == conversation.Output
}

// name gives outputs the names of the tools that other turns called.
func (s *seen) name(entries []conversation.Entry) {
	if s.tools == nil {
		s.tools = map[string]string{}
	}
	for i := range entries {
		e := &entries[i]
		switch {
		case e.CallID == "":
		case e.Kind == conversation.Call:
			s.tools[e.CallID] = e.Name
		case e.Kind == conversation.Output:
			e.Name = cmp.Or(s.tools[e.CallID], e.Name)
		}
	}
}
