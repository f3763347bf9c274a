package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/roster"
	"codex-proxy/internal/terminal"
)

// mostPrinted is the number of new tokens that are printed; more go to a file.
const mostPrinted = 20

type developerImportCommand struct {
	rosterFlags
	Update bool `help:"Also give those who are there already the names and teams of the file." env:"-"`
}

// rosterFlags are the flags of commands that take a roster.
type rosterFlags struct {
	File     string `arg:"" help:"CSV file with the columns email (or login), name and team; - for standard input."`
	DryRun   bool   `help:"Show what would be done, and do nothing." env:"-"`
	Out      string `help:"File that takes the new tokens, readable by you alone: .json or .csv. It must not exist, nor be inside a git work tree unless git ignores it." placeholder:"FILE" env:"-"`
	NoTokens bool   `help:"Make no tokens: 'codex-proxy token issue' or 'token import' gives them later." env:"-"`
	tokenLifetime
	codexAddress
	jsonFlag
}

const rosterHelp = `The file is CSV in UTF-8. Under a line of titles, its columns may be in any order, be separated by commas, semicolons or tabs, and have others between them, which are passed over; without one they are email, name, team. Somebody without a team is in the team "default", and an empty cell changes nothing of those who are there.

When any line is wrong, all such lines are named and nothing is done.`

// Help is the long form of the command's help.
func (*developerImportCommand) Help() string {
	return rosterHelp + " Run again, it adds only those who are new."
}

func (cmd *developerImportCommand) Run(c *console) error {
	return cmd.run(c, func(list roster.Roster, existing []developer.Developer) roster.Plan {
		return roster.PlanImport(list, existing, cmd.Update, now())
	}, func(plan roster.Plan) error {
		if cmd.JSON {
			return nil
		}
		return printSteps(c, plan, roster.Differs, roster.Update)
	})
}

// run reads the roster, plans, lets agree look at the plan (unless it is to be
// shown only) and does what is planned.
func (cmd *rosterFlags) run(c *console, plan func(roster.Roster, []developer.Developer) roster.Plan, agree func(roster.Plan) error) error {
	baseURL, err := cmd.baseURL()
	if err != nil {
		return err
	}
	if cmd.Out != "" && cmd.NoTokens {
		return misuse("--out takes the tokens that --no-tokens does not make: give one of them")
	}
	list, err := readList(c, cmd.File, roster.Read)
	if err != nil {
		return err
	}
	if len(list.Ignored) > 0 {
		fmt.Fprintf(c.stderr, "codex-proxy: passed over the columns %s\n", terminal.Safe(strings.Join(list.Ignored, ", ")))
	}
	return withRegister(c, changeUnless(cmd.DryRun), func(store register) error {
		existing, err := store.Developers(c.ctx)
		if err != nil {
			return err
		}
		planned := plan(list, existing)
		if err := cmd.checkOut(c, planned); err != nil {
			return err
		}
		if n := planned.KeptOut(); n > 0 {
			fmt.Fprintf(c.stderr, "codex-proxy: still disabled: %s of the file; 'codex-proxy developer enable' lets them in\n", plural(n, "developer"))
		}
		if cmd.DryRun {
			return cmd.printDryRun(c, planned)
		}
		if err := agree(planned); err != nil {
			return err
		}
		tokens, err := cmd.apply(c, store, planned, baseURL)
		if err != nil {
			return err
		}
		return cmd.printDone(c, planned, tokens)
	})
}

// checkOut makes sure that new tokens have a place to go to.
func (cmd *rosterFlags) checkOut(c *console, plan roster.Plan) error {
	if cmd.Out != "" {
		return tokenFile(cmd.Out).check(c.ctx)
	}
	if added := plan.Count(roster.Add); added > mostPrinted && !cmd.NoTokens && !cmd.DryRun {
		return misuse("%s would get a token each, which is more than is printed (%d): name a file for them with --out tokens.csv, or give --no-tokens. Nothing was changed", plural(added, "developer"), mostPrinted)
	}
	return nil
}

// apply does what is planned. The tokens are in their file before anything else
// is done, so that none is lost.
func (cmd *rosterFlags) apply(c *console, store register, plan roster.Plan, baseURL string) ([]handout, error) {
	known, err := store.Teams(c.ctx)
	if err != nil {
		return nil, err
	}
	batch := plan.Batch()
	shown := startProgress(c, "")
	defer shown.clear()
	var tokens []handout
	if !cmd.NoTokens {
		if batch.Tokens, tokens, err = cmd.issue(batch.Add, baseURL, shown); err != nil {
			return nil, err
		}
	}
	out := tokenFile(cmd.Out)
	toFile := cmd.Out != "" && len(tokens) > 0
	if toFile {
		if err := out.write(tokens); err != nil {
			return nil, fmt.Errorf("%w. Nothing was changed", err)
		}
	}
	shown.say(func() string { return "writing " + plural(len(batch.Add)+len(batch.Change), "developer") })
	if err := store.ApplyBatch(c.ctx, batch); err != nil {
		halfDone := errors.Is(err, developer.ErrHalfDone)
		err = explainBatch(err)
		switch {
		case toFile && halfDone: // the file may be all there is of tokens that are kept
			err = fmt.Errorf("%w; keep %s: the tokens in it of developers who were added are valid", err, cmd.Out)
		case toFile:
			err = errors.Join(err, out.withdraw(c.ctx, store, tokens))
		}
		return nil, err
	}
	shown.clear()
	noteNewTeams(c, known, batch)
	return tokens, nil
}

// issue makes a token for each new developer.
func (cmd *rosterFlags) issue(added []developer.Developer, baseURL string, shown *progress) ([]developer.Credential, []handout, error) {
	at := now()
	credentials, tokens := make([]developer.Credential, 0, len(added)), make([]handout, 0, len(added))
	for i, d := range added {
		token, credential, err := developer.Issue(rand.Reader, d.ID, cmd.Label, at, cmd.Expires.after(at))
		if err != nil {
			return nil, nil, misuse("%v", err)
		}
		credentials = append(credentials, credential)
		tokens = append(tokens, handout{newIssuedRow(token, credential.TokenInfo, baseURL), d.Name, d.Team})
		shown.say(func() string { return fmt.Sprintf("made %s of %s", plural(i+1, "token"), thousands(int64(len(added)))) })
	}
	return credentials, tokens, nil
}

// explainBatch says what to do when a plan does not fit any more.
func explainBatch(err error) error {
	if errors.Is(err, developer.ErrHalfDone) {
		return fmt.Errorf("%w; each developer is changed wholly or not at all: run this again, and it does the rest", err)
	}
	for _, meanwhile := range []error{developer.ErrExists, developer.ErrNotFound, developer.ErrChanged} {
		if errors.Is(err, meanwhile) {
			return fmt.Errorf("somebody else changed the developers at the same time (%w): nothing was changed; run this again", err)
		}
	}
	return fmt.Errorf("nothing was changed: %w", err)
}

// noteNewTeams is noteNewTeam for many developers, in one sentence.
func noteNewTeams(c *console, known []developer.Team, batch developer.Batch) {
	isNew := map[string]bool{}
	for _, d := range batch.Add {
		isNew[d.Team] = true
	}
	for _, change := range batch.Change {
		isNew[change.After.Team] = true
	}
	for _, team := range known {
		delete(isNew, team.Name)
	}
	names := slices.Sorted(maps.Keys(isNew))
	switch {
	case len(names) == 1:
		noteNewTeam(c, known, names[0])
	case len(names) > 1:
		const most = 10
		more := ""
		if len(names) > most {
			more = fmt.Sprintf(" and %d more", len(names)-most)
		}
		fmt.Fprintf(c.stderr, "codex-proxy: %s are new and set no limits yet: %s%s; 'codex-proxy team set' does\n",
			plural(len(names), "team"), terminal.Safe(strings.Join(names[:min(len(names), most)], ", ")), more)
	}
}
