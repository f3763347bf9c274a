package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/signin"
)

// TestTheTeamsOfASignInKeepTheirOrder reads one map in the ways that TOML has of
// writing it.
func TestTheTeamsOfASignInKeepTheirOrder(t *testing.T) {
	const others = "issuer = \"https://login.example.com\"\nclient_id = \"c\"\nallowed_domains = [\"example.com\"]\n"
	want := []signin.TeamOf{{Group: "zebra keepers", Team: "z"}, {Group: "apes.and-co", Team: "a"}, {Group: "moles", Team: "m"}}
	for name, file := range map[string]string{
		"a table":      "[oidc]\n" + others + "[oidc.teams]\n\"zebra keepers\" = \"z\" # first\n\n\"apes.and-co\" = \"a\"\nmoles = \"m\"\n",
		"inline":       "[oidc]\n" + others + "teams = { \"zebra keepers\" = \"z\", \"apes.and-co\" = \"a\", moles = \"m\" }\n",
		"dotted keys":  "[oidc]\nteams.\"zebra keepers\" = \"z\"\nteams.\"apes.and-co\" = \"a\"\nteams.moles = \"m\"\n" + others,
		"all inline":   "oidc = { issuer = \"https://login.example.com\", client_id = \"c\", allowed_domains = [\"example.com\"], teams = { \"zebra keepers\" = \"z\", \"apes.and-co\" = \"a\", moles = \"m\" } }\n",
		"other tables": "listen = \"127.0.0.1:0\"\n[oidc]\n" + others + "[oidc.teams]\n\"zebra keepers\" = \"z\"\n\"apes.and-co\" = \"a\"\nmoles = \"m\"\n[[price]]\nmodel = \"m\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "codex-proxy.toml")
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			var cli commands
			parser, err := kong.New(&cli, kong.Vars{"data": defaultData})
			if err != nil {
				t.Fatal(err)
			}
			if err := useSettingsFile(parser, &cli.Settings, []string{"serve", "--config", path}); err != nil {
				t.Fatal(err)
			}
			config, err := cli.signInConfig()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, config.Teams); diff != "" {
				t.Error(diff)
			}
			if config.TokenLife != time.Hour || config.GroupsClaim != "groups" || config.DefaultTeam != "default" || len(config.Scopes) != 4 {
				t.Errorf("the defaults are %+v", config)
			}
		})
	}
}

func TestAProxyWithoutASignInSaysSo(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-test")
	s := startServer(t, t.TempDir(), "serve", "--upstream", "http://127.0.0.1:1/v1")
	for _, path := range []string{"/oidc.json", "/oidc/token"} {
		if status, body := s.get(path); status != http.StatusNotFound || !strings.Contains(body, "this proxy has no sign-in") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestWhatTheTableOfTheConsoleSaysIsChecked(t *testing.T) {
	const issuer = "[oidc]\nissuer = \"https://login.example.com\"\nclient_id = \"c\"\nallowed_domains = [\"example.com\"]\n"
	for file, want := range map[string]string{
		"[console]\npseudonyms = true\nsecond_person = true\nreading_life = \"30m\"\n": "",
		"console = \"off\"\n": "",
		issuer + "[console.oidc.roles]\n\"zebra keepers\" = \"auditor\"\napes = \"admin\"\n": "",
		"[console.oidc]\n": "no [oidc] table",
		issuer + "[console.oidc.roles]\napes = \"developer\"\n":                         "developers need none",
		issuer + "[console.oidc]\nclient_secret_file = \"" + "/nowhere/secret" + "\"\n": "read the client secret",
		"[console]\npseudonym = true\n":                                                 "unknown key",
		"[console]\nreading_life = \"48h\"\n":                                           "from 1m to 24h",
	} {
		path := filepath.Join(t.TempDir(), "codex-proxy.toml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		var cli commands
		parser, err := kong.New(&cli, kong.Vars{"data": defaultData})
		if err != nil {
			t.Fatal(err)
		}
		if err := useSettingsFile(parser, &cli.Settings, []string{"serve", "--config", path}); err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse([]string{"serve", "--config", path}); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		config, err := cli.consoleConfig()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
		if len(config.Roles) == 2 && config.Roles[0].Group != "zebra keepers" {
			t.Errorf("the groups are %v, and not in the order of the file", config.Roles)
		}
	}
}
