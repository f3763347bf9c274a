package secrets

import (
	"encoding/binary"
	"sync"
	"unsafe"
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
	entries map[tag]*entry // nil until there is one
	order   []*entry
	kept    int // bytes that the entries take, about
	// again finds the entries' values wherever they come back; nil until one is
	// wanted, and again when an entry was added.
	again *Scanner
	// set names the entries that again finds.
	set uint64
	// sent are the last bodies, the newest first.
	sent []*sent
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
	return &Vault{scanner: scanner, cache: cache, policy: policy}
}

// Len returns how many placeholders the conversation has.
func (v *Vault) Len() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return len(v.entries)
}

// Bytes returns about how much memory the vault takes, in bytes.
func (v *Vault) Bytes() int {
	v.mu.RLock()
	defer v.mu.RUnlock()
	size := int(unsafe.Sizeof(*v)) + v.kept
	if v.again != nil {
		size += int(unsafe.Sizeof(*v.again)) + v.again.known.bytes()
	}
	for _, s := range v.sent {
		size += s.bytes()
	}
	return size
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
	if v.entries == nil {
		v.entries = map[tag]*entry{}
	}
	e := &entry{rule: r, placeholder: placeholder(r.id, t), value: append([]byte(nil), value...), verbatim: verbatim}
	v.entries[t] = e
	v.order = append(v.order, e)
	const slots = 3 * int(unsafe.Sizeof(t)+2*unsafe.Sizeof(e)) // in a map and in a slice, which are not full
	v.kept += int(unsafe.Sizeof(*e)) + cap(e.value) + len(e.placeholder) + slots
	if memorable(value) {
		v.set ^= binary.LittleEndian.Uint64(t[:8])
		v.again = nil
	}
	return e
}

// finder returns a scanner that finds the conversation's secrets, plain and
// encoded, whatever stands around them. The caller holds the lock.
func (v *Vault) finder() *Scanner {
	if v.again == nil && v.set != 0 {
		v.again = &Scanner{
			known: newFinder(v.order), key: v.scanner.key, version: v.scanner.version ^ v.set, pool: v.scanner.pool,
		}
	}
	return v.again
}
