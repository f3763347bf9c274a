package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/terminal"
)

type developerCommand struct {
	Add     developerAddCommand     `cmd:"" help:"Add a developer and print their first token, once."`
	List    developerListCommand    `cmd:"" help:"List all developers."`
	Show    developerShowCommand    `cmd:"" help:"Show a developer, their tokens and what their team allows."`
	Set     developerSetCommand     `cmd:"" help:"Change a developer's name or team."`
	Disable developerDisableCommand `cmd:"" help:"Refuse a developer's requests from now on, and end those that run."`
	Enable  developerEnableCommand  `cmd:"" help:"Let a disabled developer back in, with the tokens they have."`
	Remove  developerRemoveCommand  `cmd:"" help:"Delete a developer and their tokens. Records and usage stay."`

	Import developerImportCommand `cmd:"" help:"Add the developers of a CSV file who are not there yet, with a token each."`
	Sync   developerSyncCommand   `cmd:"" help:"Make the developers those of a CSV file: add, update, disable who is missing."`

	Invite      developerInviteCommand      `cmd:"" help:"Print a link that shows a developer a token of their own, once."`
	Invitations developerInvitationsCommand `cmd:"" help:"List the invitations that are open, never their links."`
	Uninvite    developerUninviteCommand    `cmd:"" help:"Cancel an invitation."`
}

type developerAddCommand struct {
	ID      string `arg:"" help:"E-mail address or login."`
	Name    string `help:"Name, for people to read." env:"-"`
	Team    string `help:"Team whose policy applies. A team that does not exist yet is made, without limits." default:"default" env:"-"`
	NoToken bool   `help:"Make no token: 'codex-proxy token issue' or 'token import' gives one later." env:"-"`
	codexAddress
	jsonFlag
}

// Help is the long form of the command's help.
func (*developerAddCommand) Help() string {
	return `Instead of the two lines that are printed, Codex can have a provider of its own in ~/.codex/config.toml, which takes the token from the environment and uses no WebSocket:

    model_provider = "codex-proxy"

    [model_providers.codex-proxy]
    name = "OpenAI" # where the proxy is in front of OpenAI, else "codex-proxy"
    base_url = "http://127.0.0.1:8080/v1"
    env_key = "CODEX_PROXY_TOKEN"
    wire_api = "responses"`
}

func (cmd *developerAddCommand) Run(c *console) error {
	baseURL, err := cmd.baseURL()
	if err != nil {
		return err
	}
	at := now()
	added, err := developer.New(cmd.ID, cmd.Name, cmd.Team, at)
	if err != nil {
		return misuse("%v", err)
	}
	var (
		token  developer.Token
		tokens []developer.Credential
	)
	if !cmd.NoToken {
		made, credential, err := developer.Issue(rand.Reader, added.ID, "", at, time.Time{})
		if err != nil {
			return err
		}
		token, tokens = made, append(tokens, credential)
	}
	return withDevelopers(c, change, func(store developer.Store) error {
		known, err := store.Teams(c.ctx)
		if err != nil {
			return err
		}
		err = store.AddDeveloper(c.ctx, added, tokens...)
		if errors.Is(err, developer.ErrExists) {
			return fmt.Errorf("the developer %[1]s exists already: 'codex-proxy token issue %[1]s' makes another token, 'codex-proxy developer set %[1]s' changes name or team", added.ID)
		}
		if err != nil {
			return err
		}
		noteNewTeam(c, known, added.Team)
		if cmd.JSON {
			row := struct {
				developerRow
				*issuedRow
			}{developerRow: newDeveloperRow(added)}
			if !cmd.NoToken {
				row.issuedRow = newIssuedRow(token, tokens[0].TokenInfo, baseURL)
			}
			return printSafeJSON(c.stdout, row)
		}
		if _, err := fmt.Fprintf(c.stdout, "Added %s to the team %s.\n", added.ID, terminal.Safe(added.Team)); err != nil || cmd.NoToken {
			return err
		}
		return printIssued(c.stdout, token, tokens[0].TokenInfo, baseURL)
	})
}

type developerListCommand struct{ jsonFlag }

func (cmd *developerListCommand) Run(c *console) error {
	return withDevelopers(c, look, func(store developer.Store) error {
		all, err := store.Developers(c.ctx)
		if err != nil {
			return err
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, rows(all, newDeveloperRow))
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(c.stdout, "There are no developers yet: 'codex-proxy developer add alice@example.com' adds one.")
			return err
		}
		return printTable(c.stdout, []string{"ID", "NAME", "TEAM", "ACCESS", "CREATED (UTC)"}, rows(all, func(d developer.Developer) []string {
			return []string{d.ID, d.Name, d.Team, access(d), day(d.Created)}
		}))
	})
}

type developerShowCommand struct {
	ID string `arg:"" help:"The developer's id."`
	jsonFlag
}

func (cmd *developerShowCommand) Run(c *console) error {
	return withDevelopers(c, look, func(store developer.Store) error {
		d, err := store.Developer(c.ctx, folded(cmd.ID))
		if err != nil {
			return explainMissing(err, cmd.ID)
		}
		tokens, err := store.Tokens(c.ctx, d.ID)
		if err != nil {
			return err
		}
		team, err := store.Team(c.ctx, d.Team)
		if err != nil {
			return err
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, struct {
				developerRow
				Tokens []tokenRow `json:"tokens"`
				Policy policyRow  `json:"policy"`
			}{newDeveloperRow(d), rows(tokens, tokenRows(now())), newPolicyRow(team.Policy)})
		}
		if err := printFields(c.stdout, [][2]string{
			{"id", d.ID},
			{"name", d.Name},
			{"team", d.Team},
			{"access", access(d)},
			{"created", moment(d.Created)},
			{"updated", moment(d.Updated)},
		}); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.stdout, "\nPolicy of the team\n"); err != nil {
			return err
		}
		if err := printFields(c.stdout, policyFields(team.Policy)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(c.stdout, "\nTokens\n"); err != nil {
			return err
		}
		return printTokens(c.stdout, tokens)
	})
}

type developerSetCommand struct {
	ID   string  `arg:"" help:"The developer's id."`
	Name *string `help:"Name, for people to read." env:"-"`
	Team *string `help:"Team whose policy applies. A team that does not exist yet is made, without limits." env:"-"`
}

func (cmd *developerSetCommand) Run(c *console) error {
	if cmd.Name == nil && cmd.Team == nil {
		return misuse("nothing to change: give --name, --team or both")
	}
	return withDevelopers(c, change, func(store developer.Store) error {
		known, err := store.Teams(c.ctx)
		if err != nil {
			return err
		}
		d, err := store.UpdateDeveloper(c.ctx, folded(cmd.ID), func(d *developer.Developer) error {
			if cmd.Name != nil {
				d.Name = *cmd.Name
			}
			if cmd.Team != nil {
				d.Team = *cmd.Team
			}
			d.Updated = now()
			if err := d.Validate(); err != nil {
				return misuse("%v", err)
			}
			return nil
		})
		if err != nil {
			return explainMissing(err, cmd.ID)
		}
		noteNewTeam(c, known, d.Team)
		_, err = fmt.Fprintf(c.stdout, "%s: name %q, team %q.\n", d.ID, d.Name, d.Team)
		return err
	})
}

type developerDisableCommand struct {
	ID string `arg:"" help:"The developer's id."`
}

func (cmd *developerDisableCommand) Run(c *console) error {
	return setEnabled(c, cmd.ID, false, "%s is disabled: the next request is refused, and those that run end within 5 seconds.\n")
}

type developerEnableCommand struct {
	ID string `arg:"" help:"The developer's id."`
}

func (cmd *developerEnableCommand) Run(c *console) error {
	return setEnabled(c, cmd.ID, true, "%s is enabled.\n")
}

func setEnabled(c *console, id string, enabled bool, done string) error {
	return withDevelopers(c, change, func(store developer.Store) error {
		d, err := store.UpdateDeveloper(c.ctx, folded(id), func(d *developer.Developer) error {
			if enabled {
				d.Enable(now())
			} else {
				d.Disable("", now())
			}
			return nil
		})
		if err != nil {
			return explainMissing(err, id)
		}
		_, err = fmt.Fprintf(c.stdout, done, d.ID)
		return err
	})
}

type developerRemoveCommand struct {
	ID  string `arg:"" help:"The developer's id."`
	Yes bool   `help:"Really remove." env:"-"`
}

func (cmd *developerRemoveCommand) Run(c *console) error {
	return withDevelopers(c, change, func(store developer.Store) error {
		d, err := store.Developer(c.ctx, folded(cmd.ID))
		if err != nil {
			return explainMissing(err, cmd.ID)
		}
		if !cmd.Yes {
			return misuse("removing %[1]s deletes their tokens for good (records and usage stay): add --yes to do it, or use 'codex-proxy developer disable %[1]s'", d.ID)
		}
		if err := store.RemoveDeveloper(c.ctx, d.ID); err != nil {
			return explainMissing(err, cmd.ID)
		}
		_, err = fmt.Fprintf(c.stdout, "Removed %s and their tokens.\n", d.ID)
		return err
	})
}

// noteNewTeam tells of a team that was made by naming it, as that may be a slip
// of the hand, and means that no limit applies.
func noteNewTeam(c *console, known []developer.Team, name string) {
	for _, team := range known {
		if team.Name == name {
			return
		}
	}
	fmt.Fprintf(c.stderr, "codex-proxy: the team %[1]s is new and sets no limits yet: 'codex-proxy team set %[1]q' does\n", name)
}

func access(d developer.Developer) string {
	switch {
	case d.Enabled:
		return "enabled"
	case d.DisabledBy != "":
		return "disabled by " + d.DisabledBy
	}
	return "disabled"
}

// developerRow is a developer in JSON.
type developerRow struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Team    string `json:"team"`
	Enabled bool   `json:"enabled"`
	// DisabledBy is "sync" where developer sync did it.
	DisabledBy string    `json:"disabled_by,omitempty"`
	Created    time.Time `json:"created"`
	Updated    time.Time `json:"updated"`
}

func newDeveloperRow(d developer.Developer) developerRow { return developerRow(d) }

// printIssued shows a token, the one time that it can be shown, and how Codex
// is told to use it.
func printIssued(w io.Writer, token developer.Token, info developer.TokenInfo, baseURL string) error {
	until := "until it is revoked"
	if !info.Expires.IsZero() {
		until = "until " + moment(info.Expires)
	}
	_, err := fmt.Fprintf(w, `
Token %s, valid %s. It is shown this once:

  %s

On the developer's machine, this asks for the token and sets up Codex:

  curl -fsSL %s/setup.sh | sh

By hand, Codex uses it by two lines: the first at the top of ~/.codex/config.toml,
the second in a shell where CODEX_PROXY_TOKEN holds the token.

  openai_base_url = "%s"
  printenv CODEX_PROXY_TOKEN | codex login --with-api-key
`, info.ID, until, token.Reveal(), strings.TrimSuffix(baseURL, "/v1"), baseURL)
	return err
}
