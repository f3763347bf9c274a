package secrets

import (
	"slices"
	"unsafe"
)

// A conversation sends its history again with every turn. What of it was sent
// before is known by a hash under a seed that nobody knows, piece by piece: it is
// not validated, searched or judged again, only copied. A piece is compared with
// the one piece that stood in its place, by its length and 64 bits, so that another
// text passes for it once in 2^64 tries, which nobody can tell from outside.

// sent is what is remembered of a body that was searched: never its text.
type sent struct {
	list     string
	marks    []mark // each with the hash of what stands before it
	findings []Located
	set      uint64 // the secrets that the conversation knew
}

// sentPart is how far a body is the same as one before; the zero value says not at
// all.
type sentPart struct {
	sent *sent
	n    int  // marks that are the same
	last mark // the last of them
}

func (p sentPart) end() resume {
	if p.sent == nil {
		return resume{}
	}
	return resume{end: p.last.end, items: p.last.items, list: p.sent.list}
}

func (p sentPart) marks() []mark {
	if p.sent == nil {
		return nil
	}
	return slices.Clone(p.sent.marks[:p.n])
}

func (p sentPart) findings() []Located {
	if p.last.found == 0 {
		return nil
	}
	return slices.Clone(p.sent.findings[:p.last.found])
}

// A session's agents send bodies of their own by turns.
const (
	maxSent      = 4
	maxSentBytes = 1 << 20 // of those beside the last
	markApart    = 4 << 10 // bytes between two marks, but for the last
)

// sentBefore returns how far a body is one that this conversation has sent.
func (v *Vault) sentBefore(body []byte) (best sentPart) {
	v.mu.RLock()
	all := slices.Clone(v.sent)
	set := v.set
	v.mu.RUnlock()
	for _, s := range all {
		if s.set != set {
			continue
		}
		part := sentPart{sent: s}
		for _, m := range s.marks {
			if m.end > len(body) || v.cache.hash(body[part.last.end:m.end]) != m.hash {
				break
			}
			part.n, part.last = part.n+1, m
		}
		if part.last.end > best.last.end {
			best = part
		}
		if part.n == len(s.marks) {
			break
		}
	}
	return best
}

// keepSent remembers a body that was searched, in the place of the one that it
// continues. The caller holds the lock.
func (v *Vault) keepSent(body []byte, parts *layout, before sentPart, findings []Located, set uint64) {
	if len(parts.marks) == 0 {
		return
	}
	now := &sent{list: parts.list, findings: slices.Clone(findings), set: set}
	end, found := 0, 0
	for i, m := range parts.marks {
		if m.end-end < markApart && i < len(parts.marks)-1 {
			continue
		}
		if k := len(now.marks); i != k || i >= before.n {
			m.hash = v.cache.hash(body[end:m.end])
		}
		for found < len(findings) && findings[found].Start < m.end {
			found++
		}
		m.found, end = found, m.end
		now.marks = append(now.marks, m)
	}
	now.marks, now.findings = slices.Clip(now.marks), now.findings[:found]
	v.sent = slices.DeleteFunc(v.sent, func(s *sent) bool {
		return s.set != v.set || s == before.sent && 2*before.n >= len(s.marks)
	})
	v.sent = append([]*sent{now}, v.sent...)
	for total, i := 0, 1; i < len(v.sent); i++ {
		if total += v.sent[i].bytes(); i >= maxSent || total > maxSentBytes {
			v.sent = slices.Clip(v.sent[:i])
		}
	}
}

// bytes is about how much memory it takes.
func (s *sent) bytes() int {
	size := int(unsafe.Sizeof(*s)) + len(s.marks)*int(unsafe.Sizeof(mark{})) + cap(s.findings)*int(unsafe.Sizeof(Located{}))
	for i := range s.findings {
		size += len(s.findings[i].Path) + len(s.findings[i].Fingerprint)
	}
	return size
}
