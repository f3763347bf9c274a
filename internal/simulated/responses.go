package simulated

import (
	"cmp"
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"
)

// responses answers POST /v1/responses.
func (x *turn) responses() {
	c, answer, ok := x.modelCall()
	if !ok {
		return
	}
	made := x.write(c, answer)
	if c.stream {
		x.stream(made.events, &answer.Fault)
		return
	}
	x.document(http.StatusOK, made.response, &answer.Fault)
}

// modelCall reads a model call and finds its answer. It returns false when the call
// was refused.
func (x *turn) modelCall() (*call, Answer, bool) {
	c, ok := x.call()
	if !ok {
		return nil, Answer{}, false
	}
	if c.previousID != "" {
		// Nothing is stored here, as for an organisation without data retention.
		x.refuse(unknownPrevious(c.previousID))
		return nil, Answer{}, false
	}
	answer := x.next(c)
	fault := &answer.Fault
	if err := x.sleep(x.r.Context(), fault.FirstByte); err != nil {
		return nil, Answer{}, false
	}
	if fault.Status != 0 {
		x.refuseAs(fault)
		return nil, Answer{}, false
	}
	x.w.Header().Set("Openai-Model", cmp.Or(answer.Model, c.model))
	return c, answer, true
}

// call reads the body as a model call, or refuses it.
func (x *turn) call() (*call, bool) {
	body, err := decoded(x.r, x.body)
	if err != nil {
		x.refuse(bodyUnreadable(err))
		return nil, false
	}
	c, bad := readCall(body)
	if bad != nil {
		x.refuse(bad)
		return nil, false
	}
	return c, true
}

// refuseAs refuses as the fault says.
func (x *turn) refuseAs(fault *Fault) {
	if fault.Body == "" {
		x.refuse(fault.apiError())
		return
	}
	for name, values := range fault.Header {
		x.w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	if x.w.Header().Get("Content-Type") == "" {
		x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	}
	x.begin(fault.Status)
	_, _ = x.w.Write([]byte(fault.Body))
}

// compact answers POST /v1/responses/compact: the user's messages as they came,
// and everything else in one opaque item.
func (x *turn) compact() {
	c, ok := x.call()
	if !ok {
		return
	}
	output := []json.RawMessage{}
	c.input.ForEach(func(_, it gjson.Result) bool {
		if it.Get("role").Str == "user" {
			output = append(output, json.RawMessage(it.Raw))
		}
		return true
	})
	answer := Answer{compaction: true}
	items := answer.items(shellFunction)
	used := x.usage(c, c.size, answer, items)
	x.json(http.StatusOK, struct {
		ID        string            `json:"id"`
		Object    string            `json:"object"`
		CreatedAt int64             `json:"created_at"`
		Output    []json.RawMessage `json:"output"`
		Usage     usage             `json:"usage"`
	}{
		newID("resp_"), "response.compaction", x.options.Now().Unix(),
		append(output, marshal(items[0])),
		usage{used},
	})
}
