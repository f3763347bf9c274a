package onboard

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/diff"
)

// Change is an edit of Codex's files, worked out whole before anything is
// written, so that it can be shown first and fails before it begins.
type Change struct {
	home Home
	// before and after are the config.toml's bytes; nil is no file.
	before, after []byte
	// token is the token file's content; empty is no file.
	token string
	// undoes says that the change takes back a setup.
	undoes bool
	// backUp says that before is what the developer had without us.
	backUp bool
}

// PlanSetup works out how to make the Codex of home use the proxy. An empty token
// leaves no token file, for providers whose command finds a token elsewhere.
func PlanSetup(home Home, provider Provider, token string) (*Change, error) {
	before, err := home.ReadConfig()
	if err != nil {
		return nil, fmt.Errorf("read Codex's configuration: %w", err)
	}
	after, err := Setup(before, provider)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", home.Config(), err)
	}
	if token != "" {
		token += "\n"
	}
	return &Change{home: home, before: before, after: after, token: token, backUp: before != nil && !IsSetUp(before)}, nil
}

// PlanUninstall works out how to undo what PlanSetup's change did.
func PlanUninstall(home Home) (*Change, error) {
	before, err := home.ReadConfig()
	if err != nil {
		return nil, fmt.Errorf("read Codex's configuration: %w", err)
	}
	change := &Change{home: home, before: before, after: before, undoes: true}
	if before == nil {
		return change, nil
	}
	if change.after, err = Uninstall(before); err != nil {
		return nil, fmt.Errorf("%s: %w", home.Config(), err)
	}
	if len(change.after) == 0 {
		change.after = []byte{}
		if len(before) > 0 && !home.hasBackup() {
			change.after = nil // there was no file before setup
		}
	}
	return change, nil
}

// hasBackup tells whether there was a config.toml when Codex was first set up.
func (h Home) hasBackup() bool {
	found, err := filepath.Glob(filepath.Join(globQuote(string(h)), "config.toml.backup-*"))
	return err == nil && len(found) > 0
}

// globQuote makes a path stand for itself in a pattern.
func globQuote(path string) string {
	var out []rune
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' {
			out = append(out, '[', r, ']')
			continue
		}
		out = append(out, r)
	}
	return string(out)
}

// Diff is the change to config.toml as a unified diff, empty when there is none.
// The token is not in it.
func (c *Change) Diff() string {
	return string(diff.Diff(c.home.Config(), c.before, c.home.Config()+" (after)", c.after))
}

// IsEmpty tells whether there is nothing to write or remove.
func (c *Change) IsEmpty() bool {
	if c.token != "" || !bytes.Equal(c.before, c.after) || (c.before == nil) != (c.after == nil) {
		return false
	}
	_, err := os.Lstat(c.home.TokenFile())
	return errors.Is(err, fs.ErrNotExist)
}

// Apply writes the change, and puts back what it has done when a part of it
// fails. Backup is the copy that it made of config.toml, if any.
func (c *Change) Apply(now time.Time) (backup string, err error) {
	if c.undoes {
		return "", c.remove()
	}
	var undo []func() error
	defer func() {
		if err == nil {
			return
		}
		for i := len(undo) - 1; i >= 0; i-- {
			err = errors.Join(err, undo[i]())
		}
	}()
	if _, err := os.Stat(string(c.home)); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(string(c.home), 0o700); err != nil {
			return "", fmt.Errorf("make Codex's directory: %w", err)
		}
		undo = append(undo, func() error { return os.Remove(string(c.home)) })
	}
	if c.backUp {
		copied := c.home.Config() + ".backup-" + now.UTC().Format("20060102-150405")
		if err := copyBeside(c.home.Config(), copied, c.before); err != nil {
			return "", fmt.Errorf("back up Codex's configuration: %w", err)
		}
		undo = append(undo, func() error { return os.Remove(copied) })
		backup = copied
	}
	previous, err := os.ReadFile(c.home.TokenFile())
	switch {
	case err == nil:
		undo = append(undo, func() error { return WritePrivate(c.home.TokenFile(), previous) })
	case errors.Is(err, fs.ErrNotExist):
		undo = append(undo, func() error { return removeIfThere(c.home.TokenFile()) })
	default:
		return "", fmt.Errorf("replace the token file: %w", err)
	}
	if err := c.writeToken(); err != nil {
		return "", err
	}
	if bytes.Equal(c.before, c.after) {
		return backup, nil
	}
	if err := replace(c.home.Config(), c.after); err != nil {
		return "", fmt.Errorf("write Codex's configuration: %w", err)
	}
	return backup, nil
}

func (c *Change) writeToken() error {
	if c.token == "" {
		if err := removeIfThere(c.home.TokenFile()); err != nil {
			return fmt.Errorf("remove the token file: %w", err)
		}
		return nil
	}
	if err := WritePrivate(c.home.TokenFile(), []byte(c.token)); err != nil {
		return fmt.Errorf("write the token file: %w", err)
	}
	return nil
}

// remove undoes a setup. The token goes last: while config.toml names it, Codex
// needs it.
func (c *Change) remove() error {
	switch {
	case c.after == nil && c.before != nil:
		if err := os.Remove(c.home.Config()); err != nil {
			return fmt.Errorf("remove Codex's configuration: %w", err)
		}
	case !bytes.Equal(c.before, c.after):
		if err := replace(c.home.Config(), c.after); err != nil {
			return fmt.Errorf("write Codex's configuration: %w", err)
		}
	}
	if err := removeIfThere(c.home.TokenFile()); err != nil {
		return fmt.Errorf("remove the token file: %w", err)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
