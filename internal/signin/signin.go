// Package signin gives a developer who has signed in at the organisation's
// OpenID Connect issuer a token of the proxy's that soon ends.
//
// The developer's machine signs in at the issuer by itself, as a public client,
// and shows the proxy the ID token that it got. The proxy believes it by its
// signature alone, adds the developer at the first time, keeps their team as
// their groups say, and issues an ordinary token whose life is counted from when
// the issuer made the ID token. So someone who is removed at the issuer is out
// within that life, whatever they still hold.
package signin

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/developer"
)

// Label is what tokens made by a sign-in are labelled with.
const Label = developer.SignInLabel

// Config is the [oidc] table of the settings.
type Config struct {
	// Issuer is the issuer's URL, as its discovery document names it.
	Issuer string
	// ClientID is the public client that is registered at the issuer.
	ClientID string
	// ClientSecret is for issuers that give one even to public clients, as Google
	// does. Every developer's machine is told it, so it is no secret.
	ClientSecret string
	// Scopes are what a developer's machine asks the issuer for.
	Scopes []string
	// RedirectPort is the port that a developer's machine listens on while the
	// browser is at the issuer; 0 is any. For issuers that compare it.
	RedirectPort int
	// AllowedDomains are the domains of e-mail addresses that may sign in, each
	// for itself, without those below it.
	AllowedDomains []string
	// GroupsClaim is the claim of the ID token that holds the groups.
	GroupsClaim string
	// Teams says which group leads to which team; the first that fits decides.
	Teams []TeamOf
	// DefaultTeam is the team of those whom no group leads to one.
	DefaultTeam string
	// RequireGroup refuses those whom no group leads to a team.
	RequireGroup bool
	// TokenLife is how long after the issuer made an ID token the proxy's token
	// for it ends.
	TokenLife time.Duration
}

// TeamOf says that who is in the group belongs to the team.
type TeamOf struct{ Group, Team string }

// The bounds of Config.TokenLife.
const (
	minTokenLife = 5 * time.Second
	maxTokenLife = 30 * 24 * time.Hour
)

// Validate returns an error that says which setting cannot be meant.
func (c Config) Validate() error {
	if err := checkIssuer(c.Issuer); err != nil {
		return err
	}
	if c.ClientID == "" {
		return errors.New("client_id is missing: it is what the issuer calls the public client that you registered")
	}
	if !slices.Contains(c.Scopes, "openid") {
		return errors.New(`scopes must have "openid", or the issuer gives no ID token`)
	}
	if c.RedirectPort < 0 || c.RedirectPort > 65535 {
		return fmt.Errorf("redirect_port is %d: use 1 to 65535, or 0 for any", c.RedirectPort)
	}
	if len(c.AllowedDomains) == 0 {
		return errors.New(`allowed_domains is missing: name the domains of your e-mail addresses, as in ["example.com"]`)
	}
	for _, domain := range c.AllowedDomains {
		if domain == "" || strings.ContainsAny(domain, "@* \t/") || strings.HasPrefix(domain, ".") {
			return fmt.Errorf("allowed_domains has %q: use a whole domain such as example.com, without @ or *; domains below it are named by themselves", domain)
		}
	}
	if c.GroupsClaim == "" {
		return errors.New(`groups_claim is empty: leave it out for "groups"`)
	}
	for _, t := range c.Teams {
		if err := developer.CheckTeamName(t.Team); err != nil {
			return fmt.Errorf("teams: the group %q: %w", t.Group, err)
		}
	}
	if err := developer.CheckTeamName(c.DefaultTeam); err != nil {
		return fmt.Errorf("default_team: %w", err)
	}
	if c.RequireGroup && len(c.Teams) == 0 {
		return errors.New("require_group would refuse everybody, as [oidc.teams] names no group")
	}
	if c.TokenLife < minTokenLife || c.TokenLife > maxTokenLife {
		return fmt.Errorf("token_life is %s: use %s to %s; 1h is usual", c.TokenLife, minTokenLife, maxTokenLife)
	}
	return nil
}

// checkIssuer accepts an https URL; on this machine itself, http as well.
func checkIssuer(issuer string) error {
	if issuer == "" {
		return errors.New("issuer is missing: use its URL, such as https://login.example.com")
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("issuer is %q: use a URL such as https://login.example.com", issuer)
	}
	ip := net.ParseIP(u.Hostname())
	isLocal := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !isLocal) {
		return fmt.Errorf("issuer is %q: it must begin with https, as what it says decides who gets in", issuer)
	}
	return nil
}

// allows tells whether an address's domain is among the allowed ones.
func (c Config) allows(domain string) bool {
	return slices.ContainsFunc(c.AllowedDomains, func(allowed string) bool { return strings.EqualFold(allowed, domain) })
}

// team is the team that groups lead to; "" when none does.
func (c Config) team(groups []string) string {
	for _, t := range c.Teams {
		if slices.Contains(groups, t.Group) {
			return t.Team
		}
	}
	return ""
}
