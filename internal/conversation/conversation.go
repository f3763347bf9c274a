// Package conversation turns the bodies of an exchange into what a person
// reads: who said what, which tools were called and what they returned.
//
// It reads what Codex and OpenAI wrote: the Responses API over HTTP and over
// WebSockets, and chat/completions. New types of items and events come with
// every release of Codex, so nothing here has a closed set of types: what it
// does not know, it names with its type and size, and never drops. Any bytes
// can be read without an error.
//
// What it returns holds text as others wrote it. Printing it safely is the
// printer's part.
package conversation

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// Kind is what an entry is to its reader.
type Kind string

// The kinds of entries.
const (
	// Instructions are what the client tells the model before the developer
	// speaks: instructions, system and developer messages.
	Instructions Kind = "instructions"
	User         Kind = "user"
	Assistant    Kind = "assistant"
	Reasoning    Kind = "reasoning"
	// Call is a tool that the model asks for, Output what the tool returned.
	Call   Kind = "call"
	Output Kind = "output"
	// Failure is an error that an answer tells of.
	Failure Kind = "error"
	// Note is anything else, named rather than shown.
	Note Kind = "note"
)

// Entry is one item of a conversation.
type Entry struct {
	Kind Kind
	// Name is the tool's for a call or an output, the role for instructions; it
	// may be empty.
	Name string
	Text string
	// Cut says that the answer broke off within this entry.
	Cut bool
	// Place is where the entry's item stands in its body, as findings name it:
	// "input[3]"; empty for what a stream put together.
	Place string
	// CallID joins a call and its output, where they have one.
	CallID string
	// Images are the pictures that the body itself holds.
	Images []Image
	// Sum is the same for entries that say the same. A conversation's history is
	// sent again with every turn, and this tells what of it is.
	Sum Sum
}

// Request is what a request says.
type Request struct {
	Entries []Entry
	// Earlier is how many of the first entries an earlier request of the
	// conversation has sent already: all up to the model's last output.
	Earlier int
	// Previous is the id of the answer that the request goes on from, without
	// sending what was said before it; empty when it sends all.
	Previous string
}

// ReadRequest reads the body of a request: one JSON document, or the frames of
// a WebSocket, each on a line.
func ReadRequest(body []byte) Request {
	var r reader
	for _, document := range documents(body) {
		r.request(document)
	}
	return Request{Entries: r.entries, Earlier: r.earlier, Previous: r.previous}
}

// ReadResponse reads the body of an answer: server-sent events, the frames of a
// WebSocket, each on a line, one JSON document, or text.
func ReadResponse(body []byte) []Entry {
	var r reader
	if events, ok := sentEvents(body); ok {
		r.events(events)
		return r.entries
	}
	all := documents(body)
	if len(all) > 0 && eventType(all[0]) != "" {
		r.events(all)
		return r.entries
	}
	for _, document := range all {
		r.answer(document)
	}
	return r.entries
}

// reader gathers entries.
type reader struct {
	entries  []Entry
	earlier  int
	previous string
	// place and images are those of the item that is being read, and sealed what
	// it says without showing it.
	place  string
	images []Image
	sealed string
	// tools is the name of the tool of each call, by the call's id.
	tools map[string]string
}

func (r *reader) add(e Entry) {
	e.Place, e.Images = r.place, r.images
	e.Sum = sumOf(e, r.sealed)
	r.images = nil
	r.entries = append(r.entries, e)
}

// list reads the items of a list, which stands under the given name.
func (r *reader) list(name string, items gjson.Result) {
	n := 0
	items.ForEach(func(_, item gjson.Result) bool {
		r.place, r.images = name+"["+strconv.Itoa(n)+"]", imagesIn(item)
		r.item(item)
		n++
		return true
	})
	r.place, r.images = "", nil
}

// said marks that all so far was said before, as the model has answered it.
func (r *reader) said() { r.earlier = len(r.entries) }

func (r *reader) note(text string) { r.add(Entry{Kind: Note, Text: text}) }

// request reads one JSON document that a client sent.
func (r *reader) request(document []byte) {
	body, ok := parse(document)
	if !ok || !body.IsObject() {
		r.note(unreadable(document))
		return
	}
	known := false
	r.previous = body.Get("previous_response_id").String()
	if t := body.Get("type").String(); t != "" && t != "response.create" {
		r.note(named(t, body))
		return
	}
	if text := content(body.Get("instructions")); text != "" {
		r.place = "instructions"
		r.add(Entry{Kind: Instructions, Text: text})
	}
	if tools := body.Get("tools"); tools.IsArray() && len(tools.Array()) > 0 {
		r.place = "tools"
		r.note(toolList("tools", tools))
	}
	r.place = ""
	for _, path := range []string{"input", "messages", "prompt"} {
		switch list := body.Get(path); {
		case list.IsArray():
			known = true
			r.list(path, list)
		case list.Type == gjson.String:
			known = true
			r.place = path
			r.add(Entry{Kind: User, Text: list.String()})
			r.place = ""
		}
	}
	if !known {
		r.note(named("request", body) + "\n" + readable(body))
	}
}

// answer reads one JSON document, or text, that answers a request.
func (r *reader) answer(document []byte) {
	body, ok := parse(document)
	if !ok || !body.IsObject() {
		if !utf8.Valid(document) {
			r.note("[binary, " + Size(len(document)) + "]")
			return
		}
		r.add(Entry{Kind: Note, Name: "text", Text: string(document)})
		return
	}
	output := body.Get("output")
	known := output.IsArray() && len(output.Array()) > 0
	if known {
		r.list("output", output)
	}
	body.Get("choices").ForEach(func(_, choice gjson.Result) bool {
		known = true
		if message := choice.Get("message"); message.IsObject() {
			r.message(message)
		} else {
			r.add(Entry{Kind: Assistant, Text: choice.Get("text").String()})
		}
		return true
	})
	if r.failure(body) || known {
		return
	}
	r.add(Entry{Kind: Note, Name: "JSON", Text: readable(body)})
}

// failure adds the error that a response or an error document tells of.
func (r *reader) failure(body gjson.Result) bool {
	if reason := body.Get("incomplete_details.reason").String(); reason != "" {
		r.add(Entry{Kind: Failure, Text: "the answer is incomplete: " + reason})
		return true
	}
	failed := body.Get("error")
	if !failed.Exists() || failed.Type == gjson.Null {
		return false
	}
	text := failed.Get("message").String()
	if text == "" {
		text = readable(failed)
	}
	name := failed.Get("code").String()
	if name == "" {
		name = failed.Get("type").String()
	}
	r.add(Entry{Kind: Failure, Name: name, Text: text})
	return true
}

// documents splits a body into JSON documents: itself, where it is one, else its
// lines, where each is one; a body that is neither is returned as it is.
func documents(body []byte) [][]byte {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if json.Valid(body) || !bytes.HasPrefix(body, []byte("{")) {
		return [][]byte{body}
	}
	var all [][]byte
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			all = append(all, line)
		}
	}
	if !json.Valid(all[0]) { // no frames, but one document that broke off
		return [][]byte{body}
	}
	return all
}

// parse reads a JSON document. It answers false for what is none, and for what
// is nested deeper than 10,000, which only an attack is.
func parse(document []byte) (gjson.Result, bool) {
	if !json.Valid(document) {
		return gjson.Result{}, false
	}
	return gjson.ParseBytes(document), true
}

// unreadable names a request that is no JSON.
func unreadable(document []byte) string {
	if !utf8.Valid(document) {
		return "[binary, " + Size(len(document)) + "]"
	}
	const shown = 2000
	text := "[not readable as JSON, " + Size(len(document)) + "]"
	return text + "\n" + string(document[:min(shown, len(document))])
}
