// Package invite lets a developer fetch a token of their own by a link that
// works once:
//
//	https://proxy.example.com/invite/<code>
//
// Looking at the link uses nothing up, as mail scanners and chat previews look
// at every link that they see. What redeems it is the page's button, or a POST
// from a command line: in one step the invitation is used up and a token is
// issued, which is shown that once. So nothing that is sent to a developer stays
// secret for longer than the invitation is open.
package invite

import (
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"codex-proxy/internal/developer"
)

// MaxLife is how long an invitation is open at most.
const MaxLife = 30 * 24 * time.Hour

// ErrNotOpen is why an invitation cannot be redeemed: it was used or cancelled,
// has expired, or there is none. Which of them it
// is must not be told to whoever tries the link.
var ErrNotOpen = errors.New("the invitation is not open")

// Invitation is what may be known about an invitation by anyone who may list
// them.
type Invitation struct {
	// ID is a UUIDv7. It says nothing about the code.
	ID string
	// Developer is the id of the developer to whom a token will be issued.
	Developer string
	Created   time.Time
	// Expires is the moment from which the invitation is not open.
	Expires time.Time
	// Cancelled is zero unless the invitation was cancelled, by name, by a later
	// one, or because its developer was disabled.
	Cancelled time.Time
	// Used is zero until the invitation is redeemed, and Token the public id of
	// the token that was issued then.
	Used  time.Time
	Token string
}

// State is "open", "used", "cancelled" or "expired".
func (i Invitation) State(now time.Time) string {
	switch {
	case !i.Used.IsZero():
		return "used"
	case !i.Cancelled.IsZero():
		return "cancelled"
	case !now.Before(i.Expires):
		return "expired"
	}
	return "open"
}

// Sealed is an invitation as it is stored: of its code, the hash alone.
type Sealed struct {
	Invitation
	Hash [sha256.Size]byte
}

// New makes an invitation, and the code by which it is redeemed. The error says
// what is wrong with the time at which it would expire.
func New(random io.Reader, developer string, now, expires time.Time) (Code, Sealed, error) {
	switch {
	case !now.Before(expires):
		return "", Sealed{}, errors.New("the invitation would expire before it is first used: name a later time")
	case expires.Sub(now) > MaxLife:
		return "", Sealed{}, fmt.Errorf("an invitation is open for at most %d days", MaxLife/(24*time.Hour))
	}
	code, err := newCode(random)
	if err != nil {
		return "", Sealed{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", Sealed{}, fmt.Errorf("make an id: %w", err)
	}
	return code, Sealed{
		Invitation: Invitation{ID: id.String(), Developer: developer, Created: now, Expires: expires},
		Hash:       code.Hash(),
	}, nil
}

// Offer is everything that decides about one invitation, read at one moment.
type Offer struct {
	Invitation
	Holder developer.Developer
	// Contact says whom to ask, as the policy of the developer's team has it; it
	// may be empty.
	Contact string
}

// Code is the secret part of an invitation's link, in the clear. It masks itself
// wherever it is printed, logged or marshalled; only Reveal gives the text.
type Code string

const (
	codeBytes  = 20 // 160 bits
	codeLength = codeBytes * 8 / 5
)

// codeText writes 160 bits as 32 characters, all of which survive mail, chat and
// a URL as they are.
var codeText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func newCode(random io.Reader) (Code, error) {
	var secret [codeBytes]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return Code(codeText.EncodeToString(secret[:])), nil
}

// parseCode tells whether text can be a code at all, without any look-up.
func parseCode(text string) (Code, bool) {
	if len(text) != codeLength {
		return "", false
	}
	_, err := codeText.DecodeString(text)
	return Code(text), err == nil
}

// Hash is what is kept of a code. Codes are random, so a plain SHA-256 cannot be
// guessed backwards.
func (c Code) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(c)) }

// Reveal returns the code in the clear, to be put into the one link.
func (c Code) Reveal() string { return string(c) }

// String masks the code.
func (c Code) String() string { return "[invitation code]" }

// Format masks the code under every verb of package fmt.
func (c Code) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, c.String()) }

// LogValue masks the code in logs.
func (c Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText masks the code in JSON and the like.
func (c Code) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
