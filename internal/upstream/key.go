package upstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// Key is OpenAI's key. It prints as a mask wherever it might be printed by
// accident; Reveal is the one way to its text.
type Key struct{ text string }

// NewKey checks and wraps a key's text. Surrounding white space is dropped, as
// files end with a line feed.
func NewKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Key{}, errors.New("the key is empty")
	}
	for _, c := range text {
		if c <= ' ' || c > '~' {
			return Key{}, errors.New("the key holds a space or a character that no HTTP header can carry")
		}
	}
	return Key{text}, nil
}

// Reveal returns the key's text, for the Authorization header, and to mask it where
// it comes up.
func (k Key) Reveal() string { return k.text }

// String, GoString, LogValue and MarshalText keep the key out of logs, errors
// and documents.
func (Key) String() string { return "[key]" }

// GoString masks the key under %#v.
func (Key) GoString() string { return "[key]" }

// LogValue masks the key in structured logs.
func (Key) LogValue() slog.Value { return slog.StringValue("[key]") }

// MarshalText masks the key in documents.
func (Key) MarshalText() ([]byte, error) { return []byte("[key]"), nil }

// KeyFile is a key that lives in a file and may be replaced there while the
// proxy runs: rotation needs no restart.
type KeyFile struct {
	path    string
	current atomic.Pointer[readKey]
}

type readKey struct {
	key      Key
	modified time.Time
	size     int64
}

// OpenKeyFile reads the key from the file at path.
func OpenKeyFile(path string) (*KeyFile, error) {
	f := &KeyFile{path: path}
	if err := f.reload(); err != nil {
		return nil, err
	}
	return f, nil
}

// Key returns the key as last read.
func (f *KeyFile) Key() Key { return f.current.Load().key }

// Watch reads the file again whenever it changes, until ctx ends. A change that
// cannot be read is logged, and the key from before stays in use.
func (f *KeyFile) Watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		info, err := os.Stat(f.path)
		if err == nil {
			last := f.current.Load()
			if info.ModTime().Equal(last.modified) && info.Size() == last.size {
				failing = false
				continue
			}
			err = f.reload()
		}
		switch {
		case err == nil:
			failing = false
			log.Info("upstream key read again after its file changed", "file", f.path)
		case !failing:
			failing = true
			log.Error("upstream key file changed and cannot be read; the key from before stays in use", "error", err)
		}
	}
}

func (f *KeyFile) reload() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("read the upstream key file: %w", err)
	}
	raw, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("read the upstream key file: %w", err)
	}
	key, err := NewKey(string(raw))
	if err != nil {
		return fmt.Errorf("read the upstream key file %s: %w", f.path, err)
	}
	f.current.Store(&readKey{key: key, modified: info.ModTime(), size: info.Size()})
	return nil
}
