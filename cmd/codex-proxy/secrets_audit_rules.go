package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
func auditRules(s *Settings, keep bool) (rulebook, error) {
	key, err := secretsKey(s)
	if err == nil && keep {
		key, err = keepSecretsKey(s, key)
	}
	if err != nil {
		return rulebook{}, err
	}
	scanner, err := secrets.New(secrets.Config{Key: key})
	if err != nil {
		return rulebook{}, fmt.Errorf("set up the secret rules: %w", err)
	}
	return rulebook{scanner: scanner, policy: secrets.DefaultPolicy}, nil
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

// keepSecretsKey writes the key down, unless there is one by now, and returns
// the one that is kept. No reader ever sees a part of it.
func keepSecretsKey(s *Settings, key secrets.Key) (secrets.Key, error) {
	fail := func(err error) (secrets.Key, error) {
		return secrets.Key{}, fmt.Errorf("keep the key of the fingerprints: %w", err)
	}
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return fail(err)
	}
	file, err := os.CreateTemp(s.Data, "secrets.key.*") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(file.Name()) // a second name of the key, or none
	_, err = file.Write(key.Encode())
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fail(err)
	}
	if err := os.Link(file.Name(), secretsKeyFile(s)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	return secretsKey(s)
}
