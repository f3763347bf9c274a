package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"codex-proxy/internal/secrets"
)

// secretsCommands are the commands about secrets in what is sent.
type secretsCommands struct {
	List  secretsListCommand  `cmd:"" help:"List the secrets that requests carried, each once: who sent it, when, whether it left."`
	Show  secretsShowCommand  `cmd:"" help:"Show one secret: who sent it, when, where it is on record, whether it left."`
	Rules secretsRulesCommand `cmd:"" help:"List the rules: how certain each is, and what becomes of what it finds."`
	Scan  secretsScanCommand  `cmd:"" help:"Find secrets in files, folders or standard input. Exits 1 when there are any."`

	Audit secretsAuditCommand `cmd:"" help:"Find secrets that stand on record by today's rules, and purge them. Exits 1 when there are any."`
}

// secretsKeyFile holds the key that fingerprints and placeholders are made with.
func secretsKeyFile(s *Settings) string { return filepath.Join(s.Data, "secrets.key") }

// secretsKey returns the installation's key. Where there is no installation
// yet it is a new one, which is not kept: its fingerprints serve to compare the
// findings of one run.
func secretsKey(s *Settings) (secrets.Key, error) {
	path := secretsKeyFile(s)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return secrets.NewKey(), nil
	}
	if err != nil {
		return secrets.Key{}, fmt.Errorf("read the key of the fingerprints: %w", err)
	}
	key, err := secrets.ParseKey(text)
	if err != nil {
		return secrets.Key{}, fmt.Errorf("read the key of the fingerprints from %s: %w", path, err)
	}
	return key, nil
}

// openSecretsKey returns the installation's key, which it makes and keeps where
// there is none.
func openSecretsKey(s *Settings) (secrets.Key, error) {
	if _, err := os.Stat(secretsKeyFile(s)); errors.Is(err, fs.ErrNotExist) {
		return keepSecretsKey(s, secrets.NewKey())
	}
	return secretsKey(s)
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
