package conversation

import (
	"cmp"
	"strings"

	"github.com/tidwall/gjson"
)

// item reads one item of a conversation, of any type.
func (r *reader) item(item gjson.Result) {
	switch kind := item.Get("type").String(); {
	case item.Type == gjson.String:
		r.add(Entry{Kind: User, Text: item.String()})
	case kind == "message", kind == "" && item.Get("role").Exists():
		r.message(item)
	case kind == "reasoning":
		r.reasoning(item)
		r.said()
	case strings.HasSuffix(kind, "_output"):
		r.output(item)
	case strings.HasSuffix(kind, "_call"):
		r.call(item)
		r.said()
	case strings.HasSuffix(kind, "_tools"):
		r.note(toolList(kind, item.Get("tools")))
	default:
		r.note(named(cmp.Or(kind, "item without a type"), item))
	}
}

// message reads a message of the Responses API or of chat/completions.
func (r *reader) message(item gjson.Result) {
	role := item.Get("role").String()
	text := content(item.Get("content"))
	switch role {
	case "user":
		r.add(Entry{Kind: User, Text: text})
	case "system", "developer":
		r.add(Entry{Kind: Instructions, Name: role, Text: text})
	case "tool", "function":
		r.output(item)
	case "assistant":
		text = join(text, item.Get("refusal").String())
		calls := item.Get("tool_calls").Array()
		if text != "" || len(calls) == 0 {
			r.add(Entry{Kind: Assistant, Text: text})
		}
		for _, call := range calls {
			r.call(call)
		}
		r.said()
	default:
		r.add(Entry{Kind: Note, Name: cmp.Or(role, "message without a role"), Text: text})
	}
}

// reasoning reads what the model says of its thoughts. The thoughts themselves
// travel encrypted.
func (r *reader) reasoning(item gjson.Result) {
	text := join(content(item.Get("summary")), content(item.Get("content")))
	if encrypted := item.Get("encrypted_content").String(); text == "" && encrypted != "" {
		text = "[encrypted, " + Size(len(encrypted)) + "]"
	}
	r.sealed = item.Get("encrypted_content").String()
	r.add(Entry{Kind: Reasoning, Text: text})
	r.sealed = ""
}

// call reads a tool call of any type: the arguments stand in one of the places
// that the known types have, or are the item itself.
func (r *reader) call(item gjson.Result) {
	name := cmp.Or(
		item.Get("name").String(),
		item.Get("function.name").String(),
		strings.TrimSuffix(item.Get("type").String(), "_call"),
	)
	if space := item.Get("namespace").String(); space != "" {
		name = space + "." + name
	}
	id := cmp.Or(item.Get("call_id").String(), item.Get("id").String())
	if id != "" {
		if r.tools == nil {
			r.tools = map[string]string{}
		}
		r.tools[id] = name
	}
	text := ""
	for _, path := range []string{"arguments", "input", "function.arguments", "action"} {
		if value := item.Get(path); value.Exists() {
			text = arguments(value)
			break
		}
	}
	if text == "" {
		text = readable(item)
	}
	r.add(Entry{Kind: Call, Name: name, Text: text, CallID: id})
	if result := item.Get("output"); result.Exists() && result.Type != gjson.Null {
		r.add(Entry{Kind: Output, Name: name, Text: unwrapped(result)})
	}
}

// output reads what a tool returned.
func (r *reader) output(item gjson.Result) {
	id := cmp.Or(item.Get("call_id").String(), item.Get("tool_call_id").String())
	name := cmp.Or(r.tools[id], item.Get("name").String(), strings.TrimSuffix(item.Get("type").String(), "_call_output"))
	for _, path := range []string{"output", "content"} {
		if value := item.Get(path); value.Exists() {
			r.add(Entry{Kind: Output, Name: name, Text: unwrapped(value), CallID: id})
			return
		}
	}
	r.note(named(item.Get("type").String(), item))
}

// content reads the content of a message: a string, or a list of parts.
func content(value gjson.Result) string {
	if !value.IsArray() {
		return text(value)
	}
	var parts []string
	value.ForEach(func(_, part gjson.Result) bool {
		if shown := partText(part); shown != "" {
			parts = append(parts, shown)
		}
		return true
	})
	return strings.Join(parts, "\n")
}

// partText reads one part of a message's content.
func partText(part gjson.Result) string {
	if part.Type == gjson.String {
		return part.String()
	}
	kind := part.Get("type").String()
	for _, path := range []string{"image_url.url", "image_url", "file_data", "file.file_data", "file_url", "file_id", "input_audio.data"} {
		if data := part.Get(path); data.Type == gjson.String {
			name := part.Get("filename").String() + part.Get("file.filename").String()
			return attachment(strings.TrimPrefix(kind, "input_"), name, data.String())
		}
	}
	for _, path := range []string{"text", "refusal"} {
		if value := part.Get(path); value.Exists() {
			return text(value)
		}
	}
	return named(cmp.Or(kind, "part without a type"), part)
}

// attachment names an image or a file with its size and media type.
func attachment(kind, name, data string) string {
	if strings.HasPrefix(kind, "image") {
		kind = "image"
	}
	words := []string{cmp.Or(kind, "attachment")}
	if name != "" {
		words = append(words, name)
	}
	header, encoded, inline := strings.Cut(data, ",")
	media, isData := strings.CutPrefix(header, "data:")
	switch {
	case isData && inline:
		media, coding, _ := strings.Cut(media, ";")
		size := len(encoded)
		if strings.HasSuffix(coding, "base64") {
			size = base64Size(encoded)
		}
		words = append(words, Size(size), cmp.Or(media, "text/plain"))
	case strings.Contains(header, "://"), len(data) < 100: // an address or an id
		words = append(words, data)
	default:
		words = append(words, Size(base64Size(data)))
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// base64Size is how many bytes a base64 text stands for.
func base64Size(encoded string) int {
	return len(strings.TrimRight(encoded, "=")) * 3 / 4
}

func text(value gjson.Result) string {
	switch {
	case !value.Exists(), value.Type == gjson.Null:
		return ""
	case value.Type == gjson.String:
		return value.String()
	}
	return readable(value)
}

// join puts the texts that are not empty on lines of their own.
func join(texts ...string) string {
	var kept []string
	for _, text := range texts {
		if text != "" {
			kept = append(kept, text)
		}
	}
	return strings.Join(kept, "\n")
}

// named stands for an item whose type is not known.
func named(kind string, item gjson.Result) string {
	return "[" + kind + ", " + Size(len(item.Raw)) + "]"
}

// toolList names the tools that a request offers.
func toolList(kind string, tools gjson.Result) string {
	var names []string
	tools.ForEach(func(_, tool gjson.Result) bool {
		names = append(names, cmp.Or(tool.Get("name").String(), tool.Get("function.name").String(), tool.Get("type").String()))
		return true
	})
	return "[" + kind + ", " + Size(len(tools.Raw)) + ": " + strings.Join(names, ", ") + "]"
}
