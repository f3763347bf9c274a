package main

import (
	"fmt"
	"slices"
	"strconv"

	"codex-proxy/internal/roster"
)

// mostSteps is the number of developers to add whom a plan shows before it is
// done; whoever else it touches is always shown.
const mostSteps = 20

// printDryRun shows the whole plan, but for those whom it leaves as they are.
func (cmd *rosterFlags) printDryRun(c *console, plan roster.Plan) error {
	if cmd.JSON {
		return printSafeJSON(c.stdout, cmd.result(plan, nil))
	}
	var steps []roster.Step
	for _, step := range plan.Steps {
		if step.Action != roster.Unchanged {
			steps = append(steps, step)
		}
	}
	if err := printStepTable(c, steps); err != nil {
		return err
	}
	if plan.CutsOffMany() {
		fmt.Fprintln(c.stderr, "codex-proxy: this disables more than a third of the developers: without --dry-run it needs --allow-many")
	}
	_, err := fmt.Fprintf(c.stdout, "%s. Nothing was changed.\n", planSummary(plan, false))
	return err
}

// printSteps shows what a plan does by some of the actions.
func printSteps(c *console, plan roster.Plan, actions ...roster.Action) error {
	var steps []roster.Step
	added := 0
	for _, step := range plan.Steps {
		if step.Action == roster.Add {
			added++
		}
		if slices.Contains(actions, step.Action) && (step.Action != roster.Add || added <= mostSteps) {
			steps = append(steps, step)
		}
	}
	if err := printStepTable(c, steps); err != nil {
		return err
	}
	if more := added - mostSteps; more > 0 && slices.Contains(actions, roster.Add) {
		_, err := fmt.Fprintf(c.stdout, "and %s more to add: --dry-run shows all\n", thousands(int64(more)))
		return err
	}
	return nil
}

func printStepTable(c *console, steps []roster.Step) error {
	if len(steps) == 0 {
		return nil
	}
	return printColumns(c.stdout, []column[roster.Step]{
		{title: "LINE", right: true, cell: func(s roster.Step) string {
			if s.Line == 0 {
				return ""
			}
			return strconv.Itoa(s.Line)
		}},
		{title: "ACTION", cell: func(s roster.Step) string { return string(s.Action) }},
		{title: "DEVELOPER", least: 20, cell: func(s roster.Step) string { return s.After.ID }},
		{title: "NAME", least: 12, cell: func(s roster.Step) string { return changed(s, s.Before.Name, s.After.Name) }},
		{title: "TEAM", least: 12, cell: func(s roster.Step) string { return changed(s, s.Before.Team, s.After.Team) }},
	}, steps)
}

// changed is a cell of something that a step may change.
func changed(s roster.Step, before, after string) string {
	if s.Action == roster.Add || before == after {
		return after
	}
	if before == "" {
		before = "-"
	}
	return before + " → " + after
}

// planSummary counts what is done about developers, or what would be.
func planSummary(plan roster.Plan, done bool) string {
	words := map[roster.Action][2]string{ // to do, done
		roster.Add:       {"to add", "added"},
		roster.Update:    {"to update", "updated"},
		roster.Enable:    {"to enable", "enabled"},
		roster.Disable:   {"to disable", "disabled"},
		roster.Differs:   {"with another name or team, which --update would give", "left with another name or team (--update gives them the file's)"},
		roster.Unchanged: {"unchanged", "there already"},
	}
	tense := 0
	if done {
		tense = 1
	}
	var parts []string
	for _, action := range roster.Actions {
		if n := plan.Count(action); n > 0 {
			parts = append(parts, thousands(int64(n))+" "+words[action][tense])
		}
	}
	return "Developers: " + list(parts...)
}

// printDone says what was done, and shows tokens that are in no file.
func (cmd *rosterFlags) printDone(c *console, plan roster.Plan, tokens []handout) error {
	if cmd.JSON {
		return printSafeJSON(c.stdout, cmd.result(plan, tokens))
	}
	if _, err := fmt.Fprintf(c.stdout, "%s.\n", planSummary(plan, true)); err != nil {
		return err
	}
	if len(tokens) == 0 {
		if cmd.Out != "" {
			fmt.Fprintf(c.stderr, "codex-proxy: nobody is new, so there are no tokens and no %s\n", cmd.Out)
		}
		return nil
	}
	if cmd.Out != "" {
		_, err := fmt.Fprintf(c.stdout, "The tokens of the new ones are in %s, and nowhere else: hand them out, then delete the file.\n", cmd.Out)
		return err
	}
	if _, err := fmt.Fprintf(c.stdout, "\nTheir tokens are shown this once:\n"); err != nil {
		return err
	}
	return printTable(c.stdout, []string{"DEVELOPER", "TOKEN"}, rows(tokens, func(t handout) []string {
		return []string{t.Developer, t.Token}
	}))
}

// rosterResult is what a roster has done, or would do, in JSON.
type rosterResult struct {
	DryRun    bool `json:"dry_run"`
	Added     int  `json:"added"`
	Updated   int  `json:"updated"`
	Enabled   int  `json:"enabled"`
	Disabled  int  `json:"disabled"`
	Differs   int  `json:"differs"`
	Unchanged int  `json:"unchanged"`
	// NeedsAllowMany: more than a third would be disabled, or were.
	NeedsAllowMany bool      `json:"needs_allow_many,omitempty"`
	Developers     []stepRow `json:"developers"`
	Tokens         []handout `json:"tokens,omitempty"`
	TokenFile      string    `json:"token_file,omitempty"`
}

// stepRow is a developer as they become, or where the action is differs, as the
// file has them.
type stepRow struct {
	Action  roster.Action `json:"action"`
	Line    int           `json:"line,omitempty"`
	ID      string        `json:"id"`
	Name    string        `json:"name"`
	Team    string        `json:"team"`
	Enabled bool          `json:"enabled"`
	// WasName and WasTeam are there where they differ.
	WasName *string `json:"was_name,omitempty"`
	WasTeam *string `json:"was_team,omitempty"`
}

func (cmd *rosterFlags) result(plan roster.Plan, tokens []handout) rosterResult {
	result := rosterResult{
		DryRun: cmd.DryRun, Added: plan.Count(roster.Add), Updated: plan.Count(roster.Update), Enabled: plan.Count(roster.Enable),
		Disabled: plan.Count(roster.Disable), Differs: plan.Count(roster.Differs), Unchanged: plan.Count(roster.Unchanged),
		NeedsAllowMany: plan.CutsOffMany(), Developers: rows(plan.Steps, newStepRow),
	}
	if cmd.Out == "" {
		result.Tokens = tokens
	} else if len(tokens) > 0 {
		result.TokenFile = cmd.Out
	}
	return result
}

func newStepRow(s roster.Step) stepRow {
	row := stepRow{Action: s.Action, Line: s.Line, ID: s.After.ID, Name: s.After.Name, Team: s.After.Team, Enabled: s.After.Enabled}
	if s.Action != roster.Add {
		if s.Before.Name != s.After.Name {
			row.WasName = &s.Before.Name
		}
		if s.Before.Team != s.After.Team {
			row.WasTeam = &s.Before.Team
		}
	}
	return row
}
