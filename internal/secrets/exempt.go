package secrets

import "bytes"

// place is a kind of object in a request, and says which of its members are not
// searched as text. A member is exempt where the API documents it, whatever it is
// called elsewhere. What is said of an object holds for those of a list in its
// place. A place that is nil exempts nothing.
type place struct {
	// ids are looked up by OpenAI or by Codex and must arrive as they are.
	ids map[string]bool
	// data are base64 or ciphertext; only the form of such data is passed over.
	data map[string]bool
	// below are the places of members.
	below map[string]*place
}

// rootPlace is a request's body. docs/secrets.md has the same table in words.
var rootPlace = func() *place {
	named := &place{ids: set("id")} // conversation, prompt, a chat's call
	part := &place{
		ids:  set("file_id"),
		data: set("image_url", "file_data", "encrypted_content", "data"),
		below: map[string]*place{
			"image_url":   {ids: set("file_id"), data: set("url")},
			"input_audio": {data: set("data")},
			"file":        {ids: set("file_id"), data: set("file_data")},
		},
	}
	item := &place{
		ids:  set("id", "call_id", "tool_call_id", "approval_request_id"),
		data: set("encrypted_content", "result"),
		below: map[string]*place{
			"content": part, "output": part, "tool_calls": named, "audio": named,
		},
	}
	return &place{
		ids: set("model", "prompt_cache_key", "safety_identifier", "previous_response_id", "conversation"),
		below: map[string]*place{
			"input": item, "messages": item, "conversation": named, "prompt": named, "images": part, "mask": part,
		},
	}
}()

func (p *place) hasID(key []byte) bool   { return p != nil && p.ids[string(key)] }
func (p *place) hasData(key []byte) bool { return p != nil && p.data[string(key)] }

func (p *place) of(key []byte) *place {
	if p == nil {
		return nil
	}
	return p.below[string(key)]
}

// isID reports whether a string has the form of an id: one word, and no longer
// than an id is.
func isID(content []byte) bool {
	const maxID = 256
	return len(content) <= maxID && (word | dash | dot | colon | plusSlash | equals).all(content)
}

// dataIn returns where the data begins that a string holds: base64 that is no
// text, or ciphertext, alone or in a data URL. It returns len(content) if the
// string is to be searched whole.
func dataIn(content []byte) int {
	const (
		minData = 64
		maxHead = 128
	)
	start := 0
	if rest, ok := bytes.CutPrefix(content, []byte("data:")); ok {
		comma := bytes.IndexByte(rest[:min(len(rest), maxHead)], ',')
		if comma < 0 || !bytes.HasSuffix(rest[:comma], []byte(";base64")) {
			return len(content)
		}
		start = len("data:") + comma + 1
	}
	data := bytes.TrimRight(content[start:], "=")
	if len(data) < minData || !(base64std | base64url).all(data) || looksLikeText(data) {
		return len(content)
	}
	return start
}
