package secrets

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Config is what an installation adds to the built-in rules. The zero value
// adds nothing.
type Config struct {
	// Key makes the fingerprints that Allow may name.
	Key Key
	// Edition is which of the built-in rules to use, from 1 to Edition; 0 is all.
	Edition int
	// Rules are the installation's own.
	Rules []Rule
	// Allow are secrets that are none: a finding which one of them describes is
	// dropped.
	Allow []Allow
}

// Rule is a rule of an installation's own.
type Rule struct {
	// ID names the rule: lower-case letters, digits and dashes, and not the id of
	// another rule.
	ID string
	// Pattern is a regular expression in RE2's syntax. Its first group, or all of
	// it if it has none, is the secret.
	Pattern string
	// Keywords, if any, are words of which one must occur, in any case, before the
	// pattern is tried. Without them it runs over every text, which is slow.
	Keywords []string
	// Class is the rule's certainty.
	Class Class
}

// Allow describes findings to drop. Every field that is set must agree, and at
// least one must be set.
type Allow struct {
	Rule        string // a rule's id
	Fingerprint string // as Key.Fingerprint returns it
	Pattern     string // a regular expression that matches in the value
}

type customRule struct {
	rule    *rule
	pattern *regexp.Regexp
	always  bool
}

type allowance struct {
	rule, fingerprint string
	pattern           *regexp.Regexp
}

var ruleID = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

// customise takes in the installation's own rules and its allow-list.
func (s *Scanner) customise(config Config) error {
	for _, r := range config.Rules {
		if !ruleID.MatchString(r.ID) {
			return fmt.Errorf("the rule id %q is not lower-case letters and digits joined by dashes", r.ID)
		}
		if slices.Contains(s.ids, r.ID) {
			return fmt.Errorf("the rule id %q is taken: choose another", r.ID)
		}
		pattern, err := regexp.Compile(r.Pattern)
		if err != nil {
			return fmt.Errorf("the pattern of rule %q: %w", r.ID, err)
		}
		if pattern.MatchString("") {
			return fmt.Errorf("the pattern of rule %q matches the empty text: it would find a secret everywhere", r.ID)
		}
		s.ids = append(s.ids, r.ID)
		s.classes[r.ID] = r.Class
		number := len(s.custom)
		s.custom = append(s.custom, customRule{&rule{r.ID, r.Class, rankForm}, pattern, len(r.Keywords) == 0})
		for _, word := range r.Keywords {
			if word == "" {
				return fmt.Errorf("rule %q has an empty keyword", r.ID)
			}
			s.filter.add(strings.ToLower(word), printable|space, func(v *view, _, _ int) { v.woken[number] = true })
		}
	}
	for i, a := range config.Allow {
		if a == (Allow{}) {
			return fmt.Errorf("entry %d of the allow-list is empty and would allow everything: set a rule, a fingerprint or a pattern", i+1)
		}
		if a.Rule != "" && !slices.Contains(s.ids, a.Rule) {
			return fmt.Errorf("entry %d of the allow-list names the unknown rule %q", i+1, a.Rule)
		}
		allowed := allowance{rule: a.Rule, fingerprint: strings.ToLower(a.Fingerprint)}
		if a.Pattern != "" {
			var err error
			if allowed.pattern, err = regexp.Compile(a.Pattern); err != nil {
				return fmt.Errorf("the pattern in entry %d of the allow-list: %w", i+1, err)
			}
		}
		s.allowed = append(s.allowed, allowed)
	}
	return nil
}

// isNewer reports whether a rule is of a later edition than the scanner's.
func (s *Scanner) isNewer(r *rule) bool { return s.edition > 0 && s.since(r.id) > s.edition }

// allows reports whether the allow-list has value as found by r.
func (s *Scanner) allows(r *rule, value []byte) bool {
	for _, a := range s.allowed {
		if (a.rule == "" || a.rule == r.id) &&
			(a.fingerprint == "" || a.fingerprint == s.key.Fingerprint(value)) &&
			(a.pattern == nil || a.pattern.Match(value)) {
			return true
		}
	}
	return false
}

// runCustom runs the installation's own rules over the view.
func (s *Scanner) runCustom(v *view) {
	for i, c := range s.custom {
		if !c.always && !v.woken[i] {
			continue
		}
		v.woken[i] = false
		for _, at := range c.pattern.FindAllSubmatchIndex(v.text, -1) {
			start, end := at[0], at[1]
			if len(at) > 2 && at[2] >= 0 {
				start, end = at[2], at[3]
			}
			if end > start {
				v.report(c.rule, start, end)
			}
		}
	}
}
