package developer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// DefaultGrace is how long a token stays valid after it was rotated.
const DefaultGrace = 24 * time.Hour

// TokenInfo is what may be known about a token by anyone who may list tokens.
type TokenInfo struct {
	// ID is the token's public part.
	ID        string
	Developer string
	// Label is for people to read ("laptop"); it may be empty.
	Label   string
	Created time.Time
	// Expires is the moment from which the token is refused; zero means never.
	Expires time.Time
	// Revoked is zero unless the token was revoked.
	Revoked time.Time
	// LastUsed is exact to about a minute; zero means never.
	LastUsed time.Time
	// Imported marks a token that was brought along from elsewhere.
	Imported bool
	// ReplacedBy is the id of the token that a rotation put in this one's place.
	ReplacedBy string
}

// State is "active", "expired", "revoked", or "rotated" for a token that was
// replaced and is still in its grace.
func (t TokenInfo) State(now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case t.expired(now):
		return "expired"
	case t.ReplacedBy != "":
		return "rotated"
	}
	return "active"
}

func (t TokenInfo) expired(now time.Time) bool {
	return !t.Expires.IsZero() && !now.Before(t.Expires)
}

// Credential is a token as it is stored: the hash alone.
type Credential struct {
	TokenInfo
	Hash [sha256.Size]byte
}

// Issue makes a token for a developer. expires may be zero, for never.
func Issue(random io.Reader, developer, label string, now, expires time.Time) (Token, Credential, error) {
	id, err := randomText(random, IDLength)
	if err != nil {
		return "", Credential{}, err
	}
	return issueAs(random, id, TokenInfo{Developer: developer, Label: label, Created: now, Expires: expires})
}

// IssueOnce makes a token as Issue does, for whoever shows a proof that is good for
// one token. The token's public id is made of the proof, and so, as ids are unique in
// a store, a second token for it is refused there with ErrExists. The id says nothing
// of a proof that cannot be guessed.
func IssueOnce(random io.Reader, proof []byte, developer, label string, now, expires time.Time) (Token, Credential, error) {
	sum := sha256.Sum256(proof)
	return issueAs(random, inAlphabet(binary.BigEndian.Uint64(sum[:]), IDLength), TokenInfo{Developer: developer, Label: label, Created: now, Expires: expires})
}

func issueAs(random io.Reader, id string, info TokenInfo) (Token, Credential, error) {
	token, err := newToken(random, id)
	if err != nil {
		return "", Credential{}, err
	}
	info.ID = id
	credential, err := newCredential(token, info)
	return token, credential, err
}

// SignInLabel is what tokens are labelled with that signing in at the
// organisation's issuer gave: their end is what keeps out whom the issuer no
// longer knows.
const SignInLabel = "sign-in"

// Rotation says in what a token that takes another's place is to differ from it.
type Rotation struct {
	// Label is for people to read; empty keeps the other's.
	Label string
	// ChangesEnd gives the token an end of its own, Expires, which is zero for none.
	// Otherwise it ends when the other would have.
	ChangesEnd bool
	Expires    time.Time
}

// Rotate makes the token that is to take the place of old. What a sign-in gave
// keeps its label, and never ends later. The error wraps ErrNotActive when old
// is not active; any other says what cannot be asked for.
func Rotate(random io.Reader, old TokenInfo, change Rotation, now time.Time) (Token, Credential, error) {
	if old.State(now) != "active" {
		return "", Credential{}, fmt.Errorf("token %s %w", old.ID, ErrNotActive)
	}
	label, expires := old.Label, old.Expires
	if change.Label != "" {
		label = change.Label
	}
	if change.ChangesEnd {
		expires = change.Expires
	}
	if old.Label == SignInLabel && !old.Expires.IsZero() {
		later := expires.IsZero() || expires.After(old.Expires)
		if label != old.Label || later {
			return "", Credential{}, fmt.Errorf("the token %s comes of a sign-in, so what takes its place keeps its label and ends on %s at the latest; signing in again gives another", old.ID, moment(old.Expires))
		}
	}
	return Issue(random, old.Developer, label, now, expires)
}

// Import takes over a token that a developer already has. It gets a public id
// of its own, unless another codex-proxy made it.
func Import(random io.Reader, token Token, developer, label string, now, expires time.Time) (Credential, error) {
	if err := CheckImported(token); err != nil {
		return Credential{}, err
	}
	id, err := ParseToken(token.Reveal())
	if err != nil {
		if id, err = randomText(random, IDLength); err != nil {
			return Credential{}, err
		}
	}
	return newCredential(token, TokenInfo{ID: id, Developer: developer, Label: label, Created: now, Expires: expires, Imported: true})
}

func newCredential(token Token, info TokenInfo) (Credential, error) {
	if err := checkText("label", info.Label, 128); err != nil {
		return Credential{}, err
	}
	if info.expired(info.Created) {
		return Credential{}, errors.New("the token would expire before it is first used: name a later time")
	}
	return Credential{TokenInfo: info, Hash: token.Hash()}, nil
}
