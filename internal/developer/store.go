package developer

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// What a Store's errors wrap where the caller can do something about it. Any
// other error is an outage.
var (
	// ErrNotFound: there is no such developer, token or team.
	ErrNotFound = errors.New("not found")
	// ErrExists: the id or the token is already in use.
	ErrExists = errors.New("already exists")
	// ErrInUse: the team still has developers.
	ErrInUse = errors.New("still in use")
	// ErrNotActive: the token is revoked, expired or was already replaced.
	ErrNotActive = errors.New("not active")
)

// Store keeps developers, tokens and teams. Every method is atomic: it happens
// whole, or not at all when it returns an error, and once a change has returned
// every later read sees it. Each returns within about 2 seconds when the store
// cannot answer. Times are kept to the millisecond.
type Store interface {
	GrantFinder
	LastUsedKeeper

	// AddDeveloper keeps a new developer together with the tokens given, and
	// makes the team exist. ErrExists: the developer or a token already does.
	AddDeveloper(ctx context.Context, d Developer, tokens ...Credential) error
	// Developer returns one developer, or ErrNotFound.
	Developer(ctx context.Context, id string) (Developer, error)
	// Developers returns all developers, sorted by id.
	Developers(ctx context.Context) ([]Developer, error)
	// UpdateDeveloper lets change edit a developer and returns the outcome;
	// change may be called again when somebody else's change came between.
	// The id and Created stay as they are; the team is made to exist.
	UpdateDeveloper(ctx context.Context, id string, change func(*Developer) error) (Developer, error)
	// RemoveDeveloper deletes a developer and all their tokens, or returns
	// ErrNotFound.
	RemoveDeveloper(ctx context.Context, id string) error

	// AddToken keeps a new token. ErrNotFound: there is no such developer.
	// ErrExists: the token, or its id, is in use.
	AddToken(ctx context.Context, token Credential) error
	// Token returns one token by its public id, or ErrNotFound.
	Token(ctx context.Context, id string) (TokenInfo, error)
	// Tokens returns the tokens of a developer, or of all when developer is
	// empty, sorted by developer, then from old to new.
	Tokens(ctx context.Context, developer string) ([]TokenInfo, error)
	// RevokeToken makes a token invalid for good and returns it. Revoking again
	// changes nothing: the first time stays.
	RevokeToken(ctx context.Context, id string, at time.Time) (TokenInfo, error)
	// RotateToken keeps fresh, and makes the token with the public id old end at
	// until, or earlier if it would end earlier by itself. ErrNotActive: at
	// fresh.Created the old token is revoked, expired or already replaced.
	RotateToken(ctx context.Context, old string, fresh Credential, until time.Time) error

	// Team returns one team, or ErrNotFound.
	Team(ctx context.Context, name string) (Team, error)
	// Teams returns all teams, sorted by name. DefaultTeam is always one.
	Teams(ctx context.Context) ([]Team, error)
	// UpdateTeam lets change edit the policy of a team, which is made to exist,
	// and returns the outcome; change may be called again when somebody else's
	// change came between.
	UpdateTeam(ctx context.Context, name string, at time.Time, change func(*Policy) error) (Team, error)
	// RemoveTeam deletes a team, or returns ErrNotFound. ErrInUse: developers
	// belong to it, or it is DefaultTeam.
	RemoveTeam(ctx context.Context, name string) error
}

// Tidy looks at the tokens that a developer has, from old to new, and names by their
// public ids those that end at once and those that are deleted. It may be called
// again, with what they are then.
type Tidy func(tokens []TokenInfo) (ended, deleted []string)

// Tidier keeps new tokens in the place of old ones.
type Tidier interface {
	// AddTokenAndTidy keeps a new token as Store.AddToken does, and in the same step
	// ends and deletes those of the developer's others that tidy names; they end when
	// the new one was created. When it returns an error, it has done nothing.
	AddTokenAndTidy(ctx context.Context, token Credential, tidy Tidy) error
}

// Grant is everything that decides about one token, read at one moment.
type Grant struct {
	Credential
	Holder Developer
	Policy Policy
}

// GrantFinder finds what a token grants.
type GrantFinder interface {
	// Grant returns the grant of the token with this hash, or ErrNotFound. It
	// is one indexed read.
	Grant(ctx context.Context, hash [sha256.Size]byte) (Grant, error)
}

// LastUsedKeeper keeps when tokens were last used.
type LastUsedKeeper interface {
	// SetLastUsed keeps the times by token id. A time never moves backwards, and
	// tokens that are gone are passed over.
	SetLastUsed(ctx context.Context, times map[string]time.Time) error
}
