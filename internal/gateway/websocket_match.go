package gateway

import (
	"slices"
	"strings"

	"codex-proxy/internal/openai"
)

// maxPast is how many responses that are over a WebSocket remembers the ids of.
const maxPast = 64

// socketExchanges tells which of a WebSocket's exchanges an event of upstream's
// belongs to. Events that name a response go by its id, which the first event to
// name it gives to an exchange that waits for its answer. Most events within an
// answer name none: they go by their lane, if the client uses lanes, and belong to
// the answer that was spoken of last, as upstream gives one after the other.
type socketExchanges struct {
	// open have no last event yet, in the order in which they began.
	open []*socketExchange
	// late are over, but more may come that belongs to them, or to nothing.
	late []*socketExchange
	// latest is the one that an event named last.
	latest *socketExchange
	// past are the ids of the last responses that are over.
	past []string
}

// find returns the exchange that an event belongs to, nil if it is none of these.
func (s *socketExchanges) find(h openai.EventHead) *socketExchange {
	if h.ResponseID == "" {
		return s.unnamed(h)
	}
	x := s.named(h.ResponseID)
	if x == nil && !h.Acknowledges() && !slices.Contains(s.past, h.ResponseID) {
		if x = s.waiting(h); x != nil {
			x.response = h.ResponseID
		}
	}
	if x != nil {
		s.latest = x
	}
	return x
}

// named returns the exchange whose answer is the response, nil if none is.
func (s *socketExchanges) named(response string) *socketExchange {
	is := func(x *socketExchange) bool { return x.response == response }
	for _, list := range [][]*socketExchange{s.open, s.late} {
		if i := slices.IndexFunc(list, is); i >= 0 {
			return list[i]
		}
	}
	return nil
}

// waiting returns the exchange that an event is the first to name a response for.
// A response that fails without having begun belongs to the error before it.
func (s *socketExchanges) waiting(h openai.EventHead) *socketExchange {
	if h.Fails() {
		for _, x := range s.late {
			if x.response == "" && !x.aside {
				return x
			}
		}
	}
	first := (*socketExchange)(nil)
	for _, x := range onLane(s.open, h.StreamID) {
		switch {
		case x.response != "":
		case x.mayBecome(h):
			return x
		case first == nil:
			first = x
		}
	}
	return first
}

// unnamed returns the exchange of an event that names no response. An error with
// the status of a request that was refused belongs to one that waits.
func (s *socketExchanges) unnamed(h openai.EventHead) *socketExchange {
	open := onLane(s.open, h.StreamID)
	waits := slices.IndexFunc(open, func(x *socketExchange) bool { return x.response == "" })
	speaks := slices.IndexFunc(open, func(x *socketExchange) bool { return x.response != "" })
	switch {
	case waits >= 0 && h.IsError() && h.Status >= 400 && h.Status < 500:
		return open[waits]
	case slices.Contains(open, s.latest):
		return s.latest
	case speaks >= 0:
		return open[speaks]
	case waits >= 0:
		return open[waits]
	case len(s.late) > 0:
		return s.late[len(s.late)-1]
	}
	return nil
}

// about returns the exchange that a message of the client's belongs to which
// begins none: the one that it names, or the last that runs. Known is false when
// there is none, and it does not name a response of this WebSocket's either.
func (s *socketExchanges) about(r openai.Request) (x *socketExchange, known bool) {
	for _, id := range []string{r.ResponseID, r.PreviousResponseID} {
		if x = s.named(id); id != "" && x != nil {
			return x, true
		}
	}
	if open := onLane(s.open, r.StreamID); len(open) > 0 {
		return open[len(open)-1], true
	}
	if len(s.late) > 0 {
		return s.late[len(s.late)-1], true
	}
	return nil, slices.Contains(s.past, r.ResponseID) || slices.Contains(s.past, r.PreviousResponseID)
}

// end takes an exchange out of those that run.
func (s *socketExchanges) end(x *socketExchange) {
	s.open = slices.DeleteFunc(s.open, func(other *socketExchange) bool { return other == x })
	if x.response != "" {
		s.past = append(s.past, x.response)
		s.past = s.past[max(0, len(s.past)-maxPast):]
	}
}

// isLate reports whether an exchange is one of the late ones.
func (s *socketExchanges) isLate(x *socketExchange) bool { return slices.Contains(s.late, x) }

// removeLate takes an exchange out of the late ones, and reports whether it was there.
func (s *socketExchanges) removeLate(x *socketExchange) bool {
	was := s.isLate(x)
	s.late = slices.DeleteFunc(s.late, func(other *socketExchange) bool { return other == x })
	return was
}

// takeAll returns all exchanges, and leaves none.
func (s *socketExchanges) takeAll() (open, late []*socketExchange) {
	open, late = s.open, s.late
	s.open, s.late, s.latest = nil, nil, nil
	return open, late
}

// onLane returns the exchanges that were asked for on a lane, all if none was.
func onLane(all []*socketExchange, lane string) []*socketExchange {
	if lane == "" {
		return all
	}
	var those []*socketExchange
	for _, x := range all {
		if x.lane == lane {
			those = append(those, x)
		}
	}
	if those == nil {
		return all
	}
	return those
}

// mayBecome reports whether nothing that a response says of itself as it begins
// speaks against it being the answer to x. Upstream may answer with a dated version
// of the model that was asked for.
func (x *socketExchange) mayBecome(h openai.EventHead) bool {
	return (h.Model == "" || strings.HasPrefix(h.Model, x.model)) &&
		(h.PreviousResponseID == "" || h.PreviousResponseID == x.previous)
}
