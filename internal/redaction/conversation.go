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

	mu sync.Mutex
	// Two generations: what nobody asked for in a whole one is forgotten.
	young, old map[key]*Conversation
	turned     time.Time
}

// key names a conversation. A session belongs to one developer, whatever others
// may say; and another set of rules begins anew.
type key struct{ developer, team, session, rules string }

// How long a conversation is remembered that goes silent, at least, and how many
// are at the most; twice that in the worst case.
const (
	generation       = 12 * time.Hour
	mostRemembered   = 4096
	mostPlaceholders = 10_000
)

// NewConversations returns what remembers conversations under rules, and tells
// the time by now (time.Now, outside tests).
func NewConversations(rules *Rules, now func() time.Time) *Conversations {
	c := &Conversations{now: now, young: map[key]*Conversation{}, turned: now()}
	c.rules.Store(rules)
	return c
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
	if now := c.now(); now.Sub(c.turned) > generation || len(c.young) >= mostRemembered {
		c.old, c.young, c.turned = c.young, map[key]*Conversation{}, now
	}
	talk := c.young[k]
	if talk == nil {
		talk = c.old[k]
	}
	if talk == nil || talk.vault.Len() > mostPlaceholders {
		talk = newConversation(rules)
	}
	c.young[k] = talk
	return talk
}

// Conversation is what is known of one conversation. It is safe for concurrent
// use.
type Conversation struct {
	rules *Ruleset
	vault *secrets.Vault

	mu sync.Mutex
	// refused are the fingerprints that requests were refused for, with how many
	// items the first of them had.
	refused map[string]int
}

func newConversation(rules *Ruleset) *Conversation {
	return &Conversation{rules: rules, vault: rules.NewVault(), refused: map[string]int{}}
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
		c.refused[fingerprint] = items
	}
	return true
}
