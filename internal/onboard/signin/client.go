// Package signin signs a developer in at the organisation's OpenID Connect issuer,
// from their own machine, and keeps Codex supplied with short-lived tokens of the
// proxy's.
//
// A sign-in goes through the browser (RFC 8252: a loopback address, PKCE) or, where
// there is none, by a code that is typed in elsewhere (RFC 8628). What stays is a
// refresh token, in the keyring of the operating system where there is one; with
// it, a new token of the proxy's is had without asking the developer, for as long
// as the issuer knows them.
package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"codex-proxy/internal/onboard"
)

// Client signs in at one proxy.
type Client struct {
	Address onboard.Address
	Keep    *Keep
	// Now is time.Now, outside tests.
	Now func() time.Time
}

// LoginOptions say how to sign in.
type LoginOptions struct {
	// Device asks for the device flow, and nothing else.
	Device bool
	// IsHeadless says that no browser of this machine's can be seen, so that the
	// device flow is better where the issuer has one.
	IsHeadless bool
	// NoKeyring keeps the refresh token in a file.
	NoKeyring bool
	// Open shows an address in the browser.
	Open func(address string) error
	// Tell is where the developer reads what to do.
	Tell io.Writer
}

// Login is how a sign-in ended.
type Login struct {
	onboard.SignedIn
	// Place is where the refresh token is kept; empty when the issuer gave none.
	Place string
	// Hindrance is why that is no keyring; nil when it is one, or none was wanted.
	Hindrance error
}

// loginLimit is how long a developer may take to sign in.
const loginLimit = 10 * time.Minute

// Login signs the developer in anew, whatever there was before.
func (c *Client) Login(ctx context.Context, o LoginOptions) (Login, error) {
	ctx, cancel := context.WithTimeout(ctx, loginLimit)
	defer cancel()
	proxy := onboard.NewProxy(c.Address)
	offer, err := proxy.SignInOffer(ctx)
	if err != nil {
		return Login{}, err
	}
	issuer, err := discover(ctx, offer)
	if err != nil {
		return Login{}, err
	}
	proof, err := issuer.signIn(ctx, offer.RedirectPort, o)
	if err != nil {
		return Login{}, err
	}
	got, err := proxy.SignIn(ctx, proof.id)
	if err != nil {
		return Login{}, err
	}
	place := c.Keep.place(c.Address)
	unlock, err := place.lock()
	if err != nil {
		return Login{}, err
	}
	defer unlock()
	out := Login{SignedIn: got}
	if proof.refresh != "" {
		before, _ := place.read() // or there is none
		out.Place, out.Hindrance, err = place.save(ctx, signIn{
			Proxy: c.Address.String(), Issuer: offer.Issuer, ClientID: offer.ClientID, ClientSecret: offer.ClientSecret,
		}, proof.refresh, !o.NoKeyring)
		if err != nil {
			return Login{}, err
		}
		if o.NoKeyring {
			out.Hindrance = place.forget(ctx, before)
		}
	}
	return out, place.cache(newCached(got, c.Now()))
}

// ErrSignInNeeded says that only the developer can help, by signing in.
var ErrSignInNeeded = errors.New("sign in")

// Token returns a token of the proxy's that is valid for a while yet: the one that
// is at hand, or a new one. Of many that ask at once, one asks the issuer, as a
// refresh token may be good for one time only.
func (c *Client) Token(ctx context.Context) (string, error) {
	place := c.Keep.place(c.Address)
	held := place.cached()
	if held.isFresh(c.Now()) {
		return held.Token, nil
	}
	if _, err := place.read(); err != nil {
		if held.isValid(c.Now()) {
			return held.Token, nil // a sign-in without a refresh token
		}
		return "", c.explain(err)
	}
	unlock, err := place.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	held = place.cached()
	if held.isFresh(c.Now()) { // someone else was quicker
		return held.Token, nil
	}
	got, err := c.renew(ctx, place)
	if unreachable := (*unreachableError)(nil); errors.As(err, &unreachable) && held.isValid(c.Now()) {
		return held.Token, nil // it is good for a little yet
	}
	if err != nil {
		return "", err
	}
	return got.Token, place.cache(newCached(got, c.Now()))
}

// renew gets a new token of the proxy's by the refresh token.
func (c *Client) renew(ctx context.Context, place place) (got onboard.SignedIn, err error) {
	kept, refresh, err := place.load(ctx)
	if err != nil {
		return onboard.SignedIn{}, c.explain(err)
	}
	issuer, err := discover(ctx, onboard.SignInOffer{Issuer: kept.Issuer, ClientID: kept.ClientID, ClientSecret: kept.ClientSecret})
	if err != nil {
		return onboard.SignedIn{}, err
	}
	for _, wait := range secondLooks {
		if err := pause(ctx, wait); err != nil {
			return onboard.SignedIn{}, err
		}
		var proof proof
		if proof, err = c.refresh(ctx, place, kept, issuer, refresh); err != nil {
			return onboard.SignedIn{}, c.explain(err)
		}
		refresh = cmp.Or(proof.refresh, refresh)
		got, err = onboard.NewProxy(c.Address).SignIn(ctx, proof.id)
		if no := (*onboard.Refused)(nil); !errors.As(err, &no) || no.Reason != usedReason {
			break
		}
	}
	no := (*onboard.Refused)(nil)
	if err != nil && (!errors.As(err, &no) || no.Status >= 500) {
		return got, &unreachableError{err}
	}
	return got, err
}

// usedReason is the proxy's word for an ID token that was used already.
const usedReason = "sign_in_used"

// secondLooks are the waits before each time that the issuer is asked for an ID token,
// as the proxy takes each once: an issuer that is asked twice within a second may give
// the same.
var secondLooks = [...]time.Duration{0, 0, 1100 * time.Millisecond}

func pause(ctx context.Context, wait time.Duration) error {
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refresh gets an ID token by the refresh token, and keeps the next one of these.
func (c *Client) refresh(ctx context.Context, place place, kept signIn, issuer *issuer, refresh string) (proof, error) {
	proof, err := issuer.refresh(ctx, refresh)
	if errors.Is(err, ErrSignInNeeded) {
		// Codex asks again and again; the issuer has said all there is to say.
		err = errors.Join(err, place.end(ctx, kept, err))
	}
	if err != nil {
		return proof, err
	}
	// Before anything else can fail: the one before may be used up.
	if proof.refresh != "" && proof.refresh != refresh {
		if _, _, err := place.save(ctx, kept, proof.refresh, kept.KeptIn == inKeyring); err != nil {
			return proof, err
		}
	}
	if proof.id == "" {
		return proof, fmt.Errorf("the issuer %s gives no ID token when it is asked to renew one: tell whoever runs the proxy", kept.Issuer)
	}
	return proof, nil
}

// explain adds what to do where only the developer can help.
func (c *Client) explain(err error) error {
	if errors.Is(err, ErrSignInNeeded) {
		return fmt.Errorf("%w: run 'codex-proxy login --url %s'", err, c.Address)
	}
	return err
}

// Logout forgets the sign-in, and tells the issuer to, where it takes that. It
// reports whether there was one; revoke says why the issuer was not told.
func (c *Client) Logout(ctx context.Context) (was bool, revoke, err error) {
	place := c.Keep.place(c.Address)
	if !place.exists() {
		return false, nil, nil
	}
	unlock, err := place.lock()
	if err != nil {
		return false, nil, err
	}
	kept, refresh, loadErr := place.load(ctx)
	if loadErr == nil {
		var issuer *issuer
		issuer, revoke = discover(ctx, onboard.SignInOffer{Issuer: kept.Issuer, ClientID: kept.ClientID, ClientSecret: kept.ClientSecret})
		if revoke == nil {
			revoke = issuer.revoke(ctx, refresh)
		}
	}
	unlock() // the lock lies in what is removed
	return true, revoke, place.remove(ctx, kept)
}
