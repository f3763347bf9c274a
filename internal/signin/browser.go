package signin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Browser signs people in who sit in front of a browser that comes to the proxy
// itself: the authorization code flow with PKCE (RFC 6749, 4.1; RFC 7636), in which
// the proxy gets the ID token.
type Browser struct {
	issuer *issuer
	desk   desk
	secret string
	codes  *http.Client
}

// Attempt is what one sign-in in a browser is known by, from its beginning to its end.
type Attempt struct {
	// Redirect is the address of the proxy to which the issuer sends the browser back;
	// it must be registered at the issuer.
	Redirect string
	// State, Nonce and Verifier are random, and only this browser's.
	State, Nonce, Verifier string
}

// Someone is whom the issuer vouches for.
type Someone struct {
	// Developer is the id that a developer of this e-mail address has.
	Developer string
	Groups    []string
	// AreGroupsElsewhere says that the issuer left the groups out, as they are too
	// many for a token.
	AreGroupsElsewhere bool
}

// NewBrowser returns a Browser for a config that Validate has passed, whose ClientID
// and ClientSecret are those of the client that is registered for browsers. Nothing is
// asked of the issuer yet.
func NewBrowser(config Config, now func() time.Time) *Browser {
	return &Browser{issuer: newIssuer(config, now), desk: desk{config: config, now: now}, secret: config.ClientSecret, codes: newCodesClient()}
}

// Begin returns the address of the issuer's at which the browser signs in.
func (b *Browser) Begin(ctx context.Context, a Attempt) (string, error) {
	flow, err := b.flow(ctx, a)
	if err != nil {
		return "", err
	}
	return flow.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

// Finish returns who has signed in, by the code that the issuer gave the browser. A
// *refusal.Refusal says why an address may not sign in here.
func (b *Browser) Finish(ctx context.Context, a Attempt, code string) (Someone, error) {
	flow, err := b.flow(ctx, a)
	if err != nil {
		return Someone{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, b.codes), issuerTimeout)
	defer cancel()
	given, err := flow.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) {
		// Its text is the issuer's whole answer.
		return Someone{}, fmt.Errorf("the issuer %s takes the code for no ID token: %s", b.issuer.config.Issuer, printable(refused.ErrorCode))
	}
	if err != nil {
		return Someone{}, &unreachableError{fmt.Errorf("ask the issuer %s for an ID token: %w", b.issuer.config.Issuer, err)}
	}
	idToken, _ := given.Extra("id_token").(string)
	if idToken == "" {
		return Someone{}, fmt.Errorf("the issuer %s gives no ID token", b.issuer.config.Issuer)
	}
	who, err := b.issuer.verify(ctx, idToken)
	if err != nil {
		return Someone{}, err
	}
	if subtle.ConstantTimeCompare([]byte(who.Nonce), []byte(a.Nonce)) != 1 {
		return Someone{}, errors.New("the ID token is for another sign-in (nonce)")
	}
	id, err := b.desk.identify(who)
	return Someone{Developer: id, Groups: who.Groups, AreGroupsElsewhere: who.AreGroupsElsewhere}, err
}

func (b *Browser) flow(ctx context.Context, a Attempt) (*oauth2.Config, error) {
	known, err := b.issuer.discover(ctx)
	if err != nil {
		return nil, err
	}
	scopes := []string{}
	for _, scope := range b.issuer.config.Scopes {
		if scope != oidc.ScopeOfflineAccess { // nothing is renewed behind a browser's back
			scopes = append(scopes, scope)
		}
	}
	return &oauth2.Config{ClientID: b.issuer.config.ClientID, ClientSecret: b.secret, Endpoint: known.endpoint, RedirectURL: a.Redirect, Scopes: scopes}, nil
}
