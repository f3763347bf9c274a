package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

// Settings are what every command shares. Zero settings work: local state then
// lives in ./data.
type Settings struct {
	// Config is the settings file; read where it exists, and required to exist
	// when named explicitly.
	Config string `help:"Settings file (TOML). A flag beats a CODEX_PROXY_… variable, which beats the file." default:"codex-proxy.toml" placeholder:"FILE"`
	// Data is the directory that holds all local state.
	Data string `help:"Directory that holds all local state." default:"${data}" placeholder:"DIR"`
	// Init lets a command that changes something make an installation.
	Init bool `help:"Make an installation in --data where there is none, for a command that changes something. 'serve' does so without."`
	storeSettings
	// Prices is a file that overrides the built-in price book.
	Prices string `help:"Price file (TOML) whose entries override the built-in price book and the settings file's [[price]] tables." placeholder:"FILE"`

	// priceTables are the settings file's [[price]] tables, as TOML.
	priceTables []byte
	// secretsTable is the settings file's [secrets] table, as TOML.
	secretsTable []byte
	// consoleTable is the settings file's [console] table, as TOML.
	consoleTable []byte
	// consoleGroups are the groups of [console.oidc.roles] in the order in which they
	// are written, which counts.
	consoleGroups []string
	// oidcTable is the settings file's [oidc] table, as TOML; nil when there is none.
	oidcTable []byte
	// oidcGroups are the groups of [oidc.teams] in the order in which they are
	// written, which counts.
	oidcGroups []string
}

// defaultData is where local state lives unless the settings say otherwise.
const defaultData = "data"

// developersFile is the database of developers, teams and tokens.
func (s *Settings) developersFile() string { return filepath.Join(s.Data, "developers.db") }

// ledgerFile is the ledger's database, which can be rebuilt from the archive.
func (s *Settings) ledgerFile() string { return filepath.Join(s.Data, "ledger.db") }

// archiveDirectory holds the closed records.
func (s *Settings) archiveDirectory() string {
	if s.Archive != "" {
		return s.Archive
	}
	return filepath.Join(s.Data, "archive")
}

// spoolDirectory holds the records that are still open or on their way to the
// archive.
func (s *Settings) spoolDirectory() string { return filepath.Join(s.Data, "spool") }

// tables are the settings file's sections that are no flags; each is read by the
// command that needs it.
var tables = map[string]bool{"console": true, "oidc": true, "price": true, "secrets": true}

// useSettingsFile lets the settings file answer for flags that were not given.
// A key that no flag has is an error: a misspelt setting must not pass silently.
func useSettingsFile(parser *kong.Kong, settings *Settings, args []string) error {
	if isDevelopers(parser, args) {
		return nil
	}
	path, named := settingsPath(args)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the settings file: %w", err)
	}
	values := map[string]any{}
	if err := toml.Unmarshal(raw, &values); err != nil {
		return fmt.Errorf("read the settings file %s: %w", path, err)
	}
	known := map[string]bool{}
	_ = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known[flag.Name] = true
		}
		return next(nil)
	})
	for key := range values {
		if !known[key] && !tables[key] {
			return fmt.Errorf("the settings file %s has the unknown key %q: settings are named like the flags ('codex-proxy serve --help')", path, key)
		}
	}
	if prices, ok := values["price"]; ok {
		if settings.priceTables, err = toml.Marshal(map[string]any{"price": prices}); err != nil {
			return fmt.Errorf("read the settings file %s: its [[price]] tables: %w", path, err)
		}
	}
	if secrets, ok := values["secrets"]; ok {
		if settings.secretsTable, err = toml.Marshal(secrets); err != nil {
			return fmt.Errorf("read the settings file %s: its [secrets] table: %w", path, err)
		}
	}
	if table, ok := values["console"].(map[string]any); ok { // "on" or "off" is the flag's
		if settings.consoleTable, err = toml.Marshal(table); err != nil {
			return fmt.Errorf("read the settings file %s: its [console] table: %w", path, err)
		}
		settings.consoleGroups = keysOf(raw, "console", "oidc", "roles")
	}
	if oidc, ok := values["oidc"]; ok {
		if settings.oidcTable, err = toml.Marshal(oidc); err != nil {
			return fmt.Errorf("read the settings file %s: its [oidc] table: %w", path, err)
		}
		settings.oidcGroups = keysOf(raw, "oidc", "teams")
	}
	resolver := kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		if _, ok := values[flag.Name].(map[string]any); ok && tables[flag.Name] {
			return nil, nil // the table [console] is not the flag --console
		}
		return values[flag.Name], nil
	})
	return kong.Resolvers(resolver).Apply(parser)
}

// isDevelopers tells whether args are a command that Codex or a developer runs in
// whatever directory they work in. A settings file that lies there is not theirs.
func isDevelopers(parser *kong.Kong, args []string) bool {
	trace, err := kong.Trace(parser, args)
	if err != nil {
		return false
	}
	switch trace.Command() {
	case "login", "logout", "setup", "token get":
		return true
	}
	return false
}

// settingsPath finds the settings file before the flags are parsed, as it
// takes part in parsing them.
func settingsPath(args []string) (path string, named bool) {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--config="); ok {
			return value, true
		}
		if arg == "--config" && i+1 < len(args) {
			return args[i+1], true
		}
	}
	if value := os.Getenv("CODEX_PROXY_CONFIG"); value != "" {
		return value, true
	}
	// Beside the program of a function of Lambda, else in the current directory.
	return filepath.Join(os.Getenv(lambdaTask), "codex-proxy.toml"), false
}
