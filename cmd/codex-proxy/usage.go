package main

import (
	"fmt"
	"time"
	_ "time/tzdata" // --timezone works where the system has no time zones

	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

type usageCommand struct {
	Report  usageReportCommand  `cmd:"" default:"withargs" help:"Report tokens and cost (the default)."`
	Rebuild usageRebuildCommand `cmd:"" help:"Recompute the ledger from the archive."`
}

type usageReportCommand struct {
	From      string `arg:"" optional:"" help:"First day, such as 2026-02-01; the first of this month if left out."`
	To        string `arg:"" optional:"" help:"Last day, inclusive; the first day if left out."`
	By        string `help:"What to group by." enum:"developer,team,model,day,session" default:"developer" env:"-"`
	Timezone  string `help:"Time zone of the days, such as Europe/Berlin." default:"UTC"`
	Developer string `help:"Only this developer's." env:"-"`
	Team      string `help:"Only this team's." env:"-"`
	Model     string `help:"Only this model's." env:"-"`
	CSV       string `name:"csv" help:"Write the report to this file as CSV." placeholder:"FILE" env:"-"`
	jsonFlag
}

func (cmd *usageReportCommand) Run(c *console) error {
	zone, err := time.LoadLocation(cmd.Timezone)
	if err != nil {
		return misuse("--timezone %q is no time zone: give a name such as UTC or Europe/Berlin", cmd.Timezone)
	}
	from, to, err := dayRange(cmd.From, cmd.To, zone, now())
	if err != nil {
		return err
	}
	store, err := c.settings.openLedger(c.ctx, look)
	if err != nil {
		return err
	}
	defer store.Close()
	query := ledger.Query{
		From: from, To: to, By: ledger.By(cmd.By), Zone: zone,
		Developer: cmd.Developer, Team: cmd.Team, Model: cmd.Model,
	}
	report, err := ledger.NewReport(c.ctx, store, query)
	if err != nil {
		return err
	}
	if cmd.CSV != "" {
		if err := writeUsageCSV(cmd.CSV, query.By, report); err != nil {
			return err
		}
	}
	switch {
	case cmd.JSON:
		var delays ledger.Delays // which the ledger keeps by developer alone
		if query.Team == "" && query.Model == "" {
			if delays, err = store.Delays(c.ctx, query.Developer, query.From, query.To); err != nil {
				return err
			}
		}
		return printUsageJSON(c.stdout, query, report, delays)
	case cmd.CSV != "":
		_, err := fmt.Fprintf(c.stdout, "Wrote %d rows to %s.\n", len(report.Rows), terminal.Safe(cmd.CSV))
		return err
	default:
		return printUsage(c.stdout, query, report)
	}
}
