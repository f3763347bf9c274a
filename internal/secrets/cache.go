package secrets

import (
	"hash/maphash"
	"sync"
	"unsafe"
)

// Cache remembers which items were scanned and where their secrets stand, so
// that a conversation's history, which each turn sends again, is scanned once.
// It holds hashes and offsets, never text. It is safe for concurrent use, and
// one serves all conversations under the same Scanner.
type Cache struct {
	seed maphash.Seed
	mu   sync.Mutex
	// Two generations: when the young one is full it becomes the old one, and
	// what the old one had and nobody asked for since is forgotten.
	young, old map[cacheKey][]hit
	weight     int // items in the young one, and their secrets
	oldWeight  int // in the old one
	limit      int
}

// cacheKey is an item by its hash and length, under one set of rules.
type cacheKey struct {
	hash   uint64
	length int
	rules  uint64
}

// NewCache returns a cache of at most 2*limit items and secrets in them, together.
func NewCache(limit int) *Cache {
	return &Cache{seed: maphash.MakeSeed(), young: map[cacheKey][]hit{}, limit: limit}
}

// hash is under a seed that nobody knows, so that nobody can make two items
// with the same one.
func (c *Cache) hash(b []byte) uint64 { return maphash.Bytes(c.seed, b) }

func (c *Cache) key(item []byte) cacheKey {
	return cacheKey{hash: c.hash(item), length: len(item)}
}

func (c *Cache) get(k cacheKey) ([]hit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	hits, ok := c.young[k]
	if !ok {
		if hits, ok = c.old[k]; ok {
			c.put(k, hits)
		}
	}
	return hits, ok
}

func (c *Cache) add(k cacheKey, hits []hit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(k, hits)
}

func (c *Cache) put(k cacheKey, hits []hit) {
	weight := 1 + len(hits)
	if weight > c.limit {
		return
	}
	if c.weight+weight > c.limit {
		c.oldWeight = c.weight
		c.old, c.young, c.weight = c.young, make(map[cacheKey][]hit), 0
	}
	c.young[k] = hits
	c.weight += weight
}

// Bytes returns about how much memory the cache takes, in bytes.
func (c *Cache) Bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	const each = int(2*unsafe.Sizeof(cacheKey{}) + unsafe.Sizeof(hit{}))
	return (c.weight + c.oldWeight) * each
}
