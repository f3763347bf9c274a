package simulated

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"codex-proxy/internal/openai"
)

// Answer describes one turn of the model. The zero Answer says nothing at all:
// an empty output.
type Answer struct {
	// Reasoning is the summary of a reasoning item, which comes first and carries
	// encrypted content; empty is no such item.
	Reasoning string
	// Text is the assistant's message; empty is none.
	Text string
	// Calls are the tools that the model calls, after its message.
	Calls []Call
	// Usage is what the answer reports; nil estimates it from the sizes of the
	// request and the answer.
	Usage *openai.Usage
	// Model and ServiceTier are what the answer claims; empty is what was asked.
	Model       string
	ServiceTier string
	// Fault is how the answer goes wrong; the zero Fault is not at all.
	Fault Fault

	compaction bool       // a compaction item instead of a message
	synthetic  *synthetic // set by Stream
}

// Call is one tool call.
type Call struct {
	// Command is a shell command. It is put into the shape that the request's own
	// tools ask for, and the fields below are then ignored.
	Command string
	// Name is the tool's.
	Name string
	// Arguments is a function's JSON, and Input a custom tool's free text; a call
	// with Input is a custom one.
	Arguments string
	Input     string
}

// Say is an answer of text.
func Say(text string) Answer { return Answer{Text: text} }

// Run is an answer that makes Codex run a shell command and come back with its
// output.
func Run(command string) Answer { return Answer{Calls: []Call{{Command: command}}} }

// Status is an error status with OpenAI's own error for it (400, 401, 403, 404,
// 429, 500, 503; others get a general one).
func Status(status int) Answer { return Answer{Fault: Fault{Status: status}} }

// UsageLimit is the 429 that Codex takes for a spent budget and does not retry.
func UsageLimit(resets time.Time) Answer {
	return Answer{Fault: Fault{
		Status: http.StatusTooManyRequests,
		Type:   "usage_limit_reached", Message: "The usage limit has been reached",
		ResetsAt: resets,
	}}
}

// Cut is an answer whose connection closes after so many events.
func Cut(text string, events int) Answer {
	return Answer{Text: text, Fault: Fault{Break: BreakCut, After: events}}
}

// Stall is an answer that falls silent after so many events, until the client
// goes away.
func Stall(text string, events int) Answer {
	return Answer{Text: text, Fault: Fault{Break: BreakStall, After: events}}
}

// Fail is an answer that ends with response.failed.
func Fail(code, message string) Answer {
	return Answer{Fault: Fault{Break: BreakFailed, Code: code, Message: message, After: 2}}
}

// shell is how a request's tools let a model run a shell command.
type shell int

// The shapes of the shell tool.
const (
	shellFunction shell = iota // function exec_command: Codex with a model it does not know
	shellCode                  // custom tool exec, which takes JavaScript: Codex with current models
)

// resolve gives a call with a Command the shape that the request offers.
func (c Call) resolve(shape shell) Call {
	if c.Command == "" {
		return c
	}
	quoted := string(marshal(c.Command))
	if shape == shellCode {
		return Call{Name: "exec", Input: "const result = await tools.exec_command({cmd: " + quoted + "});\ntext(result.output);\n"}
	}
	return Call{Name: "exec_command", Arguments: `{"cmd":` + quoted + `}`}
}

// marshal encodes a value of this package's own making, which cannot fail.
func marshal(v any) []byte {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false) // OpenAI does not
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}
