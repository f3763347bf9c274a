package replay

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/terminal"
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

// Rule is the rule that found the secret, for which the span stands.
func (s Span) Rule() string {
	rule, _, _ := strings.Cut(s.Title, ",")
	return rule
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
			return append(all, Span{Text: terminal.SafeLines(text), Class: classControl})
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
		if len(all) >= most {
			return append(all, Span{Text: terminal.SafeLines(text), Class: classControl})
		}
		plain, hidden, rest := terminal.Cut(text)
		if plain != "" {
			all = append(all, Span{Text: plain})
		}
		if strings.HasPrefix(rest, "\n") {
			hidden = strings.TrimSuffix(hidden, "\r") // it ends a line, as it does elsewhere
		}
		if hidden != "" {
			all = append(all, Span{Text: terminal.Safe(hidden), Class: classControl})
		}
		text = rest
	}
	return all
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
	return terminal.Safe(text)
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
