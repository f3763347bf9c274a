package conversation

import (
	"bytes"
	"cmp"
	"strings"

	"github.com/tidwall/gjson"
)

// sentEvents returns the data of server-sent events, and false for a body that
// is not made of them.
func sentEvents(body []byte) ([][]byte, bool) {
	body = bytes.TrimLeft(body, "\r\n ")
	isEvents := false
	for _, field := range []string{"event:", "data:", "id:", "retry:", ":"} {
		isEvents = isEvents || bytes.HasPrefix(body, []byte(field))
	}
	if !isEvents {
		return nil, false
	}
	var events [][]byte
	var data []byte
	for line := range bytes.Lines(body) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 && len(data) > 0 {
			events, data = append(events, data), nil
		}
		if value, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			if len(data) > 0 {
				data = append(data, '\n')
			}
			data = append(data, bytes.TrimPrefix(value, []byte(" "))...)
		}
	}
	if len(data) > 0 { // the stream broke off
		events = append(events, data)
	}
	return events, true
}

// AnswerID returns the id under which a later request can go on from an answer,
// or "" where it has none.
func AnswerID(body []byte) string {
	const most = 10 // events: it stands in one of the first
	n := 0
	for line := range bytes.Lines(body) {
		data, _ := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data:"))
		event, ok := parse(data)
		if !ok {
			continue
		}
		if id := cmp.Or(event.Get("response.id").String(), event.Get("id").String()); id != "" {
			return id
		}
		if n++; n == most {
			break
		}
	}
	return ""
}

// eventType is the type of a document that is an event, else empty.
func eventType(document []byte) string {
	body, _ := parse(document)
	return body.Get("type").String()
}

// stream puts an answer together from its events.
type stream struct {
	// items are the output's, in the order in which they began.
	items []*streamed
	byKey map[string]*streamed
	ended bool
	last  gjson.Result // the response as the last event has it
	// failed is what an error event or the stream's end says.
	failed []gjson.Result
	chat   map[int64]*streamed
	broken int // bytes of the event in which the stream broke off
}

// streamed is one item of the output as far as it came.
type streamed struct {
	item  gjson.Result // as it began, or as it is when done
	done  bool
	parts strings.Builder // its deltas, while it is not done
}

// events reads an answer that came as events.
func (r *reader) events(events [][]byte) {
	s := stream{byKey: map[string]*streamed{}, chat: map[int64]*streamed{}}
	for _, data := range events {
		if string(data) == "[DONE]" {
			s.ended = true
			continue
		}
		event, ok := parse(data)
		if !ok {
			s.broken = len(data)
			continue
		}
		s.take(event)
	}
	// A stream that gave no item, whole or in part, may name them at its end.
	if len(s.items) == 0 {
		s.last.Get("output").ForEach(func(_, item gjson.Result) bool {
			s.items = append(s.items, &streamed{item: item, done: true})
			return true
		})
	}
	for _, item := range s.items {
		r.streamed(item, s.ended)
	}
	for _, failed := range s.failed {
		r.failure(failed)
	}
	if !s.ended {
		text := "cut off here: the stream ended before the answer was complete"
		if s.broken > 0 {
			text += " (in the middle of an event, after " + Size(s.broken) + " of it)"
		}
		r.add(Entry{Kind: Note, Text: text, Cut: true})
	}
}

// take reads one event.
func (s *stream) take(event gjson.Result) {
	kind := event.Get("type").String()
	switch kind {
	case "response.output_item.added":
		s.at(event).item = event.Get("item")
	case "response.output_item.done":
		item := s.at(event)
		item.item, item.done = event.Get("item"), true
	case "response.completed", "response.done", "response.incomplete", "response.failed", "response.cancelled":
		s.ended = true
		s.last = event.Get("response")
		s.failed = append(s.failed, s.last)
	case "error":
		s.ended = true
		if !event.Get("error").Exists() { // its members stand in the event itself
			event = gjson.Parse(`{"error":` + event.Raw + `}`)
		}
		s.failed = append(s.failed, event)
	case "":
		s.completion(event)
	default:
		if delta := event.Get("delta"); strings.HasSuffix(kind, ".delta") && delta.Type == gjson.String {
			s.at(event).parts.WriteString(delta.String())
		}
	}
}

// at returns the item that an event is about.
func (s *stream) at(event gjson.Result) *streamed {
	key := event.Get("output_index").Raw
	if key == "" {
		key = cmp.Or(event.Get("item_id").String(), event.Get("item.id").String())
	}
	item := s.byKey[key]
	if item == nil {
		item = &streamed{}
		s.byKey[key] = item
		s.items = append(s.items, item)
	}
	return item
}

// completion reads one piece of a chat/completions stream.
func (s *stream) completion(event gjson.Result) {
	if failed := event.Get("error"); failed.Exists() {
		s.ended = true
		s.failed = append(s.failed, event)
	}
	event.Get("choices").ForEach(func(_, choice gjson.Result) bool {
		// One item for the text, one for each tool that is called.
		index := choice.Get("index").Int() << 32
		if text := choice.Get("delta.content").String() + choice.Get("text").String(); text != "" {
			s.chatItem(index, `{"type":"message","role":"assistant"}`).parts.WriteString(text)
		}
		choice.Get("delta.tool_calls").ForEach(func(_, call gjson.Result) bool {
			begun := `{"type":"function_call","name":` + cmp.Or(call.Get("function.name").Raw, "null") + `}`
			item := s.chatItem(index+1+call.Get("index").Int(), begun)
			item.parts.WriteString(call.Get("function.arguments").String())
			return true
		})
		if choice.Get("finish_reason").String() != "" {
			s.ended = true
		}
		return true
	})
}

func (s *stream) chatItem(index int64, begun string) *streamed {
	item := s.chat[index]
	if item == nil {
		item = &streamed{item: gjson.Parse(begun)}
		s.chat[index] = item
		s.items = append(s.items, item)
	}
	return item
}

// streamed adds one item of an answer that came as events. An item that was
// never done is what its deltas say, cut off unless the stream came to its end.
func (r *reader) streamed(item *streamed, ended bool) {
	if item.done {
		r.images = imagesIn(item.item)
		r.item(item.item)
		r.images = nil
		return
	}
	text := item.parts.String()
	entry := Entry{Kind: Assistant, Text: text, Cut: !ended}
	switch kind := item.item.Get("type").String(); {
	case kind == "reasoning":
		entry.Kind = Reasoning
	case strings.HasSuffix(kind, "_call"):
		entry.Kind = Call
		entry.Name = cmp.Or(item.item.Get("name").String(), strings.TrimSuffix(kind, "_call"))
		entry.Text = arguments(gjson.Result{Type: gjson.String, Str: text})
	case kind != "message" && kind != "":
		entry.Kind, entry.Name = Note, kind
	}
	r.add(entry)
}
