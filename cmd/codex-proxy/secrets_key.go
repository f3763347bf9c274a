package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"codex-proxy/internal/secrets"
)

// secretsKeyFile holds the key that fingerprints and placeholders are made with,
// unless servers share tables: then these hold it.
func secretsKeyFile(s *Settings) string { return filepath.Join(s.Data, "secrets.key") }

// secretsKey returns the installation's key. Where there is no installation
// yet it is a new one, which is not kept: its fingerprints serve to compare the
// findings of one run.
func secretsKey(ctx context.Context, s *Settings) (secrets.Key, error) {
	text, at, err := readSecretsKey(ctx, s)
	if err != nil {
		return secrets.Key{}, fmt.Errorf("read the key of the fingerprints: %w", err)
	}
	if text == nil {
		return secrets.NewKey(), nil
	}
	key, err := secrets.ParseKey(text)
	if err != nil {
		return secrets.Key{}, fmt.Errorf("read the key of the fingerprints from %s: %w", at, err)
	}
	return key, nil
}

// readSecretsKey returns the key as it is kept, nil where there is none, and where
// that is.
func readSecretsKey(ctx context.Context, s *Settings) (text []byte, at string, err error) {
	if s.usesTables() {
		text, err = s.keptInTables(ctx, secretsKeyName, nil)
		return text, "the table " + s.tokensTable(), err
	}
	at = secretsKeyFile(s)
	text, err = os.ReadFile(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, at, nil
	}
	return text, at, err
}

// secretsKeyName is what the key is kept under in a table.
const secretsKeyName = "secrets-key"

// openSecretsKey returns the installation's key, which it makes and keeps where
// there is none.
func openSecretsKey(ctx context.Context, s *Settings) (secrets.Key, error) {
	text, _, err := readSecretsKey(ctx, s)
	if err == nil && text == nil {
		return keepSecretsKey(ctx, s, secrets.NewKey())
	}
	return secretsKey(ctx, s) // with the error that it has
}

// keepSecretsKey keeps the key, unless there is one by now, and returns the one
// that is kept.
func keepSecretsKey(ctx context.Context, s *Settings, key secrets.Key) (secrets.Key, error) {
	var err error
	if s.usesTables() {
		_, err = s.keptInTables(ctx, secretsKeyName, key.Encode())
	} else {
		err = writeSecretsKey(s, key)
	}
	if err != nil {
		return secrets.Key{}, fmt.Errorf("keep the key of the fingerprints: %w", err)
	}
	return secretsKey(ctx, s)
}

// writeSecretsKey writes the key's file, unless there is one by now. No reader
// ever sees a part of it.
func writeSecretsKey(s *Settings, key secrets.Key) error {
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(s.Data, "secrets.key.*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // a second name of the key, or none
	_, err = file.Write(key.Encode())
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), secretsKeyFile(s)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
