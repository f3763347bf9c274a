package secrets

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
)

// Redaction is a request's body without its secrets.
type Redaction struct {
	// Body is what may leave: the body as it was given, the same slice, if nothing
	// was replaced.
	Body []byte
	// Findings are the secrets, in the order in which they stand.
	Findings []Located
	// Items counts the elements of the body's input, or of a chat's messages: as
	// a conversation goes on there are more of them.
	Items int

	// cuts are the parts of secrets that went on in other deltas than the one that
	// has the placeholder.
	cuts []edit
}

// Moved returns where in Body a byte of the body as it was given stands: one
// outside of the secrets, or the first of one.
func (r *Redaction) Moved(offset int) int {
	at := offset
	for _, f := range r.Findings {
		if f.Placeholder != "" && f.End <= offset {
			at += len(f.Placeholder) - (f.End - f.Start)
		}
	}
	for _, c := range r.cuts {
		if c.end <= offset {
			at -= c.end - c.start
		}
	}
	return at
}

// Located is a finding in a body, and what became of it.
type Located struct {
	Finding // its offsets are bytes of the body as it was given
	// At is where it, or its placeholder, stands in Redaction.Body, in bytes.
	At int
	// Path says which string holds it, such as "input[3].output". It is empty in
	// plain text.
	Path string
	// Fingerprint names the secret without telling it.
	Fingerprint string
	// Mode is what the policy says.
	Mode Mode
	// Placeholder is what left instead, if anything did.
	Placeholder string
	// New says that it is in no item that an earlier turn has sent: it stands
	// after the last thing that the model said.
	New bool
}

// segment is a part of a body that is scanned, and cached, as one.
type segment struct {
	start, end int
	key        []byte // the member that holds it
	path       string
	item       bool // an element of the input, or of a chat's messages
	cacheKey   cacheKey
}

// Redact finds the secrets in a request's body, any JSON, and replaces those
// that the policy wants replaced, and those that the conversation replaced
// before. All other bytes stay. The error says where the body is no JSON; it
// quotes nothing.
func (v *Vault) Redact(body []byte) (Redaction, error) {
	segments, err := split(body)
	if err != nil {
		return Redaction{}, err
	}
	result, err := v.redact(body, v.scanSegments(body, segments), func() int { return newFrom(body, segments) })
	for i := range segments {
		if segments[i].item {
			result.Items++
		}
	}
	return result, err
}

// scanSegments returns what appends the secrets that a scanner finds in a body's
// segments.
func (v *Vault) scanSegments(body []byte, segments []segment) func(*Scanner, []hit) ([]hit, error) {
	for i := range segments {
		s := &segments[i]
		s.cacheKey = v.cache.key(body[s.start:s.end])
	}
	return func(s *Scanner, hits []hit) (_ []hit, err error) {
		for i := range segments {
			if hits, err = v.scanSegment(s, body, &segments[i], hits); err != nil {
				return nil, err
			}
		}
		return hits, nil
	}
}

// RedactText does what Redact does to text that is no JSON, such as a header's
// value. All of it is new.
func (v *Vault) RedactText(text []byte) Redaction {
	scan := func(s *Scanner, hits []hit) ([]hit, error) {
		w := s.pool.Get().(*work)
		defer s.pool.Put(w)
		for _, m := range w.scan(text) {
			hits = append(hits, hit{rule: m.rule, start: m.start, end: m.end, close: len(text), encoding: m.encoding, bare: true})
		}
		return hits, nil
	}
	result, _ := v.redact(text, scan, func() int { return 0 }) // a text is never malformed
	return result
}

// redact replaces the secrets that scan finds in a body: first by the rules,
// then those that the conversation knows. What stands at or after fresh is new.
func (v *Vault) redact(body []byte, scan func(*Scanner, []hit) ([]hit, error), fresh func() int) (Redaction, error) {
	hits, err := scan(v.scanner, nil)
	if err != nil {
		return Redaction{}, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	hits = slices.DeleteFunc(hits, func(h hit) bool { return v.policy(h.rule.id, h.rule.class) == Off })
	for _, h := range hits {
		if v.policy(h.rule.id, h.rule.class) >= Redact {
			v.remember(body, h)
		}
	}
	if again := v.finder(); again != nil {
		found := len(hits)
		if hits, err = scan(again, hits); err != nil {
			return Redaction{}, err
		}
		for i := found; i < len(hits); i++ {
			hits[i].known = true
		}
	}
	if len(hits) == 0 {
		return Redaction{Body: body}, nil
	}
	return v.splice(body, merge(hits), fresh()), nil
}

// split divides a body. Of an object, as the Responses API and chat completions
// take it, each member is a segment, and each element of its input or messages;
// anything else is one.
func split(body []byte) ([]segment, error) {
	var all []segment
	start := skipSpace(body, 0)
	if at(body, start) != '{' {
		end, err := skipValue(body, start)
		if err == nil && skipSpace(body, end) != len(body) {
			err = malformed(end)
		}
		if err != nil {
			return nil, err
		}
		return []segment{{start: start, end: end}}, nil
	}
	end, err := members(body, start, func(key []byte, i int) (int, error) {
		if (string(key) == "input" || string(key) == "messages") && at(body, i) == '[' {
			return elements(body, i, func(n, i int) (int, error) {
				end, err := skipValue(body, i)
				all = append(all, segment{start: i, end: end, key: key, path: string(key) + "[" + strconv.Itoa(n) + "]", item: true})
				return end, err
			})
		}
		end, err := skipValue(body, i)
		if err == nil && (body[i] == '"' || body[i] == '{' || body[i] == '[') && !untouched[string(key)] && !bytes.HasSuffix(key, []byte("_id")) {
			all = append(all, segment{start: i, end: end, key: key, path: string(key)})
		}
		return end, err
	})
	if err != nil {
		return nil, err
	}
	if skipSpace(body, end) != len(body) {
		return nil, malformed(end)
	}
	return all, nil
}

// scanSegment appends the secrets that the scanner finds in a segment, with
// their offsets in the body. A segment that was scanned before is not again.
func (v *Vault) scanSegment(s *Scanner, body []byte, part *segment, hits []hit) ([]hit, error) {
	key := part.cacheKey
	key.rules = s.version + v.cache.hash(part.key)
	found, ok := v.cache.get(key)
	if !ok {
		w := s.pool.Get().(*work)
		defer s.pool.Put(w)
		walker := w.visit(body[part.start:part.end], &found)
		var err error
		if (string(part.key) == "tools" || string(part.key) == "functions") && body[part.start] == '[' {
			_, err = walker.tools(0)
		} else {
			_, err = walker.value(0, part.key)
		}
		if err != nil {
			return nil, err
		}
		v.cache.add(key, slices.Clip(found))
	}
	for _, h := range found {
		h.start, h.end, h.open, h.close = h.start+part.start, h.end+part.start, h.open+part.start, h.close+part.start
		h.path = part.path + h.path
		hits = append(hits, h)
	}
	return hits, nil
}

// merge sorts hits and joins those that overlap, so that no part of a secret
// stays.
func merge(hits []hit) []hit {
	slices.SortStableFunc(hits, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end))
	})
	kept := hits[:0]
	for _, h := range hits {
		if n := len(kept); n > 0 && h.start < kept[n-1].end {
			last := &kept[n-1]
			last.end = max(last.end, h.end)
			last.known = last.known || h.known
			last.encoding = max(last.encoding, h.encoding)
			if h.rule.class > last.rule.class {
				last.rule = h.rule
			}
			continue
		}
		kept = append(kept, h)
	}
	return kept
}

// splice writes the body with placeholders. What stands at or after fresh is
// new.
func (v *Vault) splice(body []byte, hits []hit, fresh int) Redaction {
	result := Redaction{Body: body}
	var out []byte
	copied := 0
	for _, h := range hits {
		value, _ := secretOf(body, h)
		found := Located{
			Finding:     Finding{Rule: h.rule.id, Class: h.rule.class, Start: h.start, End: h.end, Encoding: h.encoding},
			Path:        h.path,
			Fingerprint: v.scanner.key.Fingerprint(value),
			Mode:        v.policy(h.rule.id, h.rule.class),
			New:         h.start >= fresh,
		}
		if h.known {
			found.Mode = max(found.Mode, Redact)
		}
		found.At = len(out) + h.start - copied
		if found.Mode >= Redact {
			found.Placeholder = v.remember(body, h).placeholder
			if out == nil {
				out = make([]byte, 0, len(body)+len(body)/8+1024)
			}
			out = append(append(out, body[copied:h.start]...), found.Placeholder...)
			copied = h.end
		}
		result.Findings = append(result.Findings, found)
	}
	if copied > 0 {
		result.Body = append(out, body[copied:]...)
	}
	return result
}

// newFrom returns the offset behind the last item that the model made.
func newFrom(body []byte, segments []segment) int {
	for i := len(segments) - 1; i >= 0; i-- {
		if s := segments[i]; s.item && isModels(body[s.start:s.end]) {
			return s.end
		}
	}
	return 0
}

// isModels reports whether an item is the model's: what it said, thought or
// called.
func isModels(item []byte) bool {
	if at(item, 0) != '{' {
		return false
	}
	model := false
	_, _ = members(item, 0, func(key []byte, i int) (int, error) {
		end, err := skipValue(item, i)
		if err == nil && item[i] == '"' {
			value := item[i+1 : end-1]
			switch string(key) {
			case "role":
				model = model || string(value) == "assistant"
			case "type":
				model = model || string(value) == "reasoning" || bytes.HasSuffix(value, []byte("_call")) || isClosedItem(value)
			}
		}
		return end, err
	})
	return model
}
