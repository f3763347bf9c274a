package main

import (
	"context"
	"fmt"
	"text/tabwriter"
)

type secretsRulesCommand struct {
	Team string `help:"As they are for this team." placeholder:"TEAM" env:"-"`
	jsonFlag
}

// ruleRow is one row of the listing.
type ruleRow struct {
	Rule  string `json:"rule"`
	Class string `json:"class"`
	Mode  string `json:"mode"`
}

// secretRuleRows are the rules as they are for a team.
func secretRuleRows(ctx context.Context, s *Settings, team string) ([]ruleRow, error) {
	key, err := secretsKey(ctx, s)
	if err != nil {
		return nil, err
	}
	rules, err := s.secretRules(key)
	if err != nil {
		return nil, err
	}
	today := rules.For("", team, "")
	return rows(today.Scanner().Rules(), func(rule string) ruleRow {
		class := today.Scanner().Class(rule)
		return ruleRow{rule, class.String(), today.Policy()(rule, class).String()}
	}), nil
}

func (cmd *secretsRulesCommand) Run(c *console) error {
	all, err := secretRuleRows(c.ctx, c.settings, cmd.Team)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printSafeJSON(c.stdout, all)
	}
	table := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RULE\tCLASS\tMODE")
	for _, r := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\n", r.Rule, r.Class, r.Mode)
	}
	return table.Flush()
}
