package openai

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"time"
)

// TypeUsageLimit is the error type that Codex shows as "You've hit your usage
// limit" without trying again.
const TypeUsageLimit = "usage_limit_reached"

// ErrorBody returns an error as OpenAI's API answers it:
// {"error":{"message":…,"type":…,"param":null,"code":…}}. An empty code is null.
func ErrorBody(errorType, code, message string) []byte {
	var codeOrNull *string
	if code != "" {
		codeOrNull = &code
	}
	return object(struct {
		Error any `json:"error"`
	}{struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}{message, errorType, nil, codeOrNull}})
}

// UsageLimitBody returns the body of a 429 after which Codex does not try again
// but says when the limit ends, to the second. It shows no message of the body:
// whom to ask goes into the header x-codex-promo-message. Message is for other
// clients and for the record. A zero resetsAt is left out.
func UsageLimitBody(message string, resetsAt time.Time) []byte {
	var until int64
	if !resetsAt.IsZero() {
		until = resetsAt.Unix()
	}
	return object(struct {
		Error any `json:"error"`
	}{struct {
		Message  string `json:"message"`
		Type     string `json:"type"`
		ResetsAt int64  `json:"resets_at,omitzero"`
	}{message, TypeUsageLimit, until}})
}

// ErrorFrame returns the WebSocket frame that Codex takes for an HTTP answer of
// the given status: {"type":"error","status":429,"error":{…},"headers":{…}}.
// Body is that answer's, as ErrorBody or UsageLimitBody returns it; one that has
// no error object makes a frame whose error is null.
func ErrorFrame(status int, header map[string]string, body []byte) []byte {
	var of struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &of) != nil {
		of.Error = nil
	}
	return object(struct {
		Type    string            `json:"type"`
		Status  int               `json:"status"`
		Error   json.RawMessage   `json:"error"`
		Headers map[string]string `json:"headers,omitempty"`
	}{eventError, status, of.Error, header})
}

// FailedFrame returns the event that ends a response with an error, as the data
// of a server-sent event or a WebSocket frame. Codex shows the message verbatim,
// and does not try again, when the code is "invalid_prompt".
func FailedFrame(code, message string) []byte {
	type failure struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	type response struct {
		ID     string  `json:"id"`
		Object string  `json:"object"`
		Status string  `json:"status"`
		Error  failure `json:"error"`
	}
	return object(struct {
		Type     string   `json:"type"`
		Response response `json:"response"`
	}{eventFailed, response{"resp_" + rand.Text(), "response", "failed", failure{code, message}}})
}

// FailedEvent returns FailedFrame's event as a whole server-sent event.
func FailedEvent(code, message string) []byte {
	event := append([]byte("event: "+eventFailed+"\ndata: "), FailedFrame(code, message)...)
	return append(event, "\n\n"...)
}

// object encodes v on one line. Codex shows some bodies as they are, so that <, >
// and & stay readable. Bytes that are not UTF-8 become U+FFFD.
func object(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("openai: " + err.Error()) // none of the types here can fail
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
