package signin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rogpeppe/go-internal/lockedfile"
	"github.com/zalando/go-keyring"

	"codex-proxy/internal/onboard"
)

// Keep is where the sign-ins of a developer are kept: a directory of theirs alone,
// with one place for each proxy, beside the keyring of the operating system.
type Keep struct{ dir string }

// DefaultDir is the directory of a developer's sign-ins, below where the operating
// system has settings kept.
func DefaultDir() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the directory for settings: %w", err)
	}
	return filepath.Join(dir, "codex-proxy", "sign-in"), nil
}

// NewKeep returns the sign-ins in a directory, which need not exist yet.
func NewKeep(dir string) *Keep { return &Keep{dir} }

// Proxies returns the addresses of the proxies that there are sign-ins for, sorted.
func (k *Keep) Proxies() ([]string, error) {
	entries, err := os.ReadDir(k.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		if kept, err := (place{filepath.Join(k.dir, entry.Name())}).read(); err == nil {
			found = append(found, kept.Proxy)
		}
	}
	slices.Sort(found)
	return found, nil
}

func (k *Keep) place(address onboard.Address) place {
	sum := sha256.Sum256([]byte(address.String()))
	return place{filepath.Join(k.dir, hex.EncodeToString(sum[:8]))}
}

// place is the directory of one proxy's sign-in.
type place struct{ dir string }

// signIn is a sign-in as it is kept; sign-in.json.
type signIn struct {
	Proxy        string `json:"proxy"`
	Issuer       string `json:"issuer"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret,omitempty"`
	// KeptIn says where the refresh token is.
	KeptIn string `json:"kept_in"`
	// RefreshToken is empty when it is in the keyring.
	RefreshToken string `json:"refresh_token,omitempty"`
	// Ended is why the issuer renews nothing any more; empty while it does.
	Ended string `json:"ended,omitempty"`
}

// The words of signIn.KeptIn.
const (
	inKeyring = "keyring"
	inFile    = "file"
)

func (p place) file() string { return filepath.Join(p.dir, "sign-in.json") }

func (p place) exists() bool {
	_, err := os.Stat(p.dir)
	return err == nil
}

// lock keeps other processes out until unlock.
func (p place) lock() (unlock func(), err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the sign-in: %w", err)
	}
	unlock, err = lockedfile.MutexAt(filepath.Join(p.dir, "lock")).Lock()
	if err != nil {
		return nil, fmt.Errorf("lock the sign-in: %w", err)
	}
	return unlock, nil
}

// save keeps a sign-in and its refresh token, in the keyring if that is wanted and
// can be. Where says where it is; hindrance, why it is not in the keyring.
func (p place) save(ctx context.Context, s signIn, refresh string, wantsKeyring bool) (where string, hindrance, err error) {
	s.KeptIn, s.RefreshToken = inFile, refresh
	if wantsKeyring {
		if hindrance = bounded(ctx, func() error { return keyring.Set(service, s.Proxy, refresh) }); hindrance == nil {
			s.KeptIn, s.RefreshToken = inKeyring, ""
		}
	}
	if err := p.write(s); err != nil {
		return "", nil, err
	}
	if s.KeptIn == inKeyring {
		return "the keyring of this machine", nil, nil
	}
	return p.file(), hindrance, nil
}

func (p place) write(s signIn) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := onboard.WritePrivate(p.file(), append(text, '\n')); err != nil {
		return fmt.Errorf("keep the sign-in: %w", err)
	}
	return nil
}

func (p place) read() (signIn, error) {
	var kept signIn
	text, err := os.ReadFile(p.file())
	if errors.Is(err, fs.ErrNotExist) {
		return kept, fmt.Errorf("you are not signed in on this machine: %w", ErrSignInNeeded)
	}
	if err != nil {
		return kept, fmt.Errorf("read the sign-in: %w", err)
	}
	if err := json.Unmarshal(text, &kept); err != nil || kept.Proxy == "" {
		return kept, fmt.Errorf("%s cannot be read: %w", p.file(), ErrSignInNeeded)
	}
	return kept, nil
}

// load returns the sign-in and its refresh token.
func (p place) load(ctx context.Context) (kept signIn, refresh string, err error) {
	kept, err = p.read()
	if err == nil && kept.Ended != "" {
		err = &endedError{kept.Ended}
	}
	if err != nil || kept.KeptIn != inKeyring {
		return kept, kept.RefreshToken, err
	}
	err = bounded(ctx, func() (err error) {
		refresh, err = keyring.Get(service, kept.Proxy)
		return err
	})
	if errors.Is(err, keyring.ErrNotFound) {
		return kept, "", fmt.Errorf("the keyring of this machine has lost your sign-in: %w", ErrSignInNeeded)
	}
	if err != nil {
		return kept, "", fmt.Errorf("the keyring of this machine, which holds your sign-in, does not open (%w). Unlock it; or keep the sign-in in a file, with --no-keyring, and %w", err, ErrSignInNeeded)
	}
	return kept, refresh, nil
}

// end notes that the refresh token is of no use any more, and why.
func (p place) end(ctx context.Context, kept signIn, because error) error {
	if err := p.forget(ctx, kept); err != nil {
		return err
	}
	kept.KeptIn, kept.RefreshToken, kept.Ended = inFile, "", because.Error()
	return p.write(kept)
}

// endedError is a sign-in that the issuer has ended, in the words of when it did.
type endedError struct{ text string }

func (e *endedError) Error() string { return e.text }

func (e *endedError) Unwrap() error { return ErrSignInNeeded }

// remove forgets the sign-in and all that came of it.
func (p place) remove(ctx context.Context, kept signIn) error {
	return errors.Join(p.forget(ctx, kept), os.RemoveAll(p.dir))
}

// forget takes the refresh token out of the keyring, if it is there.
func (p place) forget(ctx context.Context, kept signIn) error {
	if kept.KeptIn != inKeyring {
		return nil
	}
	err := bounded(ctx, func() error { return keyring.Delete(service, kept.Proxy) })
	if err != nil && !errors.Is(err, keyring.ErrNotFound) {
		return fmt.Errorf("remove the sign-in from the keyring: %w", err)
	}
	return nil
}

// service is what the keyring knows our entries by.
const service = "codex-proxy"

// keyringLimit is how long the keyring may take; it may be asking the developer.
const keyringLimit = 20 * time.Second

// bounded does what cannot be interrupted, and goes on without it when it takes
// too long.
func bounded(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, keyringLimit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("it does not answer")
	}
}
