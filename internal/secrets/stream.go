package secrets

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// RedactStream does what Redact does to an answer that is there whole: to
// server-sent events, to documents that stand on a line each, as the frames of
// a WebSocket are recorded, to one document, and to text. Each document is
// redacted on its own. A text that comes in deltas is read as the whole that
// they make: of a secret in it, the delta that it begins in gets the
// placeholder, and those that it goes on in lose its bytes. All of it is new.
//
// A finding in a text of deltas has the offsets of its part in the first.
func (v *Vault) RedactStream(body []byte) Redaction {
	documents := documentsIn(body)
	var edits []edit
	var findings []Located
	for _, text := range deltaTexts(body, documents) {
		edits, findings = v.redactDeltas(body, &text, edits, findings)
	}
	take := func(start int, path string, part Redaction) {
		for _, f := range part.Findings {
			f.Path, f.Start, f.End, f.New = join(path, f.Path), f.Start+start, f.End+start, true
			findings = append(findings, f)
			if f.Placeholder != "" {
				edits = append(edits, edit{f.Start, f.End, f.Placeholder})
			}
		}
	}
	between := 0
	for n, d := range documents {
		take(between, "", v.RedactText(body[between:d.start]))
		path := ""
		if len(documents) > 1 {
			path = fmt.Sprintf("events[%d]", n)
		}
		take(d.start, path, v.redactBesideDeltas(body[d.start:d.end]))
		between = d.end
	}
	take(between, "", v.RedactText(body[between:]))
	return assemble(body, edits, findings)
}

// redactBesideDeltas redacts a document, but for its deltas: what they are part
// of was judged as a whole.
func (v *Vault) redactBesideDeltas(document []byte) Redaction {
	parts, err := split(document, resume{})
	if err != nil {
		return v.RedactText(document)
	}
	scan := v.scanSegments(document, parts.segments)
	deltas := readHead(document).deltas
	inDelta := func(h hit) bool {
		return slices.ContainsFunc(deltas, func(d delta) bool { return d.start == h.open })
	}
	result, _, err := v.redact(document, parts, sentPart{}, func(s *Scanner, hits []hit) ([]hit, error) {
		hits, err := scan(s, hits)
		return slices.DeleteFunc(hits, inDelta), err
	})
	if err != nil {
		return v.RedactText(document)
	}
	return result
}

// redactDeltas finds the secrets in a text of deltas and appends what is to
// change in the body.
func (v *Vault) redactDeltas(body []byte, text *deltaText, edits []edit, findings []Located) ([]edit, []Located) {
	for _, f := range v.RedactText(text.content).Findings {
		first := true
		for _, p := range text.pieces {
			if f.End <= p.at || f.Start >= p.at+p.size {
				continue
			}
			spans := cursor{text: body[p.start:p.end], size: escapedSize}
			from, to := spans.span(max(f.Start-p.at, 0), min(f.End-p.at, p.size))
			part := edit{start: p.start + from, end: p.start + to}
			if first {
				part.text = f.Placeholder
				located := f
				located.Start, located.End, located.Path = part.start, part.end, p.path
				findings = append(findings, located)
			}
			if f.Placeholder != "" {
				edits = append(edits, part)
			}
			first = false
		}
	}
	return edits, findings
}

// deltaText is a text that comes in deltas, as the whole that they make.
type deltaText struct {
	stream  string
	content []byte
	pieces  []deltaPiece
}

// deltaPiece is one delta: the content of a string at body[start:end], which is
// size bytes of the text, from at on.
type deltaPiece struct {
	start, end int
	at, size   int
	path       string
}

// deltaTexts joins the deltas of a body's documents, in the order in which the
// texts begin.
func deltaTexts(body []byte, documents []span) []deltaText {
	var all []deltaText
	known := map[string]int{}
	for n, document := range documents {
		for _, d := range readHead(body[document.start:document.end]).deltas {
			i, ok := known[d.stream]
			if !ok {
				i = len(all)
				known[d.stream] = i
				all = append(all, deltaText{stream: d.stream})
			}
			t := &all[i]
			piece := deltaPiece{start: document.start + d.start, end: document.start + d.end, at: len(t.content), path: fmt.Sprintf("events[%d].delta", n)}
			plain, _ := unescape(nil, body[piece.start:piece.end])
			piece.size = len(plain)
			t.content = append(t.content, plain...)
			t.pieces = append(t.pieces, piece)
		}
	}
	return all
}

// span is body[start:end].
type span struct{ start, end int }

// documentsIn returns the JSON objects and arrays of a body: all of it if it is
// one, or else those that have a line to themselves, or a line of data of a
// server-sent event.
func documentsIn(body []byte) []span {
	start := skipSpace(body, 0)
	if end, ok := document(body, start); ok {
		return []span{{start, end}}
	}
	var all []span
	for line := 0; line < len(body); {
		next := len(body)
		if n := bytes.IndexByte(body[line:], '\n'); n >= 0 {
			next = line + n + 1
		}
		value := line
		if rest, ok := bytes.CutPrefix(body[line:next], []byte("data:")); ok {
			value = next - len(rest)
		}
		value = skipBlanks(body, value)
		if end, ok := document(body[:next], value); ok {
			all = append(all, span{value, end})
		}
		line = next
	}
	return all
}

// document returns the end of the object or array at i, if it is one and
// nothing follows it but blanks.
func document(text []byte, i int) (end int, ok bool) {
	if c := at(text, i); c != '{' && c != '[' {
		return 0, false
	}
	end, err := skipValue(text, i)
	return end, err == nil && skipSpace(text, end) == len(text) && json.Valid(text[i:end])
}

// join puts a path behind another.
func join(path, rest string) string {
	if path == "" || rest == "" || rest[0] == '[' {
		return path + rest
	}
	return path + "." + rest
}

// edit puts text in the place of [start,end).
type edit struct {
	start, end int
	text       string
}

// assemble makes the edits, and tells the findings where they then stand. Of
// edits that overlap the first is made.
func assemble(body []byte, edits []edit, findings []Located) Redaction {
	if len(findings) == 0 {
		return Redaction{Body: body}
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Compare(a.start, b.start) })
	slices.SortStableFunc(findings, func(a, b Located) int { return cmp.Compare(a.Start, b.Start) })
	result := Redaction{Body: body, Findings: findings}
	if len(edits) > 0 {
		result.Body = make([]byte, 0, len(body)+len(body)/8)
	}
	copied, next, grown := 0, 0, 0
	for _, e := range edits {
		if e.start < copied {
			continue
		}
		for ; next < len(findings) && findings[next].Start <= e.start; next++ {
			findings[next].At = findings[next].Start + grown
		}
		result.Body = append(append(result.Body, body[copied:e.start]...), e.text...)
		grown += len(e.text) - (e.end - e.start)
		copied = e.end
		if e.text == "" {
			result.cuts = append(result.cuts, e)
		}
	}
	for ; next < len(findings); next++ {
		findings[next].At = findings[next].Start + grown
	}
	if len(edits) > 0 {
		result.Body = append(result.Body, body[copied:]...)
	}
	return result
}
