package openai

import "strings"

// EventHead is what of an event on a WebSocket tells which answer it belongs to.
type EventHead struct {
	// Type is the event's; empty when it has none.
	Type string
	// ResponseID is the response that the event names. Most events within an
	// answer name none.
	ResponseID string
	// StreamID is the lane of the WebSocket that the event came on; empty where
	// the request named none.
	StreamID string
	// Status is the HTTP status of an error event, 0 when it names none.
	Status int
	// Model and PreviousResponseID are those of the response that is created; of
	// other events they may be left out.
	Model, PreviousResponseID string
}

// IsError tells whether the event is an error, which names no response.
func (h EventHead) IsError() bool { return h.Type == eventError }

// Begins tells whether a response begins with the event.
func (h EventHead) Begins() bool { return h.Type == eventCreated }

// Fails tells whether the event ends a response that failed.
func (h EventHead) Fails() bool { return h.Type == eventFailed }

// Acknowledges tells whether the event only answers a message of the client's about
// the response that it names, which need not be one that upstream knows.
func (h EventHead) Acknowledges() bool {
	return strings.HasPrefix(h.Type, "response.steer.") || strings.HasPrefix(h.Type, "response.interrupt.")
}

var headShape = newShape([]string{
	"type", "status", "stream_id", "response_id", "response.id", "response.model",
	"response.previous_response_id", "steer.previous_response_id",
})

// HeadReader reads the heads of events, one after the other. It is for one
// goroutine at a time.
type HeadReader struct{ fields Fields }

// NewHeadReader returns a HeadReader.
func NewHeadReader() *HeadReader { return &HeadReader{fieldsOf(headShape)} }

// Read returns the head of an event. It reads no further than the response's id,
// unless a response begins with the event.
func (r *HeadReader) Read(event []byte) EventHead {
	f := &r.fields
	defer f.reset()
	for p := event; len(p) > 0; {
		n, slot := f.step(p)
		p = p[n:]
		named := f.raw(headResponseID) != nil || f.raw(headResponse) != nil
		if slot >= 0 && named && f.raw(headType) != nil && f.text(headType) != eventCreated {
			break
		}
	}
	h := EventHead{
		Type: f.text(headType), ResponseID: f.text(headResponseID), StreamID: f.text(headStreamID),
		Model: f.text(headModel), PreviousResponseID: f.text(headPrevious),
	}
	update(&h.ResponseID, f.text(headSteered))
	update(&h.ResponseID, f.text(headResponse))
	if status, ok := f.integer(headStatus); ok && status >= 100 && status <= 999 {
		h.Status = int(status)
	}
	return h
}

// The slots of headShape.
const (
	headType = iota
	headStatus
	headStreamID
	headResponseID
	headResponse
	headModel
	headPrevious
	headSteered
)
