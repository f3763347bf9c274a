package openai

// Answer is what an answer says of itself, as far as it has been read.
type Answer struct {
	// ID, Model and Tier are the response's id, the model that answered and the
	// service tier that it was served at; empty where the answer named none.
	ID, Model, Tier string
	// Status is the response's own ("completed", "incomplete", "failed").
	Status string
	// Incomplete is why a response is incomplete ("max_output_tokens").
	Incomplete string

	// Usage is meaningful only when HasUsage is true. It is false when the answer
	// has no usage, or one that makes no sense.
	Usage    Usage
	HasUsage bool

	// Event is the type of the event that ended the answer, "[DONE]" for a chat
	// completion that ended without fault; empty when there was none.
	Event string

	// ErrorType, ErrorCode and ErrorMessage are those of the error that the
	// answer is or ended with. ErrorStatus is the HTTP status that an error event
	// names, 0 when it names none.
	ErrorType, ErrorCode, ErrorMessage string
	ErrorStatus                        int

	// OutputBytes is the bytes of text, reasoning and arguments seen so far, with
	// JSON's escapes: what to estimate output from when there is no usage.
	OutputBytes int64
}

// Failed tells whether the answer is an error, or ended with one.
func (a Answer) Failed() bool {
	return a.Event == eventError || a.Event == eventFailed || a.Status == "failed" ||
		a.ErrorType != "" || a.ErrorCode != "" || a.ErrorMessage != ""
}

// The slots of what is read of an event or a JSON answer. A response's members
// stand in the same order at top level (a JSON answer, a chat completion chunk)
// and inside "response" (an event of the Responses API).
const (
	slotType = iota
	slotStatusCode
	slotErrorCode
	slotErrorMessage
	slotDelta  = slotErrorMessage + 1 + 2*membersOfResponse
	topLevel   = slotErrorMessage + 1
	inResponse = topLevel + membersOfResponse
)

// Where the members of a response stand, relative to topLevel and inResponse.
const (
	memberID = iota
	memberModel
	memberTier
	memberStatus
	memberUsage
	memberError
	memberIncomplete
	membersOfResponse
)

var answerShape = newMeasuringShape([]string{
	"type", "status_code", "code", "message",
	"id", "model", "service_tier", "status", "usage", "error", "incomplete_details",
	"response.id", "response.model", "response.service_tier", "response.status",
	"response.usage", "response.error", "response.incomplete_details",
}, []string{"delta", "choices", "output"})

// errorShape holds the members of an error object.
var errorShape = newShape([]string{"type", "code", "message"})

// identify takes from f what names the answer.
func (a *Answer) identify(f *Fields, where int) {
	update(&a.ID, f.text(where+memberID))
	update(&a.Model, f.text(where+memberModel))
	update(&a.Tier, f.text(where+memberTier))
	update(&a.Status, f.text(where+memberStatus))
}

// conclude takes from f what an answer says at its end.
func (a *Answer) conclude(f *Fields, where int) {
	a.identify(f, where)
	if usage, ok := readUsage(f.raw(where + memberUsage)); ok {
		a.Usage, a.HasUsage = usage, true
	}
	a.readError(f.raw(where + memberError))
	if raw := f.raw(where + memberIncomplete); raw != nil {
		details := NewFields("reason")
		details.Write(raw)
		update(&a.Incomplete, details.String("reason"))
	}
}

// readError takes an error object, or an error that is but a string. It returns
// false when raw is neither.
func (a *Answer) readError(raw []byte) bool {
	if message := unquote(raw); len(message) > 0 {
		a.ErrorMessage = string(message)
		return true
	}
	f := fieldsOf(errorShape)
	f.Write(raw)
	if !f.Done() {
		return false
	}
	update(&a.ErrorType, f.text(0))
	update(&a.ErrorCode, codeIn(f.raw(1)))
	update(&a.ErrorMessage, f.text(2))
	return true
}

// readErrorEvent takes an event that is an error: with an "error" object, or
// with the code and the message beside the type.
func (a *Answer) readErrorEvent(f *Fields) {
	if !a.readError(f.raw(topLevel + memberError)) {
		update(&a.ErrorCode, codeIn(f.raw(slotErrorCode)))
		update(&a.ErrorMessage, f.text(slotErrorMessage))
	}
	for _, slot := range []int{topLevel + memberStatus, slotStatusCode} {
		if n, ok := f.integer(slot); ok && n >= 100 && n <= 999 {
			a.ErrorStatus = int(n)
		}
	}
}

// codeIn returns an error code, which some servers send as a number.
func codeIn(raw []byte) string {
	if len(raw) > 0 && raw[0] >= '0' && raw[0] <= '9' {
		return string(raw)
	}
	return string(unquote(raw))
}

func update(s *string, with string) {
	if with != "" {
		*s = with
	}
}
