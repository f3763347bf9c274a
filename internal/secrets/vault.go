package secrets

import (
	"encoding/binary"
	"sync"
)

// Vault is what one conversation knows: which placeholder stands for which
// secret. It lives in memory only, as long as the conversation's request or
// connection, and is safe for concurrent use. Made anew for each request that
// brings the whole history, it is the same each time.
type Vault struct {
	scanner *Scanner
	cache   *Cache
	policy  Policy

	mu      sync.RWMutex
	entries map[tag]*entry
	order   []*entry
	// again finds the entries' values wherever they come back; nil until one is
	// wanted, and again when an entry was added.
	again *Scanner
	// set names the entries that again finds.
	set uint64
	// escapes says that some value is written otherwise inside JSON.
	escapes bool
}

// entry is a secret and its placeholder.
type entry struct {
	rule        *rule
	placeholder string
	value       []byte
	verbatim    bool
}

// NewVault returns the empty vault of a new conversation. The scanner and the
// policy stay the same for all of it; the cache may be shared.
func NewVault(scanner *Scanner, cache *Cache, policy Policy) *Vault {
	return &Vault{scanner: scanner, cache: cache, policy: policy, entries: map[tag]*entry{}}
}

// Len returns how many placeholders the conversation has.
func (v *Vault) Len() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.entries)
}

// lookup returns the entry with the tag, if this conversation issued it.
func (v *Vault) lookup(t tag) (*entry, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	e, ok := v.entries[t]
	return e, ok
}

// issue returns the entry of a value, which it makes if need be. The caller
// holds the lock.
func (v *Vault) issue(r *rule, value []byte, verbatim bool) *entry {
	t := v.scanner.key.tagOf(value, verbatim)
	if e, ok := v.entries[t]; ok {
		return e
	}
	e := &entry{rule: r, placeholder: placeholder(r.id, t), value: append([]byte(nil), value...), verbatim: verbatim}
	v.entries[t] = e
	v.order = append(v.order, e)
	v.escapes = v.escapes || needsEscape(value)
	if memorable(value) {
		v.set ^= binary.LittleEndian.Uint64(t[:8])
		v.again = nil
	}
	return e
}

// memorable reports whether a value is so particular that its bytes anywhere
// are that value: "secret12" in a URL must not redact each "secret12" that a
// program's text may have.
func memorable(value []byte) bool {
	if len(value) < 8 || isWeak(value) {
		return false
	}
	return !wordy(value) || len(value) >= 16
}

// finder returns a scanner that finds the conversation's secrets, plain and
// encoded, whatever stands around them. The caller holds the lock.
func (v *Vault) finder() *Scanner {
	if v.again != nil || v.set == 0 {
		return v.again
	}
	s := &Scanner{filter: newFilter(), key: v.scanner.key, version: v.scanner.version ^ v.set}
	s.pool.New = func() any { return &work{scanner: s} }
	for _, e := range v.order {
		if !memorable(e.value) {
			continue
		}
		folded := make([]byte, len(e.value))
		for i, c := range e.value {
			folded[i] = fold(c)
		}
		r := &rule{e.rule.id, e.rule.class, rankForm}
		s.filter.add(string(folded), 0, func(view *view, start, end int) {
			if string(view.text[start:end]) == string(e.value) && (len(e.value) >= 16 || standsAlone(view.text, start, end)) {
				view.report(r, start, end)
			}
		})
	}
	v.again = s
	return s
}

// standsAlone reports whether no word goes on at either end of text[start:end].
func standsAlone(text []byte, start, end int) bool {
	return startsWord(text, start) && !(word.has(text[start]) && start > 0 && word.has(text[start-1])) &&
		!(word.has(text[end-1]) && word.has(at(text, end)))
}
