package main

import (
	"context"
	"slices"

	"codex-proxy/internal/secrets"
)

// rulebook is what an audit judges by.
type rulebook struct {
	scanner *secrets.Scanner
	policy  secrets.Policy
}

// auditRules returns today's rules. The placeholders and the ledger's entries of
// a purge outlast it, so that its key must be kept.
func auditRules(ctx context.Context, s *Settings, keep bool) (rulebook, error) {
	open := secretsKey
	if keep {
		open = openSecretsKey
		if err := s.checkOwned(ctx); err != nil {
			return rulebook{}, err
		}
	}
	key, err := open(ctx, s)
	if err != nil {
		return rulebook{}, err
	}
	rules, err := s.secretRules(key)
	if err != nil {
		return rulebook{}, err
	}
	today := rules.For("", "", "")
	return rulebook{scanner: today.Scanner(), policy: today.Policy()}, nil
}

// only returns the rulebook with the named rules alone, or all where none is
// named.
func (b rulebook) only(names []string) (rulebook, error) {
	if len(names) == 0 {
		return b, nil
	}
	for _, name := range names {
		if !slices.Contains(b.scanner.Rules(), name) {
			return b, misuse("--rule %q is no rule ('codex-proxy secrets audit' names those that found something)", name)
		}
	}
	policy := b.policy
	b.policy = func(rule string, class secrets.Class) secrets.Mode {
		if !slices.Contains(names, rule) {
			return secrets.Off
		}
		return policy(rule, class)
	}
	return b, nil
}

// redactAll is the policy of what reads records: there is no other use for a
// secret on record.
func (b rulebook) redactAll(rule string, class secrets.Class) secrets.Mode {
	if b.policy(rule, class) == secrets.Off {
		return secrets.Off
	}
	return secrets.Redact
}
