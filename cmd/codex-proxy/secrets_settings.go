package main

import (
	"context"
	"log/slog"
	"time"

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

// openSecretRules returns the rules of a server, which keeps the key and which
// rules were in force when.
func (s *Settings) openSecretRules(ctx context.Context, history redaction.History, now func() time.Time, log *slog.Logger) (*redaction.Rules, error) {
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
	return redaction.Open(ctx, settings, key, history, now, log)
}
