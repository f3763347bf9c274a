package signin

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/oauth2"

	"codex-proxy/internal/terminal"
)

// byDevice signs in with a code that the developer types in on whatever machine
// they have a browser on (RFC 8628).
func (i *issuer) byDevice(ctx context.Context, o LoginOptions) (proof, error) {
	device, err := i.oauth.DeviceAuth(i.with(ctx))
	if err != nil {
		return proof{}, i.explain(err)
	}
	fmt.Fprintf(o.Tell, "Sign in on any machine with a browser: go to\n\n  %s\n\nand type the code\n\n  %s\n\n", terminal.Safe(device.VerificationURI), terminal.Safe(device.UserCode))
	if device.VerificationURIComplete != "" {
		fmt.Fprintf(o.Tell, "or go to %s, which has the code in it already.\n", terminal.Safe(device.VerificationURIComplete))
	}
	token, err := i.oauth.DeviceAccessToken(i.with(ctx), device)
	var no *oauth2.RetrieveError
	switch {
	case ctx.Err() != nil:
		return proof{}, waited(ctx)
	case errors.As(err, &no) && no.ErrorCode == "access_denied":
		return proof{}, errors.New("the sign-in was denied in the browser: run 'codex-proxy login' again if that was a mistake")
	case errors.As(err, &no) && no.ErrorCode == "expired_token", errors.Is(err, context.DeadlineExceeded):
		return proof{}, errors.New("the code was not typed in in time: run 'codex-proxy login' again")
	case err != nil:
		return proof{}, i.explain(err)
	}
	p := newProof(token)
	if p.id == "" {
		return proof{}, fmt.Errorf("the issuer %s gave no ID token: tell whoever runs the proxy", i.url)
	}
	return p, nil
}
