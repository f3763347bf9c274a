package onboard

import (
	"context"
	"net/http"
	"time"
)

// SignInOffer is what the proxy says at GET /oidc.json of how to sign in.
type SignInOffer struct {
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// ClientSecret is what some issuers give even to public clients; it is no
	// secret.
	ClientSecret string   `json:"client_secret,omitempty"`
	Scopes       []string `json:"scopes"`
	// RedirectPort is the port to listen on for the browser; 0 is any.
	RedirectPort int `json:"redirect_port,omitempty"`
}

// SignedIn is what the proxy gives for an ID token, at POST /oidc/token.
type SignedIn struct {
	Token     string `json:"token"`
	Developer string `json:"developer"`
	Team      string `json:"team"`
	// Issued and Expires are the token's, by the proxy's clock.
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

// signInTimeout is how long Codex is to wait for a token: one that is renewed takes
// a few answers from the issuer and the proxy, over whatever network there is.
const signInTimeout = 30 * time.Second

// SignInProvider is a provider whose tokens come of the developer's sign-in, by
// 'codex-proxy token get'. The program is a path, or a name to look for in PATH.
func SignInProvider(program string, address Address) Provider {
	return Provider{TokenCommand: []string{program, "token", "get", "--url", address.String()}, TokenTimeout: signInTimeout}
}

// SignInAddress is the proxy at which the developer is signed in to get a
// provider's tokens; ok is false when they come from elsewhere.
func (u Upstream) SignInAddress() (address Address, ok bool) {
	args := u.Auth.Args
	if len(args) != 4 || args[0] != "token" || args[1] != "get" || args[2] != "--url" {
		return Address{}, false
	}
	address, err := ParseAddress(args[3])
	return address, err == nil
}

// SignInOffer asks how to sign in.
func (p *Proxy) SignInOffer(ctx context.Context) (SignInOffer, error) {
	var offer SignInOffer
	if err := p.readJSON(ctx, http.MethodGet, "/oidc.json", "", &offer); err != nil {
		return offer, err
	}
	if offer.Issuer == "" || offer.ClientID == "" {
		return offer, p.notAProxy("its answer names no issuer")
	}
	return offer, nil
}

// SignIn gets a token for an ID token.
func (p *Proxy) SignIn(ctx context.Context, idToken string) (SignedIn, error) {
	var got SignedIn
	if err := p.readJSON(ctx, http.MethodPost, "/oidc/token", idToken, &got); err != nil {
		return got, err
	}
	if got.Token == "" || !got.Expires.After(got.Issued) {
		return got, p.notAProxy("its answer has no token")
	}
	return got, nil
}
