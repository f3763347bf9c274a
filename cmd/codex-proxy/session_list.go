package main

import (
	"fmt"
	"strings"
	"time"

	"codex-proxy/internal/console/replay"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

type sessionListCommand struct {
	recordDays
	jsonFlag

	Developer string `help:"Only this developer's." env:"-"`
	Team      string `help:"Only of those who were in this team." env:"-"`
	Model     string `help:"Only those that this model answered last." env:"-"`
	Outcome   string `help:"Only those whose last exchange ended so: completed, failed, upstream_error, client_cancelled, interrupted or refused." env:"-"`
	Limit     int    `help:"How many to list at most; 0 lists all." env:"-" default:"50"`
}

// Help is the long form of the command's help.
func (*sessionListCommand) Help() string {
	return "The days and flags choose sessions by their last exchange; the sums are of all their exchanges. A session is listed once its first exchange has ended."
}

func (cmd *sessionListCommand) Run(c *console) error {
	if cmd.Limit < 0 {
		return misuse("--limit %d is negative: 0 lists all", cmd.Limit)
	}
	if err := checkOutcome(cmd.Outcome); err != nil {
		return err
	}
	days, err := cmd.filter(now())
	if err != nil {
		return err
	}
	store, err := c.settings.openLedger(c.ctx, look)
	if err != nil {
		return err
	}
	defer store.Close() // only read
	found, more := []ledger.Session{}, false
	for s, err := range sessions(c.ctx, store, ledger.SessionQuery{
		From: days.First, To: days.Last.AddDate(0, 0, 1), Developer: folded(cmd.Developer), Team: cmd.Team, Model: cmd.Model, Outcome: exchange.Outcome(cmd.Outcome),
	}) {
		if err != nil {
			return err
		}
		if more = cmd.Limit > 0 && len(found) == cmd.Limit; more {
			break
		}
		found = append(found, s)
	}
	if cmd.JSON {
		return printSafeJSON(c.stdout, rows(found, replay.NewSessionJSON))
	}
	return cmd.print(c, days, found, more)
}

func (cmd *sessionListCommand) print(c *console, days record.Filter, found []ledger.Session, more bool) error {
	if len(found) == 0 {
		_, err := fmt.Fprintf(c.stdout, "No such session was used last %s.\n", recordPeriod(days))
		return err
	}
	if err := printColumns(c.stdout, sessionColumns(), found); err != nil {
		return err
	}
	if more {
		_, err := fmt.Fprintf(c.stdout, "… the newest %d %s; --limit 0 lists all.\n", len(found), recordPeriod(days))
		return err
	}
	return nil
}

// sessionColumns are the list's columns.
func sessionColumns() []column[ledger.Session] {
	return []column[ledger.Session]{
		{
			title:  "used last (UTC)",
			cell:   func(s ledger.Session) string { return s.Last.Started.UTC().Format(time.DateTime) },
			narrow: func(s ledger.Session) string { return s.Last.Started.UTC().Format("01-02 15:04") },
		},
		{
			title:  "begun (UTC)",
			cell:   func(s ledger.Session) string { return s.Begun.UTC().Format(time.DateTime) },
			narrow: func(s ledger.Session) string { return s.Begun.UTC().Format("01-02 15:04") },
			spare:  true,
		},
		{title: "developer", least: 8, cell: func(s ledger.Session) string { return s.Developer }},
		{
			title:  "session",
			cell:   func(s ledger.Session) string { return s.ID },
			narrow: func(s ledger.Session) string { return s.ID[max(0, len(s.ID)-8):] },
		},
		{title: "models", least: 6, cell: func(s ledger.Session) string { return strings.Join(s.Models, ", ") }},
		{title: "turns", right: true, cell: func(s ledger.Session) string { return grouped(s.Records) }},
		{title: "tokens", right: true, cell: func(s ledger.Session) string { return tokensCell(s.Counts, s.Usage.Total) }},
		{title: "cached", right: true, spare: true, cell: func(s ledger.Session) string { return cachedShare(s.Usage.Cached, s.Usage.Input) }},
		{title: "cost", right: true, cell: func(s ledger.Session) string { return dollars(s.Counts) }},
		{title: "outcome", least: 7, cell: func(s ledger.Session) string { return string(s.Last.Outcome) }},
	}
}
