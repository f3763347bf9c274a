package secrets

import (
	"cmp"
	"slices"
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
	in         *place
	isItem     bool // an element of the input, or of a chat's messages
	n          int  // which one
	isName     bool // the name of a member
	cacheKey   cacheKey
}

// Redact finds the secrets in a request's body, any JSON, and replaces those
// that the policy wants replaced, and those that the conversation replaced
// before. All other bytes stay. What the conversation has sent before is neither
// validated nor searched again. The error says where the body is no JSON text in
// UTF-8; it quotes nothing.
func (v *Vault) Redact(body []byte) (Redaction, error) {
	before := v.sentBefore(body)
	for {
		parts, err := split(body, before.end())
		if err != nil {
			return Redaction{}, err
		}
		parts.continued = true
		result, again, err := v.redact(body, parts, before, v.scanSegments(body, parts.segments))
		if !again {
			return result, err
		}
		before = sentPart{} // a secret that is new may stand there too
	}
}

// scanSegments returns what appends the secrets that a scanner finds in a body's
// segments.
func (v *Vault) scanSegments(body []byte, segments []segment) scan {
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

// scan appends the secrets that a scanner finds in a body.
type scan func(s *Scanner, hits []hit) ([]hit, error)

// RedactText does what Redact does to text that is no JSON, such as a header's
// value. All of it is new.
func (v *Vault) RedactText(text []byte) Redaction {
	result, _, _ := v.redact(text, layout{}, sentPart{}, func(s *Scanner, hits []hit) ([]hit, error) {
		w := s.work()
		defer s.pool.Put(w)
		for _, m := range w.scan(text) {
			hits = append(hits, hit{rule: m.rule, start: m.start, end: m.end, close: len(text), encoding: m.encoding, bare: true})
		}
		return hits, nil
	}) // a text is never malformed
	return result
}

// redact replaces the secrets that scan finds in a body: first by the rules,
// then those that the conversation knows. Again says that the conversation knows
// more than when the part was sent that is not in parts.
func (v *Vault) redact(body []byte, parts layout, before sentPart, scan scan) (_ Redaction, again bool, err error) {
	hits, err := scan(v.scanner, nil)
	if err != nil {
		return Redaction{}, false, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	hits = slices.DeleteFunc(hits, func(h hit) bool { return v.policy(h.rule.id, h.rule.class) == Off })
	read := values{body: body}
	for _, h := range hits {
		if v.policy(h.rule.id, h.rule.class) >= Redact {
			value, verbatim := read.of(h)
			v.remember(h, value, verbatim)
		}
	}
	set := v.set
	if before.sent != nil && before.sent.set != set {
		return Redaction{}, true, nil
	}
	if finder := v.finder(); finder != nil {
		found := len(hits)
		if hits, err = scan(finder, hits); err != nil {
			return Redaction{}, false, err
		}
		for i := found; i < len(hits); i++ {
			hits[i].known = true
		}
	}
	findings := append(before.findings(), v.settle(body, merge(hits), parts)...)
	if parts.continued {
		parts.add(body, before)
		v.keepSent(body, &parts, before, findings, set)
	}
	result := splice(body, findings, parts.model)
	result.Items = parts.items
	return result, false, nil
}

// scanSegment appends the secrets that the scanner finds in a segment, with
// their offsets in the body. A segment that was scanned before is not again.
func (v *Vault) scanSegment(s *Scanner, body []byte, part *segment, hits []hit) ([]hit, error) {
	key := part.cacheKey
	key.rules = s.version + v.cache.hash(part.key)
	found, ok := v.cache.get(key)
	if !ok {
		raw := body[part.start:part.end]
		if s == v.scanner { // the first to look
			if err := checkJSON(raw, part.start); err != nil {
				return nil, err
			}
		}
		w := s.work()
		defer s.pool.Put(w)
		walker := w.visit(raw, &found)
		if part.isName {
			walker.name(1, len(raw)-1)
		} else if _, err := walker.value(0, part.key, part.in); err != nil {
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

// settle decides what becomes of hits.
func (v *Vault) settle(body []byte, hits []hit, parts layout) []Located {
	inName := slices.ContainsFunc(hits, func(h hit) bool { return h.isName })
	read := values{body: body}
	var all []Located
	for _, h := range hits {
		value, verbatim := read.of(h)
		found := Located{
			Finding:     Finding{Rule: h.rule.id, Class: h.rule.class, Start: h.start, End: h.end, Encoding: h.encoding},
			Path:        h.path,
			Fingerprint: v.scanner.key.Fingerprint(value),
			Mode:        v.policy(h.rule.id, h.rule.class),
		}
		if h.known {
			found.Mode = max(found.Mode, Redact)
		}
		if inName { // which a path below it would quote
			found.Path = parts.pathAt(h.start)
		}
		if found.Mode >= Redact {
			found.Placeholder = v.remember(h, value, verbatim).placeholder
		}
		all = append(all, found)
	}
	return all
}

// splice writes the body with placeholders. What stands at or after fresh is
// new.
func splice(body []byte, findings []Located, fresh int) Redaction {
	result := Redaction{Body: body, Findings: findings}
	var out []byte
	copied := 0
	for i := range findings {
		f := &findings[i]
		f.New = f.Start >= fresh
		f.At = len(out) + f.Start - copied
		if f.Placeholder == "" {
			continue
		}
		if out == nil {
			out = make([]byte, 0, len(body)+len(body)/8+1024)
		}
		out = append(append(out, body[copied:f.Start]...), f.Placeholder...)
		copied = f.End
	}
	if copied > 0 {
		result.Body = append(out, body[copied:]...)
	}
	return result
}
