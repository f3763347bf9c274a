package secrets

import (
	"bytes"
	"slices"
	"strings"
)

// head is what an event of a streamed answer says about itself.
type head struct {
	kind         []byte // its type; empty in chat completions
	item, output []byte // item_id and output_index, as written
	indexes      []string
	deltas       []delta
	// finished are the choices of a chat that end with this event, as their
	// streams' names begin.
	finished []string
}

// delta is a piece of a text that goes on over several events.
type delta struct {
	stream     string // names the text
	tool       bool   // the text is what a tool is called with
	start, end int    // the content of its string in the event
	last       bool   // the text ends with it
	// An event with only this piece has before, the piece and after in place of
	// [from, to).
	from, to      int
	before, after string
}

// readHead reads the members of an event that say what it brings.
func readHead(event []byte) (h head) {
	i := skipSpace(event, 0)
	if at(event, i) != '{' {
		return h
	}
	text, choices := 0, 0
	_, _ = members(event, i, func(key []byte, i int) (int, error) {
		end, err := skipValue(event, i)
		if err != nil {
			return 0, err
		}
		switch string(key) {
		case "type":
			h.kind = bytes.Trim(event[i:end], `"`)
		case "item_id":
			h.item = event[i:end]
		case "output_index":
			h.output = event[i:end]
		case "delta":
			if event[i] == '"' {
				text = i
			}
		case "choices":
			choices = i
		default: // of a part, a command, …
			if bytes.HasSuffix(key, []byte("_index")) {
				h.indexes = append(h.indexes, string(event[i-len(key):end]))
			}
		}
		return end, nil
	})
	if len(h.kind) == 0 && choices > 0 {
		h.readChoices(event, choices)
	}
	if text > 0 && bytes.HasSuffix(h.kind, []byte(".delta")) {
		if end, err := skipString(event, text+1); err == nil {
			h.deltas = []delta{{stream: h.stream(), tool: isToolEvent(h.kind), start: text + 1, end: end, from: text + 1, to: end}}
		}
	}
	return h
}

// stream names the text that an event of the Responses API is about: first the
// item that it is in, then which of the item's texts.
func (h *head) stream() string {
	kind := h.kind[:max(0, bytes.LastIndexByte(h.kind, '.'))]
	slices.Sort(h.indexes)
	return h.streamsOfItem() + string(kind) + "\x00" + string(h.item) + "\x00" + strings.Join(h.indexes, "\x00") + "\x00"
}

func (h *head) streamsOfItem() string { return "output\x00" + string(h.output) + "\x00" }

// ended returns how the names of the texts begin that end with the event.
func (h *head) ended(event []byte) []string {
	switch kind := string(h.kind); {
	case kind == "response.output_item.done":
		return []string{h.streamsOfItem()}
	case strings.HasSuffix(kind, ".done"):
		return []string{h.stream()}
	case kind == "response.completed", kind == "response.incomplete", kind == "response.failed", kind == "error", string(event) == "[DONE]":
		return []string{""} // all
	}
	return h.finished
}

// readChoices reads the choices at i of a chunk of a chat completion.
func (h *head) readChoices(event []byte, i int) {
	if at(event, i) != '[' {
		return
	}
	to, err := skipValue(event, i)
	if err != nil {
		return
	}
	_, _ = elements(event, i, func(_, choice int) (int, error) {
		first := len(h.deltas)
		index := "0"
		finished := false
		end, err := eachMember(event, choice, func(key string, i, end int) {
			switch key {
			case "index":
				index = string(event[i:end])
			case "finish_reason":
				finished = event[i] == '"'
			case "delta":
				h.readChoice(event, i)
			}
		})
		name := "choice\x00" + index + "\x00"
		for k := range h.deltas[first:] {
			d := &h.deltas[first+k]
			d.stream = name + d.stream
			d.last = finished
			d.from, d.to = i, to
			d.before = `[{"index":` + index + `,"delta":{` + d.before
			d.after = d.after + `},"finish_reason":null}]`
		}
		if finished {
			h.finished = append(h.finished, name)
		}
		return end, err
	})
}

// readChoice reads a choice's delta at i: texts, and what tools are called with.
func (h *head) readChoice(event []byte, i int) {
	text := func(name string, tool bool, i, end int, before, after string) {
		if event[i] == '"' {
			h.deltas = append(h.deltas, delta{stream: name, tool: tool, start: i + 1, end: end - 1, before: before + `"`, after: `"` + after})
		}
	}
	_, _ = eachMember(event, i, func(key string, i, end int) {
		switch key {
		case "content", "refusal":
			text(key, false, i, end, `"`+key+`":`, "")
		case "function_call":
			_, _ = eachMember(event, i, func(name string, i, end int) {
				if name == "arguments" {
					text(key, true, i, end, `"function_call":{"arguments":`, "}")
				}
			})
		case "tool_calls":
			if event[i] != '[' {
				return
			}
			_, _ = elements(event, i, func(n, call int) (int, error) {
				first := len(h.deltas)
				index := "0"
				end, err := eachMember(event, call, func(key string, i, end int) {
					switch key {
					case "index":
						index = string(event[i:end])
					case "function", "custom":
						_, _ = eachMember(event, i, func(name string, i, end int) {
							if name == "arguments" || name == "input" {
								text(key, true, i, end, `,"`+key+`":{"`+name+`":`, "}}]")
							}
						})
					}
				})
				for k := range h.deltas[first:] {
					d := &h.deltas[first+k]
					d.stream += "\x00" + index
					d.before = `"tool_calls":[{"index":` + index + d.before
				}
				return end, err
			})
		}
	})
}

// eachMember calls each with every member of the object at i, if it is one: its
// key, and where its value stands.
func eachMember(text []byte, i int, each func(key string, start, end int)) (int, error) {
	if at(text, i) != '{' {
		return skipValue(text, i)
	}
	return members(text, i, func(key []byte, i int) (int, error) {
		end, err := skipValue(text, i)
		if err == nil {
			each(string(key), i, end)
		}
		return end, err
	})
}
