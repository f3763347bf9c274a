package openai

import "bytes"

// The events that begin and end an answer.
const (
	eventCreated    = "response.created" // begins one
	eventCompleted  = "response.completed"
	eventIncomplete = "response.incomplete"
	eventFailed     = "response.failed"
	eventCancelled  = "response.cancelled"
	eventDone       = "response.done" // some servers' word for completed
	eventError      = "error"
	chatDone        = "[DONE]"
)

// interest is what there is to learn from an event.
type interest uint8

const (
	undecided interest = iota // its type is not known yet, or it has none
	nothing
	identity
	delta
	ending
)

// interestIn judges an event by its type. Types that are not known are passed
// over, so that new ones do no harm.
func interestIn(eventType []byte) interest {
	switch string(eventType) {
	case eventCompleted, eventIncomplete, eventFailed, eventCancelled, eventDone, eventError:
		return ending
	case eventCreated:
		return identity
	}
	if bytes.HasSuffix(eventType, []byte(".delta")) && !bytes.HasSuffix(eventType, []byte("audio.delta")) {
		return delta
	}
	return nothing
}

// eventReader reads events, each one JSON object that comes in pieces, into an
// Answer. An event is read only until it is known to be of no interest; none is
// held, as the last one of an answer carries the whole output once more.
type eventReader struct {
	fields   Fields
	interest interest
	skip     bool // there is nothing more to learn from this event
	terminal bool
	answer   Answer
}

func newEventReader() eventReader { return eventReader{fields: fieldsOf(answerShape)} }

// write reads the next piece of the event at hand.
func (r *eventReader) write(p []byte) {
	for len(p) > 0 && !r.skip {
		n, slot := r.fields.step(p)
		p = p[n:]
		switch {
		case slot == slotType:
			if raw := r.fields.raw(slotType); string(raw) != "null" {
				r.interest = interestIn(unquote(raw))
				r.skip = r.interest == nothing
			}
		case slot == slotDelta && r.interest == delta:
			r.skip = true
		case r.fields.err != nil:
			r.interest, r.skip = nothing, true
		}
	}
}

// end ends the event at hand. Name is what the transport calls it, which counts
// only when the event itself has no type.
func (r *eventReader) end(name []byte) {
	f := &r.fields
	whole := r.skip || f.Done()
	eventType := unquote(f.raw(slotType))
	if r.interest == undecided {
		if i := interestIn(name); i != nothing {
			r.interest, eventType = i, name
		}
	}
	a := &r.answer
	switch {
	case !whole:
	case r.interest == delta:
		a.OutputBytes += f.textBytes()
	case r.interest == identity:
		a.identify(f, inResponse)
	case r.interest == ending:
		r.conclude(string(eventType))
	case r.interest == undecided:
		r.chunk()
	}
	f.reset()
	r.interest, r.skip = undecided, false
}

// conclude takes an event that ends the answer. The first one does; only after
// an error event another may come, which says more and takes its place: where it is
// no failure, the error was about something else.
func (r *eventReader) conclude(eventType string) {
	a := &r.answer
	switch {
	case r.terminal && (a.Event != eventError || eventType == eventError):
		return
	case eventType == eventError:
		a.readErrorEvent(&r.fields)
	default:
		if eventType != eventFailed {
			a.ErrorType, a.ErrorCode, a.ErrorMessage, a.ErrorStatus = "", "", "", 0
		}
		a.conclude(&r.fields, inResponse)
	}
	a.Event, r.terminal = eventType, true
}

// chunk takes an event without a type: a part of a chat completion, whose last
// one has the usage, or an error instead of one.
func (r *eventReader) chunk() {
	a := &r.answer
	a.OutputBytes += r.fields.textBytes()
	a.conclude(&r.fields, topLevel)
	if !r.terminal && a.Failed() {
		a.readErrorEvent(&r.fields)
		a.Event, r.terminal = eventError, true
	}
}

// done takes the mark that ends a chat completion.
func (r *eventReader) done() {
	if !r.terminal {
		r.answer.Event, r.terminal = chatDone, true
	}
}
