package redaction

import (
	"sync"
	"sync/atomic"
	"time"

	"codex-proxy/internal/secrets"
)

// Conversations keeps, in memory and nowhere else, what the requests of one
// conversation must know of each other: which placeholder stands for which
// secret, also after the history that brought it was compacted away, and what a
// request was refused for. It is safe for concurrent use.
type Conversations struct {
	rules atomic.Pointer[Rules]
	now   func() time.Time
	limit int // bytes of all that are remembered, about

	mu sync.Mutex
	// Two generations: what nobody asked for in a whole one is forgotten. One ends
	// with its time, or when it takes half of the limit.
	young, old *remembered
}

// remembered are the conversations of one generation.
type remembered struct {
	since time.Time
	talks map[key]*Conversation
	bytes int
}

// key names a conversation. A session belongs to one developer, whatever others
// may say; and another set of rules begins anew.
type key struct{ developer, team, session, rules string }

const (
	// generation is how long a conversation is remembered that goes silent, at
	// least; twice that at the most.
	generation = 12 * time.Hour
	// MaxRemembered is the usual bound of what all conversations take, in bytes.
	MaxRemembered = 128 << 20
)

// NewConversations returns what remembers conversations under rules, in about so
// many bytes, of which one conversation may take a 16th. It tells the time by now
// (time.Now, outside tests).
func NewConversations(rules *Rules, maxBytes int, now func() time.Time) *Conversations {
	c := &Conversations{now: now, limit: maxBytes, young: newGeneration(now()), old: newGeneration(now())}
	c.rules.Store(rules)
	return c
}

func newGeneration(since time.Time) *remembered {
	return &remembered{since: since, talks: map[key]*Conversation{}}
}

// SetRules replaces the rules. A conversation goes on under those that it began
// under, where the new ones know them too.
func (c *Conversations) SetRules(rules *Rules) { c.rules.Store(rules) }

// Of returns the conversation that a session of Codex is, or nil if nobody's
// secrets are looked for. Without a session each request is a conversation of its
// own.
func (c *Conversations) Of(developer, team, session string) *Conversation {
	rules := c.rules.Load().For(developer, team, session)
	if rules.Off() {
		return nil
	}
	if session == "" {
		return newConversation(rules)
	}
	k := key{developer, team, session, rules.Version()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.young.since) > generation {
		c.turn()
	}
	talk := c.young.talks[k]
	if talk != nil {
		return talk
	}
	if talk = c.old.talks[k]; talk == nil {
		talk = newConversation(rules)
		talk.home, talk.key = c, k
		talk.weight = talk.bytes()
	} else {
		c.old.remove(talk)
	}
	c.young.add(talk)
	return talk
}

// Bytes returns about how much memory is taken by the conversations that are
// remembered, and by what is known of their items, in bytes.
func (c *Conversations) Bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.young.bytes + c.old.bytes + c.rules.Load().cache.Bytes()
}

// turn begins a generation. The caller holds the lock.
func (c *Conversations) turn() { c.old, c.young = c.young, newGeneration(c.now()) }

// weigh notes what a conversation takes by now, and forgets what is too much.
func (c *Conversations) weigh(talk *Conversation) {
	size := talk.bytes()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range []*remembered{c.young, c.old} {
		if of.talks[talk.key] == talk {
			of.bytes += size - talk.weight
			if talk.weight = size; size > c.limit/16 {
				of.remove(talk)
			}
		}
	}
	if c.young.bytes > c.limit/2 {
		c.turn()
	}
}

func (r *remembered) add(talk *Conversation) {
	r.talks[talk.key] = talk
	r.bytes += talk.weight
}

func (r *remembered) remove(talk *Conversation) {
	delete(r.talks, talk.key)
	r.bytes -= talk.weight
}

// Conversation is what is known of one conversation. It is safe for concurrent
// use.
type Conversation struct {
	rules *Ruleset
	vault *secrets.Vault
	// home remembers the conversation; nil if nothing does.
	home   *Conversations
	key    key
	weight int // bytes that home counts; under its lock

	mu sync.Mutex
	// refused are the fingerprints that requests were refused for, with how many
	// items the first of them had; nil until there is one.
	refused map[string]int
}

func newConversation(rules *Ruleset) *Conversation {
	return &Conversation{rules: rules, vault: rules.NewVault()}
}

// bytes is about how much memory the conversation takes.
func (c *Conversation) bytes() int {
	const self, refusal = 512, 128 // with its place in a map
	c.mu.Lock()
	refused := len(c.refused)
	c.mu.Unlock()
	return self + len(c.key.developer) + len(c.key.session) + refused*refusal + c.vault.Bytes()
}

// Closed reports whether what cannot be searched must not leave.
func (c *Conversation) Closed() bool { return c.rules.Closed() }

// Restores reports whether answers may hold something to restore.
func (c *Conversation) Restores() bool {
	return c.rules.Reach() != secrets.RestoreOff && c.vault.Len() > 0
}

// Restorer returns what restores one answer.
func (c *Conversation) Restorer() *secrets.Restorer { return c.vault.Restorer(c.rules.Reach()) }

// bars reports whether a new secret that must not leave refuses a request of so
// many items. Codex keeps what was refused in its history: once the developer has
// gone on, so that the request has more items, the placeholder leaves instead, or
// one secret would end the conversation. The same request sent again is refused
// again. Remember is false for requests that the developer did not make.
func (c *Conversation) bars(fingerprint string, items int, remember bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first, known := c.refused[fingerprint]
	if known {
		return items <= first
	}
	if remember {
		if c.refused == nil {
			c.refused = map[string]int{}
		}
		c.refused[fingerprint] = items
	}
	return true
}
