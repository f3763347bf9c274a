package simulated

import (
	"net/http"
	"time"
)

// Fault is how an answer goes wrong. Its parts combine: an answer may be slow
// and then be cut.
type Fault struct {
	// Status refuses the call with this HTTP status, or with an error frame
	// inside a WebSocket, instead of answering; 0 answers.
	Status int
	// Header is added to a refusal (retry-after, x-codex-promo-message).
	Header http.Header
	// Body is a refusal's body instead of OpenAI's JSON, sent as text/plain. A
	// WebSocket has no place for it.
	Body string
	// Type, Code and Message stand in the error of a refusal or a failed event;
	// empty takes what OpenAI says with that status.
	Type    string
	Code    string
	Message string
	// ResetsAt goes into a refusal's error as resets_at, where it is not zero.
	ResetsAt time.Time

	// FirstByte is a pause before the status line, or before the first frame.
	FirstByte time.Duration
	// Between is the pause before each event after the first; 0 is Options.Pace.
	Between time.Duration

	// Break says how the answer breaks, and After how many events come before
	// that (for BreakCutBytes: bytes). The terminal event never comes before a
	// break, however large After is.
	Break Break
	After int
}

// Break is a way for an answer to break.
type Break string

// The breaks. In an answer that is one JSON document, not a stream, After does
// not count: a cut comes in its middle, and a stall before it.
const (
	// BreakNone: it does not.
	BreakNone Break = ""
	// BreakCut: the connection closes between two events.
	BreakCut Break = "cut"
	// BreakCutBytes: the connection closes after so many bytes, in the middle of
	// an event; in a WebSocket after the last whole frame before that.
	BreakCutBytes Break = "cut-bytes"
	// BreakGarbage: bytes that are no event, and then an orderly end.
	BreakGarbage Break = "garbage"
	// BreakStall: silence until the client goes away, or Server.Close.
	BreakStall Break = "stall"
	// BreakHalfOpen: silence even when the client goes away, as when a machine
	// loses its power: nothing is read, no ping and no close is answered, and the
	// connection stays until Server.Close.
	BreakHalfOpen Break = "half-open"
	// BreakFailed: response.failed with Code and Message ends the answer.
	BreakFailed Break = "failed"
	// BreakIncomplete: response.incomplete ends the answer, with its usage.
	BreakIncomplete Break = "incomplete"
	// BreakNoUsage: the terminal event has no usage.
	BreakNoUsage Break = "no-usage"
)

// garbage is what BreakGarbage sends: neither SSE, nor JSON, nor UTF-8.
const garbage = "\x00\xff\xfe<html><body>502 Bad Gateway</body>\r\n{\"half\": \n: \x80\n\n"
