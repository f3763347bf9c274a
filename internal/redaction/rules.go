package redaction

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/secrets"
)

// Rules say for each conversation what is a secret and what becomes of it. It is
// safe for concurrent use.
type Rules struct {
	settings Settings // today's
	key      secrets.Key
	pin      time.Duration
	now      func() time.Time
	cache    *secrets.Cache
	history  []*version // from old to new; the last is today's

	mu       sync.Mutex
	scanners map[string]*secrets.Scanner
	sets     map[setKey]*Ruleset
}

// version is the settings that were in force from a time on.
type version struct {
	document
	since time.Time
	name  string
}

// document is what of the settings decides what leaves.
type document struct {
	Edition  int      `json:"edition"` // of the built-in rules
	Settings Settings `json:"settings"`
}

// RuleSet is a document that was in force from a time on.
type RuleSet struct {
	Since    time.Time
	Document []byte
}

// History keeps the documents that were in force.
type History interface {
	// RuleSets returns them, from old to new.
	RuleSets(ctx context.Context) ([]RuleSet, error)
	// AddRuleSet adds one, unless the newest has the same document.
	AddRuleSet(ctx context.Context, set RuleSet) error
}

// items are how many of a conversation's items the cache holds, for all of them.
const items = 1 << 16

// New returns the rules of settings, which hold for every conversation.
func New(settings Settings, key secrets.Key, now func() time.Time) (*Rules, error) {
	today, err := newVersion(RuleSet{Since: now()}, document{secrets.Edition, settings})
	if err != nil {
		return nil, err
	}
	r := &Rules{
		settings: settings, key: key, now: now, cache: secrets.NewCache(items), history: []*version{today},
		scanners: map[string]*secrets.Scanner{}, sets: map[setKey]*Ruleset{},
	}
	if _, err := r.scanner(today, "", ""); err != nil {
		return nil, err
	}
	return r, nil
}

// Open returns the rules of settings, under which a conversation keeps those that
// it began under, so that its history leaves as it left before and OpenAI's prompt
// cache goes on hitting. A document of the history that this program cannot read
// is logged and left out.
func Open(ctx context.Context, settings Settings, key secrets.Key, history History, now func() time.Time, log *slog.Logger) (*Rules, error) {
	r, err := New(settings, key, now)
	if err != nil {
		return nil, err
	}
	r.pin = time.Duration(settings.pinDays()) * 24 * time.Hour
	today := r.history[0]
	text, err := json.Marshal(today.document)
	if err != nil {
		return nil, fmt.Errorf("write down the rules for secrets: %w", err)
	}
	if err := history.AddRuleSet(ctx, RuleSet{Since: today.since, Document: text}); err != nil {
		return nil, fmt.Errorf("write down the rules for secrets: %w", err)
	}
	sets, err := history.RuleSets(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the rules for secrets that were in force: %w", err)
	}
	r.history = nil
	for _, set := range sets {
		if string(set.Document) == string(text) {
			same := *today
			same.since = set.Since
			r.history = append(r.history, &same)
			continue
		}
		v, err := readVersion(set)
		if err == nil {
			_, err = r.scanner(v, "", "")
		}
		if err != nil {
			log.Warn("rules for secrets that were in force cannot be used: conversations that began under them go on under others", "since", set.Since, "error", err)
			continue
		}
		r.history = append(r.history, v)
	}
	if n := len(r.history); n == 0 || r.history[n-1].name != today.name {
		r.history = append(r.history, today) // another process has newer settings
	}
	return r, nil
}

func readVersion(set RuleSet) (*version, error) {
	var d document
	if err := json.Unmarshal(set.Document, &d); err != nil {
		return nil, err
	}
	if err := d.Settings.words(); err != nil {
		return nil, err
	}
	return newVersion(set, d)
}

func newVersion(set RuleSet, d document) (*version, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	return &version{document: d, since: set.Since, name: hex.EncodeToString(sum[:6])}, nil
}

// setKey is what a Ruleset depends on.
type setKey struct{ version, allowed, team string }

// For returns the rules for a request. The session is Codex's id of the
// conversation, and may be empty.
func (r *Rules) For(developer, team, session string) *Ruleset {
	v := r.version(session)
	allowed, _ := v.Settings.allowed(developer, team)
	k := setKey{v.name, allowed, team}
	r.mu.Lock()
	set := r.sets[k]
	r.mu.Unlock()
	if set != nil {
		return set
	}
	scanner, err := r.scanner(v, developer, team)
	if err != nil {
		// The whole of the settings was tried at the start, and a part of an
		// allow-list that is right is right.
		panic(fmt.Sprintf("redaction: %v", err))
	}
	set = newRuleset(r, v, scanner, team)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sets[k] = set
	return set
}

// version returns what was in force when a session began, if that is not too long
// ago, or else today's.
func (r *Rules) version(session string) *version {
	today := r.history[len(r.history)-1]
	id, err := uuid.Parse(session)
	if err != nil || id.Version() != 7 {
		return today
	}
	seconds, nanos := id.Time().UnixTime()
	born, now := time.Unix(seconds, nanos), r.now()
	if born.After(now) || now.Sub(born) >= r.pin {
		return today
	}
	for _, v := range slices.Backward(r.history) {
		if !v.since.After(born) {
			return v
		}
	}
	return r.history[0]
}

// scanner returns the scanner of a version for whom its allow-list holds.
func (r *Rules) scanner(v *version, developer, team string) (*secrets.Scanner, error) {
	bits, list := v.Settings.allowed(developer, team)
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.scanners[v.name+bits]; s != nil {
		return s, nil
	}
	s, err := secrets.New(v.Settings.config(r.key, v.Edition, list))
	if err == nil {
		r.scanners[v.name+bits] = s
	}
	return s, err
}

// Ruleset is what holds for one developer in one conversation.
type Ruleset struct {
	scanner *secrets.Scanner
	cache   *secrets.Cache
	policy  secrets.Policy
	reach   secrets.Reach
	version string
	closed  bool
	off     bool
}

func newRuleset(r *Rules, v *version, scanner *secrets.Scanner, team string) *Ruleset {
	s := &Ruleset{scanner: scanner, cache: r.cache, reach: r.settings.reach(team), version: v.name, off: true}
	becomes := map[string]secrets.Mode{} // made once: the policy is asked for each finding
	for _, rule := range scanner.Rules() {
		mode := v.Settings.mode(team, rule, scanner.Class(rule))
		becomes[rule] = mode
		s.off = s.off && mode == secrets.Off
		s.closed = s.closed || mode >= secrets.Redact
	}
	s.policy = func(rule string, _ secrets.Class) secrets.Mode { return becomes[rule] }
	return s
}

// NewVault returns the empty vault of a conversation.
func (s *Ruleset) NewVault() *secrets.Vault { return secrets.NewVault(s.scanner, s.cache, s.policy) }

// Scanner returns what finds secrets under these rules.
func (s *Ruleset) Scanner() *secrets.Scanner { return s.scanner }

// Policy returns what becomes of them.
func (s *Ruleset) Policy() secrets.Policy { return s.policy }

// Reach returns what of an answer they are put back into.
func (s *Ruleset) Reach() secrets.Reach { return s.reach }

// Closed reports whether some rule redacts or blocks: what cannot be searched must
// then not leave.
func (s *Ruleset) Closed() bool { return s.closed }

// Off reports whether nothing is looked for.
func (s *Ruleset) Off() bool { return s.off }

// Version names the rules.
func (s *Ruleset) Version() string { return s.version }
