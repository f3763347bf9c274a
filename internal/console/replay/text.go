package replay

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"codex-proxy/internal/exchange"
)

// Run is a part of a text that is laid out in one way, such as a line that a
// diff adds.
type Run struct {
	// Class is "", or one of cmd, arg, code, add, del, hunk and file.
	Class string
	Spans []Span
}

// Span is text that looks the same from end to end.
type Span struct {
	Text string
	// Class is "", "ctl" for characters that were made visible, or "secret" for
	// the placeholder of one.
	Class string
	// Title explains the span.
	Title string
}

const (
	classControl = "ctl"
	classSecret  = "secret"
	// mostSpans bounds what a text is cut into; what is left is one more span.
	mostSpans = 2000
)

// placeholderForm is how a placeholder looks: the rule that found the secret,
// and 80 bits that name it.
var placeholderForm = regexp.MustCompile(`__SECRET_([A-Za-z0-9_]{1,60})_[A-Z2-7]{16}__`)

// secretsByPlaceholder tells what stands behind the placeholders of a record.
type secretsByPlaceholder map[string]exchange.Finding

// placeholdersIn reads which placeholder stands where a finding says that one
// does.
func placeholdersIn(body []byte, findings []exchange.Finding) secretsByPlaceholder {
	known := secretsByPlaceholder{}
	const longest = 100
	for _, f := range findings {
		if f.Mode != exchange.Redacted || strings.HasPrefix(f.Path, "header ") || f.Offset < 0 || f.Offset >= int64(len(body)) {
			continue
		}
		text := body[f.Offset:min(int64(len(body)), f.Offset+longest)]
		if at := placeholderForm.FindIndex(text); at != nil && at[0] == 0 {
			known[string(text[:at[1]])] = f
		}
	}
	return known
}

// title says what a placeholder stands for.
func (s secretsByPlaceholder) title(placeholder string) string {
	if f, ok := s[placeholder]; ok {
		return f.Rule + ", fingerprint " + f.Fingerprint
	}
	rule := placeholderForm.FindStringSubmatch(placeholder)[1]
	return strings.ReplaceAll(rule, "_", "-")
}

// spans cuts a text so that placeholders stand out, and so that nothing in it
// can hide or reorder anything.
func (s secretsByPlaceholder) spans(text string) []Span {
	var all []Span
	for text != "" {
		if len(all) >= mostSpans {
			return append(all, Span{Text: spelled(text), Class: classControl})
		}
		at := placeholderForm.FindStringIndex(text)
		if at == nil {
			return append(all, visible(text, mostSpans-len(all))...)
		}
		all = append(all, visible(text[:at[0]], mostSpans-len(all))...)
		placeholder := text[at[0]:at[1]]
		all = append(all, Span{Text: placeholder, Class: classSecret, Title: s.title(placeholder)})
		text = text[at[1]:]
	}
	return all
}

// visible cuts a text into what can be shown as it is and what cannot: control
// characters, the marks that turn the direction of writing, characters that take
// no room, and bytes that are not UTF-8 are spelled out.
func visible(text string, most int) []Span {
	var all []Span
	for text != "" {
		plain := strings.IndexFunc(text, unseen)
		if plain < 0 {
			return append(all, Span{Text: text})
		}
		if plain > 0 {
			all, text = append(all, Span{Text: text[:plain]}), text[plain:]
		}
		if len(all) >= most {
			return append(all, Span{Text: spelled(text), Class: classControl})
		}
		var spelled strings.Builder
		for text != "" {
			r, size := utf8.DecodeRuneInString(text)
			if !unseen(r) {
				break
			}
			if r != '\r' || !strings.HasPrefix(text, "\r\n") {
				spelled.WriteString(spell(r, text[:size]))
			}
			text = text[size:]
		}
		if spelled.Len() > 0 {
			all = append(all, Span{Text: spelled.String(), Class: classControl})
		}
	}
	return all
}

// unseen reports whether a character does something other than being seen.
// utf8.RuneError is among them, as it stands for bytes that are no character.
func unseen(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r <= 0x9f, r == 0xad, r == utf8.RuneError,
		r == 0x061c, r == 0x180e,
		r == 0x200b, r == 0x200e, r == 0x200f, // not the joiners, which scripts and emoji need
		r >= 0x2028 && r <= 0x202e,
		r >= 0x2060 && r <= 0x206f,
		r == 0xfeff,
		r >= 0xe0000 && r <= 0xe0fff: // tags and variation selectors, in which text hides
		return true
	}
	return false
}

// spelled is text with all in it spelled out that cannot be seen.
func spelled(text string) string {
	var out strings.Builder
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if unseen(r) {
			out.WriteString(spell(r, text[:size]))
		} else {
			out.WriteString(text[:size])
		}
		text = text[size:]
	}
	return out.String()
}

// spell names a character that cannot be seen.
func spell(r rune, raw string) string {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		return fmt.Sprintf(`\x%02x`, raw[0])
	case r == utf8.RuneError:
		return raw
	case r < 0xa0:
		return fmt.Sprintf(`\x%02x`, r)
	}
	return fmt.Sprintf("U+%04X", r)
}

// shortID is enough of an id to tell it from its neighbours: its end, as ids begin
// with their time.
func shortID(id string) string {
	const enough = 12
	return line(id[max(0, len(id)-enough):], enough)
}

// line returns text as one harmless line of at most so many characters.
func line(text string, most int) string {
	if len(text) > 4*most { // never fold a megabyte for a line
		text = text[:4*most]
	}
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most-1]) + "…"
	}
	return spelled(text)
}

// cutText returns the beginning of a text, at most so many bytes, that ends with a
// line where it can and never inside a character; and how many bytes follow.
func cutText(text string, most int) (beginning string, left int) {
	if len(text) <= most {
		return text, 0
	}
	end := most
	if at := strings.LastIndexByte(text[:most], '\n'); at > most/2 {
		end = at + 1
	}
	for end > most-utf8.UTFMax && end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end], len(text) - end
}

// cutLines returns the first n lines of a text, and the rest.
func cutLines(text string, n int) (first, rest string) {
	end := 0
	for range n {
		at := strings.IndexByte(text[end:], '\n')
		if at < 0 {
			return text, ""
		}
		end += at + 1
	}
	return text[:end], text[end:]
}
