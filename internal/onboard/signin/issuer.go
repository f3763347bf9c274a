package signin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"codex-proxy/internal/onboard"
)

// issuerTimeout bounds one answer of the issuer's.
const issuerTimeout = 20 * time.Second

// issuer is the OpenID Connect issuer, as a public client sees it.
type issuer struct {
	url      string
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	revoking string // RFC 7009; empty where it takes none
	client   *http.Client
}

// proof is what a sign-in or its renewal gives.
type proof struct {
	id      string // the ID token
	refresh string // empty when the issuer gave none
}

// unreachableError says that somebody who was asked did not answer as they should;
// trying again may help.
type unreachableError struct{ error }

func (e *unreachableError) Unwrap() error { return e.error }

// discover asks the issuer where its endpoints are.
func discover(ctx context.Context, offer onboard.SignInOffer) (*issuer, error) {
	i := &issuer{url: offer.Issuer, client: &http.Client{
		Timeout: issuerTimeout,
		// A refresh token must not be carried on to wherever an answer points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if err := i.check("itself", offer.Issuer); err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, issuerTimeout)
	defer cancel()
	provider, err := oidc.NewProvider(i.with(limited), offer.Issuer)
	if err != nil {
		return nil, i.unreachable(err)
	}
	var says struct {
		Revoking string `json:"revocation_endpoint"`
	}
	if err := provider.Claims(&says); err != nil {
		return nil, i.unreachable(err)
	}
	endpoint := provider.Endpoint()
	// A public client has nothing to put into a header; and trying both ways could
	// use up a code.
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	for name, address := range map[string]string{
		"authorization_endpoint": endpoint.AuthURL, "token_endpoint": endpoint.TokenURL,
		"device_authorization_endpoint": endpoint.DeviceAuthURL, "revocation_endpoint": says.Revoking,
	} {
		if err := i.check(name, address); address != "" && err != nil {
			return nil, err
		}
	}
	i.revoking = says.Revoking
	i.oauth = oauth2.Config{ClientID: offer.ClientID, ClientSecret: offer.ClientSecret, Scopes: offer.Scopes, Endpoint: endpoint}
	i.verifier = provider.VerifierContext(i.with(context.WithoutCancel(ctx)), &oidc.Config{ClientID: offer.ClientID})
	return i, nil
}

// check accepts an https address; on this machine itself, http as well.
func (i *issuer) check(what, address string) error {
	u, err := url.Parse(address)
	if err == nil && u.Scheme == "https" && u.Host != "" {
		return nil
	}
	if err == nil && u.Scheme == "http" {
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip != nil && ip.IsLoopback() {
			return nil
		}
	}
	return fmt.Errorf("the issuer %s names %q as %s, which is not https: tell whoever runs the proxy", i.url, address, what)
}

// with makes the libraries use our client.
func (i *issuer) with(ctx context.Context) context.Context { return oidc.ClientContext(ctx, i.client) }

// signIn lets the developer sign in, one way or the other.
func (i *issuer) signIn(ctx context.Context, port int, o LoginOptions) (proof, error) {
	hasDevice := i.oauth.Endpoint.DeviceAuthURL != ""
	switch {
	case o.Device && !hasDevice:
		return proof{}, fmt.Errorf("the issuer %s has no device flow: sign in without --device, on a machine with a browser", i.url)
	case o.Device, o.IsHeadless && hasDevice:
		return i.byDevice(ctx, o)
	}
	return i.byBrowser(ctx, port, o)
}

// refresh renews the ID token. The error is ErrSignInNeeded when the issuer does
// not know the refresh token any more.
func (i *issuer) refresh(ctx context.Context, token string) (proof, error) {
	ctx, cancel := context.WithTimeout(i.with(ctx), issuerTimeout)
	defer cancel()
	got, err := i.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: token}).Token()
	if err != nil {
		return proof{}, i.explain(err)
	}
	return newProof(got), nil
}

func newProof(got *oauth2.Token) proof {
	id, _ := got.Extra("id_token").(string) // or there is none
	return proof{id: id, refresh: got.RefreshToken}
}

// explain says in words what a token endpoint answered. It never holds a token.
func (i *issuer) explain(err error) error {
	var no *oauth2.RetrieveError
	switch {
	case !errors.As(err, &no):
		return i.unreachable(err)
	case no.ErrorCode == "invalid_grant":
		return fmt.Errorf("the issuer %s has ended your sign-in%s. If you may still use Codex, %w", i.url, described(no), ErrSignInNeeded)
	case no.ErrorCode != "" && no.Response.StatusCode < 500:
		return fmt.Errorf("the issuer %s refuses with %q%s: tell whoever runs the proxy", i.url, no.ErrorCode, described(no))
	}
	return i.unreachable(fmt.Errorf("it answers with status %d", no.Response.StatusCode))
}

func described(no *oauth2.RetrieveError) string {
	if no.ErrorDescription == "" {
		return ""
	}
	return " (" + strings.TrimSuffix(no.ErrorDescription, ".") + ")"
}

func (i *issuer) unreachable(err error) error {
	var transport *url.Error
	if errors.As(err, &transport) {
		err = transport.Err // the rest is said already, or not for printing
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	return &unreachableError{fmt.Errorf("the organisation's sign-in at %s cannot be reached: %w. Check the network and the VPN, and try again", i.url, err)}
}

// revoke tells the issuer that the refresh token is not needed any more (RFC 7009).
func (i *issuer) revoke(ctx context.Context, token string) error {
	if i.revoking == "" {
		return nil
	}
	form := url.Values{"token": {token}, "token_type_hint": {"refresh_token"}, "client_id": {i.oauth.ClientID}}
	if i.oauth.ClientSecret != "" {
		form.Set("client_secret", i.oauth.ClientSecret)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, i.revoking, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := i.client.Do(request)
	if err != nil {
		return i.unreachable(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can serve again
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the issuer %s answers with status %d", i.url, response.StatusCode)
	}
	return nil
}
