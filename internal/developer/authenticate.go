package developer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Identity is who makes a request, and what they may do.
type Identity struct {
	Developer string
	Name      string
	Team      string
	TokenID   string
	// Expires is the moment from which the token is refused; zero means never.
	Expires time.Time
	Policy  Policy

	hash [sha256.Size]byte
}

// Reason is why a token is refused; the words are part of the proxy's interface.
type Reason string

// The reasons.
const (
	TokenMissing   Reason = "token_missing"
	TokenMalformed Reason = "token_malformed"
	TokenUnknown   Reason = "token_unknown"
	// TokenDisabled: the token's developer is disabled.
	TokenDisabled Reason = "token_disabled"
	TokenExpired  Reason = "token_expired"
	TokenRevoked  Reason = "token_revoked"
)

// TokenError says that a token is not valid: the answer to it is 401, whereas
// any other error of an Authenticator is an outage. Its text is for the
// developer to read and holds nothing secret.
type TokenError struct {
	Reason Reason
	// Developer and TokenID say whose token it was; empty where that is unknown.
	Developer string
	TokenID   string

	what string
	todo string
}

// Error says what is wrong with the token and what to do about it.
func (e *TokenError) Error() string { return "codex-proxy: " + e.Message() }

// Message is the sentence for the developer, without the proxy's name.
func (e *TokenError) Message() string { return e.what + " " + e.todo }

// lookupLimit bounds a look-up whatever the store does.
const lookupLimit = 2 * time.Second

// Authenticator finds out who makes a request. Every call asks the store, so
// that what it says is never older than the call.
type Authenticator struct {
	store GrantFinder
	now   func() time.Time
}

// NewAuthenticator returns an authenticator that looks tokens up in store and
// tells the time by now (time.Now, outside tests).
func NewAuthenticator(store GrantFinder, now func() time.Time) *Authenticator {
	return &Authenticator{store: store, now: now}
}

// Authenticate returns who holds the token (the text after "Bearer "; empty
// when the request had none). The error is a *TokenError when the token is not
// valid, and anything else when that could not be found out.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (Identity, error) {
	if token == "" {
		return Identity{}, &TokenError{
			Reason: TokenMissing,
			what:   "the request carries no token.",
			todo:   "Configure Codex with your own token (" + Prefix + "…); whoever runs the proxy can give you one.",
		}
	}
	if err := CheckToken(token); err != nil {
		return Identity{}, &TokenError{Reason: TokenMalformed, what: "this is no token: " + err.Error() + ".", todo: askForNew("")}
	}
	identity, err := a.find(ctx, Token(token).Hash())
	if unknown := (*TokenError)(nil); errors.As(err, &unknown) && unknown.Reason == TokenUnknown {
		unknown.guess(token)
	}
	return identity, err
}

// guess says what a token that nobody knows may be.
func (e *TokenError) guess(token string) {
	switch {
	case strings.HasPrefix(token, "sk-"):
		e.what = "this looks like a key of OpenAI's, and the proxy does not know it."
		e.todo = "Use your own token (" + Prefix + "…) instead; whoever runs the proxy can give you one."
	case strings.HasPrefix(token, Prefix) && !hasOurShape(token):
		e.what = fmt.Sprintf("the proxy does not know this token. Those that it makes have %d characters, and this one has %d: it may be cut short or misshapen.", tokenLength, len(token))
		e.todo = "Copy it again, whole, or ask whoever runs the proxy for a new one."
	}
}

// Recheck authenticates an identity anew, to find out whether it has been cut
// off since, or what it may do has changed. Its errors are Authenticate's.
func (a *Authenticator) Recheck(ctx context.Context, identity Identity) (Identity, error) {
	return a.find(ctx, identity.hash)
}

func (a *Authenticator) find(ctx context.Context, hash [sha256.Size]byte) (Identity, error) {
	limited, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	grant, err := a.store.Grant(limited, hash)
	if err == nil && subtle.ConstantTimeCompare(grant.Hash[:], hash[:]) != 1 {
		err = fmt.Errorf("the store answered with another token: %w", ErrNotFound)
	}
	if errors.Is(err, ErrNotFound) {
		return Identity{}, &TokenError{
			Reason: TokenUnknown,
			what:   "the proxy does not know this token.",
			todo:   "Check that it is the one you were given for this proxy, or ask whoever runs the proxy for a new one.",
		}
	}
	if err != nil {
		return Identity{}, fmt.Errorf("look up the token: %w", err)
	}
	if refused := grant.refusal(a.now()); refused != nil {
		return Identity{}, refused
	}
	return Identity{
		Developer: grant.Developer,
		Name:      grant.Holder.Name,
		Team:      grant.Holder.Team,
		TokenID:   grant.ID,
		Expires:   grant.Expires,
		Policy:    grant.Policy,
		hash:      hash,
	}, nil
}

// refusal is why the grant is not valid now, or nil.
func (g Grant) refusal(now time.Time) *TokenError {
	refused := &TokenError{Developer: g.Developer, TokenID: g.ID, todo: askForNew(g.Policy.Contact)}
	switch {
	case !g.Holder.Enabled:
		// First, as a new token would not help.
		refused.Reason = TokenDisabled
		refused.what = fmt.Sprintf("access for %s is disabled.", g.Developer)
		refused.todo = "Ask " + contact(g.Policy.Contact) + " to enable it."
	case !g.Revoked.IsZero():
		refused.Reason = TokenRevoked
		refused.what = fmt.Sprintf("the token %s of %s was revoked on %s.", g.ID, g.Developer, moment(g.Revoked))
	case g.expired(now) && g.ReplacedBy != "":
		refused.Reason = TokenExpired
		refused.what = fmt.Sprintf("the token %s of %s was replaced by %s, and ended on %s.", g.ID, g.Developer, g.ReplacedBy, moment(g.Expires))
		refused.todo = "Use the new token, or ask " + contact(g.Policy.Contact) + " for another."
	case g.expired(now):
		refused.Reason = TokenExpired
		refused.what = fmt.Sprintf("the token %s of %s expired on %s.", g.ID, g.Developer, moment(g.Expires))
	default:
		return nil
	}
	return refused
}

func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

func askForNew(whom string) string { return "Ask " + contact(whom) + " for a new one." }

func contact(whom string) string {
	if whom == "" {
		return "whoever runs the proxy"
	}
	return whom
}
