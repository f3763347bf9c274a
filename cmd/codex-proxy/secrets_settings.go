package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"codex-proxy/internal/ledger"
	"codex-proxy/internal/redaction"
	"codex-proxy/internal/secrets"
)

// secretSettings returns what the [secrets] table says.
func (s *Settings) secretSettings() (redaction.Settings, error) {
	settings, err := redaction.ParseSettings(s.secretsTable)
	if err != nil {
		return settings, misuse("the [secrets] table of %s: %v; docs/secrets.md lists its keys", s.Config, err)
	}
	return settings, nil
}

// secretRules returns today's rules, for commands.
func (s *Settings) secretRules(key secrets.Key) (*redaction.Rules, error) {
	settings, err := s.secretSettings()
	if err != nil {
		return nil, err
	}
	return redaction.New(settings, key, time.Now)
}

// secretRulesKeeper keeps a server's rules for secrets: those of the settings, with
// what was marked as a false positive on the allow-list.
type secretRulesKeeper struct {
	settings redaction.Settings
	key      secrets.Key
	store    register
	now      func() time.Time
	log      *slog.Logger
	// allowed are the false positives of the rules that were opened last.
	allowed []string
}

// keepSecretRules returns what keeps the rules of a server, which keeps the key and
// which rules were in force when.
func (s *Settings) keepSecretRules(ctx context.Context, store register, now func() time.Time, log *slog.Logger) (*secretRulesKeeper, error) {
	settings, err := s.secretSettings()
	if err != nil {
		return nil, err
	}
	if text, at, err := readSecretsKey(ctx, s); err == nil && text == nil {
		log.Info("a key for secrets' placeholders and fingerprints is made: keep it with the data", "at", at)
	}
	key, err := openSecretsKey(ctx, s)
	if err != nil {
		return nil, err
	}
	return &secretRulesKeeper{settings: settings, key: key, store: store, now: now, log: log}, nil
}

// open returns the rules, and whether they are others than those that it returned
// last: otherwise they are nil.
func (k *secretRulesKeeper) open(ctx context.Context, first bool) (*redaction.Rules, error) {
	marks, err := k.store.Marks(ctx)
	if err != nil {
		return nil, fmt.Errorf("read which secrets are marked as false positives: %w", err)
	}
	allowed := ledger.FalsePositives(marks)
	if !first && slices.Equal(allowed, k.allowed) {
		return nil, nil
	}
	rules, err := redaction.Open(ctx, k.settings.Allowing(allowed), k.key, k.store, k.now, k.log)
	if err == nil {
		k.allowed = allowed
	}
	return rules, err
}

// marksEvery is how often a server looks whether marks have changed.
const marksEvery = 5 * time.Second

// follow gives the conversations new rules when marks change, until ctx ends.
func (k *secretRulesKeeper) follow(ctx context.Context, conversations *redaction.Conversations) {
	ticker := time.NewTicker(marksEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		rules, err := k.open(ctx, false)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			k.log.Warn("marks of secrets cannot be followed; the rules stay as they are", "error", err)
		case rules != nil:
			conversations.SetRules(rules)
			k.log.Info("the allow-list for secrets has changed by marks", "false_positives", len(k.allowed))
		}
	}
}
