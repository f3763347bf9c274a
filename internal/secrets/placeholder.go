package secrets

import (
	"bytes"
	"encoding/base32"
	"strings"
)

// A placeholder is __SECRET_<kind>_<16 base32>__: word characters only, so that
// it is the same in JSON, in URLs, in a shell and in source code, and tells both
// a model and a person what it stands for. Its sixteen characters are 80 bits of
// an HMAC of the secret under the installation's key.
const (
	placeholderHead = "__SECRET_"
	placeholderTail = "__"
	tagLength       = 16
	longestKind     = 40
)

// longestPlaceholder bounds what may have to be held back in a stream.
const longestPlaceholder = len(placeholderHead) + longestKind + 1 + tagLength + len(placeholderTail)

// tag is the part of a placeholder that names the secret.
type tag [tagLength]byte

// tagOf returns the tag of a value. A verbatim value is one that is written
// back as it stood, whatever layers of escapes it is in.
func (k *Key) tagOf(value []byte, verbatim bool) tag {
	purpose := "placeholder"
	if verbatim {
		purpose = "verbatim placeholder"
	}
	var t tag
	base32.StdEncoding.Encode(t[:], k.sum(purpose, value)[:tagLength*5/8])
	return t
}

func placeholder(kind string, t tag) string {
	kind = strings.ReplaceAll(kind, "-", "_")
	return placeholderHead + kind[:min(len(kind), longestKind)] + "_" + string(t[:]) + placeholderTail
}

// nextPlaceholder finds the first placeholder in text. If there is none, start
// is where something begins that more text could make one, or len(text).
func nextPlaceholder(text []byte) (start, end int, t tag, ok bool) {
	for i := 0; ; {
		k := bytes.Index(text[i:], []byte(placeholderHead))
		if k < 0 {
			return partialHead(text), 0, t, false
		}
		start = i + k
		body := start + len(placeholderHead)
		stop := bytes.Index(text[body:min(len(text), start+longestPlaceholder)], []byte(placeholderTail))
		if stop < 0 {
			if len(text)-start < longestPlaceholder && word.all(text[body:]) {
				return start, 0, t, false
			}
			i = start + 1
			continue
		}
		end = body + stop + len(placeholderTail)
		if t, ok = tagIn(text[body : body+stop]); ok {
			return start, end, t, true
		}
		i = start + 1
	}
}

// tagIn reads <kind>_<tag>.
func tagIn(text []byte) (t tag, ok bool) {
	if len(text) < tagLength+2 || text[len(text)-tagLength-1] != '_' {
		return t, false
	}
	copy(t[:], text[len(text)-tagLength:])
	for _, c := range t {
		if (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return t, false
		}
	}
	return t, word.all(text)
}

// partialHead returns where a beginning of placeholderHead ends the text, or
// len(text).
func partialHead(text []byte) int {
	for n := min(len(placeholderHead)-1, len(text)); n > 0; n-- {
		if string(text[len(text)-n:]) == placeholderHead[:n] {
			return len(text) - n
		}
	}
	return len(text)
}

// isPlaceholderToken reports whether value is a placeholder of ours.
func isPlaceholderToken(value []byte) bool {
	return bytes.HasPrefix(value, []byte(placeholderHead)) && bytes.HasSuffix(value, []byte(placeholderTail))
}
