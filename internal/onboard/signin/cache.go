package signin

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"codex-proxy/internal/onboard"
)

// cached is a token at hand; token.json. Its times are by this machine's clock, so
// that it does not matter whether that agrees with the proxy's.
type cached struct {
	Token string    `json:"token"`
	Got   time.Time `json:"got"`
	Ends  time.Time `json:"ends"`
}

func newCached(got onboard.SignedIn, now time.Time) cached {
	return cached{Token: got.Token, Got: now, Ends: now.Add(got.Expires.Sub(got.Issued))}
}

// margin is how long before its end a token is renewed: Codex asks for one every
// five minutes. Of a short life it is a tenth.
const margin = 5 * time.Minute

// isFresh tells whether the token is good for a while.
func (c cached) isFresh(now time.Time) bool {
	return c.isValid(now) && c.Ends.Sub(now) > min(margin, c.Ends.Sub(c.Got)/10)
}

// isValid tells whether the token is good at all. One that was got in the future is
// not: the clock was set back.
func (c cached) isValid(now time.Time) bool {
	return c.Token != "" && now.Before(c.Ends) && !now.Before(c.Got.Add(-time.Minute))
}

func (p place) cacheFile() string { return filepath.Join(p.dir, "token.json") }

// cached returns the token at hand; it is zero when there is none.
func (p place) cached() cached {
	var held cached
	if text, err := os.ReadFile(p.cacheFile()); err != nil || json.Unmarshal(text, &held) != nil {
		return cached{}
	}
	return held
}

func (p place) cache(held cached) error {
	text, err := json.Marshal(held)
	if err != nil {
		return err
	}
	if err := onboard.WritePrivate(p.cacheFile(), append(text, '\n')); err != nil {
		return fmt.Errorf("keep the token: %w", err)
	}
	return nil
}
