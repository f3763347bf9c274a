package main

import (
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

func (cmd *secretsRulesCommand) Run(c *console) error {
	key, err := secretsKey(c.ctx, c.settings)
	if err != nil {
		return err
	}
	rules, err := c.settings.secretRules(key)
	if err != nil {
		return err
	}
	today := rules.For("", cmd.Team, "")
	all := rows(today.Scanner().Rules(), func(rule string) ruleRow {
		class := today.Scanner().Class(rule)
		return ruleRow{rule, class.String(), today.Policy()(rule, class).String()}
	})
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
