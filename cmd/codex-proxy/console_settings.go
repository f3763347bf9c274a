package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/term"

	web "codex-proxy/internal/console"
	webaccess "codex-proxy/internal/console/access"
	"codex-proxy/internal/console/numbers"
	"codex-proxy/internal/console/replay"
	"codex-proxy/internal/record"
	"codex-proxy/internal/signin"
)

// consoleSettings is the [console] table of the settings file.
type consoleSettings struct {
	Pseudonyms   bool   `toml:"pseudonyms"`
	SecondPerson bool   `toml:"second_person"`
	ReadingLife  string `toml:"reading_life"`
	// OIDC lets people sign in with the organisation's account, at the issuer of
	// [oidc].
	OIDC *struct {
		ClientID         string            `toml:"client_id"`
		ClientSecretFile string            `toml:"client_secret_file"`
		Roles            map[string]string `toml:"roles"`
	} `toml:"oidc"`
}

// consoleConfig is what the [console] table says.
type consoleConfig struct {
	web.Settings
	// issuer signs people in; nil where none does.
	issuer *signin.Config
}

// consoleConfig returns what the [console] table says.
func (s *Settings) consoleConfig() (consoleConfig, error) {
	table := consoleSettings{ReadingLife: "1h"}
	err := toml.NewDecoder(bytes.NewReader(s.consoleTable)).DisallowUnknownFields().Decode(&table)
	if unknown := (*toml.StrictMissingError)(nil); errors.As(err, &unknown) {
		return consoleConfig{}, misuse("the [console] table of %s has the unknown key %q; docs/console.md lists its keys", s.Config, unknown.Errors[0].Key()[0])
	}
	if err != nil {
		return consoleConfig{}, misuse("the [console] table of %s: %v", s.Config, err)
	}
	const longest = 24 * time.Hour
	life, err := time.ParseDuration(table.ReadingLife)
	if err != nil || life < time.Minute || life > longest {
		return consoleConfig{}, misuse("the [console] table of %s: reading_life is %q: use a time from 1m to 24h", s.Config, table.ReadingLife)
	}
	settings, err := s.consoleIssuer(table)
	settings.Pseudonyms, settings.SecondPerson, settings.ReadingLife = table.Pseudonyms, table.SecondPerson, life
	return settings, err
}

// consoleIssuer returns what the [console.oidc] table says of roles, and how people
// sign in; the Issuer is nil where there is no such table.
func (s *Settings) consoleIssuer(table consoleSettings) (settings consoleConfig, err error) {
	if table.OIDC == nil {
		return settings, nil
	}
	config, err := s.signInConfig()
	if err != nil {
		return settings, err
	}
	if config == nil {
		return settings, misuse("%s has [console.oidc], but no [oidc] table that names the issuer; docs/console.md shows both", s.Config)
	}
	if table.OIDC.ClientID != "" {
		config.ClientID, config.ClientSecret = table.OIDC.ClientID, ""
	}
	if file := table.OIDC.ClientSecretFile; file != "" {
		secret, err := os.ReadFile(file)
		if err != nil {
			return settings, fmt.Errorf("read the client secret of [console.oidc]: %w", err)
		}
		config.ClientSecret = strings.TrimSpace(string(secret))
	}
	for _, group := range s.consoleGroups {
		role, err := webaccess.ParseRole(table.OIDC.Roles[group])
		if err != nil || role == webaccess.Developer {
			return settings, misuse("the [console.oidc.roles] table of %s: the group %q has the role %q: use admin, auditor or finance; developers need none", s.Config, group, table.OIDC.Roles[group])
		}
		settings.Roles = append(settings.Roles, web.RoleOf{Group: group, Role: role})
	}
	settings.issuer = config
	return settings, nil
}

// openConsole makes the console of a proxy whose parts are open.
func (p *proxy) openConsole(c *console, archive record.Archive, publicURL string, auth *authenticator) (http.Handler, error) {
	settings, err := c.settings.consoleConfig()
	if err != nil {
		return nil, err
	}
	var issuer web.Issuer
	if settings.issuer != nil {
		issuer = signin.NewBrowser(*settings.issuer, p.now)
	}
	frame := web.New(web.Config{
		Issuer: issuer,
		Store:  p.developers, Developers: p.developers, Authenticator: auth, Ledger: p.ledger, PublicURL: publicURL, Settings: settings.Settings,
		Facts: p.facts(c), Now: p.now, Log: p.log,
	})
	figures := numbers.Handler(numbers.Config{
		Ledger: p.ledger, Marks: p.developers, Running: p.gateway.Running, Stop: p.gateway.Stop, Frame: frame, Zone: time.UTC, Now: p.now, Log: p.log,
	})
	words := replay.Handler(replay.Config{Archive: archive, Ledger: p.ledger, Frame: frame, Advice: originAdvice, Now: p.now, Log: p.log})
	return frame.Handler(map[string]http.Handler{
		"/console/overview": figures, "/console/findings": figures, "/console/live": figures, "/console/numbers": figures,
		"/api/v1/overview": figures, "/api/v1/usage": figures, "/api/v1/live": figures, "/api/v1/findings": figures,
		"/console/sessions": words, "/console/records": words, "/api/v1/sessions": words, "/api/v1/records": words,
	}), nil
}

// offerConsole says where the console is, and at the first start, on a terminal, how
// to sign in. A credential is printed to nobody's log.
func (p *proxy) offerConsole(c *console, s *serverSettings, listening net.Addr) error {
	if p.console == nil {
		return nil
	}
	address := strings.TrimSuffix(s.PublicURL, "/")
	if address == "" {
		address = "http://" + listening.String()
		if s.TLSCert != "" {
			address = "https://" + listening.String()
		}
	}
	address += "/console/"
	if file, ok := c.stderr.(*os.File); !ok || !term.IsTerminal(int(file.Fd())) {
		p.log.Info("the console is served", "at", address, "credential", "codex-proxy console reset-admin makes one")
		return nil
	}
	credential, err := web.People{Store: p.developers, Now: p.now}.Begin(c.ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.stderr, "Console: %s\n", address)
	if credential != "" {
		fmt.Fprintf(c.stderr, "Sign in as its administrator with this credential, which is shown this once ('codex-proxy console reset-admin' makes another):\n\n  %s\n\n", credential.Reveal())
	}
	return nil
}
