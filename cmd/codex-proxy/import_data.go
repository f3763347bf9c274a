package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/sqlite"
	"codex-proxy/internal/terminal"
)

// installation is what another codex-proxy keeps of its developers.
type installation struct {
	developers []developer.Developer
	teams      []developer.Team
	tokens     []developer.Credential
}

// takenData is what is new in another installation.
type takenData struct {
	batch   developer.Batch
	teams   []developer.Team
	people  []movedRow
	leftOut []string
	// disabled are those who were disabled in the other installation.
	disabled map[string]bool
}

// movedRow is a developer of another installation, in JSON.
type movedRow struct {
	Action  string `json:"action"`
	ID      string `json:"id"`
	Name    string `json:"name"`
	Team    string `json:"team"`
	Enabled bool   `json:"enabled"`
	// TokensMoved and TokensThere count the developer's tokens that are valid.
	TokensMoved int `json:"tokens_moved"`
	TokensThere int `json:"tokens_there"`
}

func (cmd *importCommand) importData(c *console) error {
	other, err := readInstallation(c, cmd.FromData)
	if err != nil {
		return err
	}
	return withRegister(c, changeUnless(cmd.DryRun), func(store register) error {
		taken, err := planMove(c, store, other)
		if err != nil {
			return err
		}
		if !cmd.DryRun {
			for _, team := range taken.teams { // policies first: nobody is let in without
				_, err := store.UpdateTeam(c.ctx, team.Name, team.Updated, func(p *developer.Policy) error { *p = team.Policy; return nil })
				if err != nil {
					return fmt.Errorf("take over the team %s: %w", terminal.Safe(team.Name), err)
				}
			}
			if err := store.ApplyBatch(c.ctx, taken.batch); err != nil {
				return explainBatch(err)
			}
		}
		if err := cmd.printMoved(c, taken); err != nil {
			return err
		}
		return leftOut(len(taken.leftOut), "token")
	})
}

// readInstallation reads what is in a data directory.
func readInstallation(c *console, directory string) (found installation, err error) {
	file := filepath.Join(directory, filepath.Base(c.settings.developersFile()))
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return found, misuse("%s is no data directory of a codex-proxy: it has no %s", directory, filepath.Base(file))
	}
	// An older version's tables are brought up to date in a copy.
	scratch, err := os.MkdirTemp("", "codex-proxy-import-*")
	if err != nil {
		return found, fmt.Errorf("copy the database of the other installation: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	copied := filepath.Join(scratch, filepath.Base(file))
	if err := sqlite.Copy(c.ctx, file, copied); err != nil {
		return found, err
	}
	store, err := sqlite.OpenDevelopers(c.ctx, copied)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if found.developers, err = store.Developers(c.ctx); err != nil {
		return found, err
	}
	if found.teams, err = store.Teams(c.ctx); err != nil {
		return found, err
	}
	found.tokens, err = store.Credentials(c.ctx)
	return found, err
}

// planMove works out what is new in another installation. What is here already
// stays as it is.
func planMove(c *console, store developer.Store, other installation) (taken takenData, err error) {
	here, err := store.Developers(c.ctx)
	if err != nil {
		return taken, err
	}
	teams, err := store.Teams(c.ctx)
	if err != nil {
		return taken, err
	}
	ruled := map[string]time.Time{}
	for _, team := range teams {
		ruled[team.Name] = team.Updated
	}
	for _, team := range other.teams {
		if ruled[team.Name].IsZero() && !team.Updated.IsZero() {
			taken.teams = append(taken.teams, team)
		}
	}
	known := map[string]developer.Developer{}
	for _, d := range here {
		known[d.ID] = d
	}
	index := map[string]int{}
	taken.disabled = map[string]bool{}
	for _, d := range other.developers {
		taken.disabled[d.ID] = !d.Enabled
		row := movedRow{Action: "add", ID: d.ID, Name: d.Name, Team: d.Team, Enabled: d.Enabled}
		if there, is := known[d.ID]; is {
			row = movedRow{Action: "keep", ID: d.ID, Name: there.Name, Team: there.Team, Enabled: there.Enabled}
		} else {
			taken.batch.Add = append(taken.batch.Add, d)
		}
		index[d.ID] = len(taken.people)
		taken.people = append(taken.people, row)
	}
	return taken, taken.planTokens(c, store, other.tokens, index)
}

// planTokens works out which tokens are valid there and new here. index says
// where each developer's row is.
func (t *takenData) planTokens(c *console, store developer.Store, tokens []developer.Credential, index map[string]int) error {
	at := now()
	for _, token := range tokens {
		if state := token.State(at); state == "revoked" || state == "expired" {
			continue
		}
		row := &t.people[index[token.Developer]]
		there, err := store.Grant(c.ctx, token.Hash)
		switch {
		case errors.Is(err, developer.ErrNotFound) && t.disabled[token.Developer] && row.Enabled: // it must not come alive by the move
			t.leftOut = append(t.leftOut, fmt.Sprintf("the token %s of %s, who is disabled there and enabled here", token.ID, token.Developer))
		case errors.Is(err, developer.ErrNotFound):
			row.TokensMoved++
			t.batch.Tokens = append(t.batch.Tokens, token)
		case err != nil:
			return err
		case there.Developer != token.Developer:
			t.leftOut = append(t.leftOut, fmt.Sprintf("the token %s of %s, which is %s's here", token.ID, token.Developer, there.Developer))
		default:
			row.TokensThere++
		}
	}
	return nil
}

func (cmd *importCommand) printMoved(c *console, taken takenData) error {
	if cmd.JSON {
		return printSafeJSON(c.stdout, struct {
			DryRun      bool       `json:"dry_run"`
			Added       int        `json:"added"`
			TokensMoved int        `json:"tokens_moved"`
			Teams       []string   `json:"teams"`
			Developers  []movedRow `json:"developers"`
			LeftOut     []string   `json:"left_out"`
		}{
			cmd.DryRun, len(taken.batch.Add), len(taken.batch.Tokens),
			rows(taken.teams, func(t developer.Team) string { return t.Name }),
			append([]movedRow{}, taken.people...), append([]string{}, taken.leftOut...),
		})
	}
	if len(taken.people) > 0 {
		cells := rows(taken.people, func(r movedRow) []string {
			return []string{
				r.ID, r.Action, access(developer.Developer{Enabled: r.Enabled}), r.Name, r.Team,
				strconv.Itoa(r.TokensMoved), strconv.Itoa(r.TokensThere),
			}
		})
		if err := printTable(c.stdout, []string{"DEVELOPER", "ACTION", "ACCESS", "NAME", "TEAM", "NEW TOKENS", "THERE ALREADY"}, cells); err != nil {
			return err
		}
	}
	for _, what := range taken.leftOut {
		fmt.Fprintf(c.stderr, "codex-proxy: left out %s\n", terminal.Safe(what))
	}
	words, end := [2]string{"added", "moved"}, "."
	if cmd.DryRun {
		words, end = [2]string{"to add", "to move"}, ". Nothing was changed."
	}
	_, err := fmt.Fprintf(c.stdout, "%s %s, %s %s, the policies of %s%s\n", plural(len(taken.batch.Add), "developer"), words[0],
		plural(len(taken.batch.Tokens), "token"), words[1], plural(len(taken.teams), "team"), end)
	return err
}
