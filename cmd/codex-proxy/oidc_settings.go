package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"codex-proxy/internal/signin"
)

// oidcSettings is the [oidc] table of the settings file.
type oidcSettings struct {
	Issuer         string            `toml:"issuer"`
	ClientID       string            `toml:"client_id"`
	ClientSecret   string            `toml:"client_secret"`
	Scopes         []string          `toml:"scopes"`
	RedirectPort   int               `toml:"redirect_port"`
	AllowedDomains []string          `toml:"allowed_domains"`
	GroupsClaim    string            `toml:"groups_claim"`
	Teams          map[string]string `toml:"teams"`
	DefaultTeam    string            `toml:"default_team"`
	RequireGroup   bool              `toml:"require_group"`
	TokenLife      string            `toml:"token_life"`
}

// signInConfig returns what the [oidc] table says; nil when there is none.
func (s *Settings) signInConfig() (*signin.Config, error) {
	if s.oidcTable == nil {
		return nil, nil
	}
	table := oidcSettings{
		Scopes: []string{"openid", "email", "profile", "offline_access"}, GroupsClaim: "groups", DefaultTeam: "default", TokenLife: "1h",
	}
	err := toml.NewDecoder(bytes.NewReader(s.oidcTable)).DisallowUnknownFields().Decode(&table)
	if unknown := (*toml.StrictMissingError)(nil); errors.As(err, &unknown) {
		return nil, misuse("the [oidc] table of %s has the unknown key %q; docs/sign-in.md lists its keys", s.Config, unknown.Errors[0].Key()[0])
	}
	if err != nil {
		return nil, misuse("the [oidc] table of %s: %v", s.Config, err)
	}
	life, err := time.ParseDuration(table.TokenLife)
	if err != nil {
		return nil, misuse("the [oidc] table of %s: token_life is %q: use a time such as 1h or 30m", s.Config, table.TokenLife)
	}
	config := signin.Config{
		Issuer: table.Issuer, ClientID: table.ClientID, ClientSecret: table.ClientSecret, Scopes: table.Scopes, RedirectPort: table.RedirectPort,
		AllowedDomains: table.AllowedDomains, GroupsClaim: table.GroupsClaim,
		DefaultTeam: table.DefaultTeam, RequireGroup: table.RequireGroup, TokenLife: life,
	}
	for _, group := range s.oidcGroups {
		config.Teams = append(config.Teams, signin.TeamOf{Group: group, Team: table.Teams[group]})
	}
	if err := config.Validate(); err != nil {
		return nil, misuse("the [oidc] table of %s: %v", s.Config, err)
	}
	return &config, nil
}

// keysOf returns the keys of a table of a TOML file, in the order in which they are
// written, which decoding does not keep. The file is known to be TOML.
func keysOf(file []byte, table ...string) (keys []string) {
	var visit func(under []string, node *unstable.Node)
	visit = func(under []string, node *unstable.Node) {
		path := slices.Concat(under, keyOf(node))
		if len(path) == len(table)+1 && slices.Equal(path[:len(table)], table) {
			keys = append(keys, path[len(table)])
		}
		if value := node.Value(); value.Kind == unstable.InlineTable {
			for children := value.Children(); children.Next(); {
				visit(path, children.Node())
			}
		}
	}
	var under []string
	var parser unstable.Parser
	parser.Reset(file)
	for parser.NextExpression() {
		switch node := parser.Expression(); node.Kind {
		case unstable.Table, unstable.ArrayTable:
			under = keyOf(node)
		case unstable.KeyValue:
			visit(under, node)
		}
	}
	return keys
}

// keyOf is the key of an expression, in its parts.
func keyOf(node *unstable.Node) (path []string) {
	for key := node.Key(); key.Next(); {
		path = append(path, string(key.Node().Data))
	}
	return path
}

// openSignIn makes the sign-in that the settings ask for. The service is nil when
// they ask for none.
func (p *proxy) openSignIn(ctx context.Context, s *Settings) (*signin.Service, error) {
	config, err := s.signInConfig()
	if err != nil {
		return nil, err
	}
	if config == nil {
		p.signIn = signin.Off()
		return nil, nil
	}
	teams, err := p.developers.Teams(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{config.DefaultTeam: true}
	for _, t := range teams {
		known[t.Name] = true
	}
	for _, t := range config.Teams {
		if !known[t.Team] {
			p.log.Warn("[oidc.teams] leads to a team that is not there yet: the first sign-in makes it, without limits", "team", t.Team, "group", t.Group)
		}
	}
	service := signin.New(*config, p.developers, p.now, p.log)
	p.signIn = service
	return service, nil
}

// checkIssuer says in the log when the issuer cannot be reached. The proxy starts
// all the same: those who have a token need no issuer.
func checkIssuer(ctx context.Context, service *signin.Service, log *slog.Logger) {
	if err := service.Check(ctx); err != nil && ctx.Err() == nil {
		log.Error("nobody can sign in just now", "error", err)
	}
}
