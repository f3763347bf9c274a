package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

type secretsListCommand struct {
	jsonFlag

	From      string `arg:"" optional:"" help:"First day (UTC), such as 2026-02-01; 30 days ago if left out."`
	To        string `arg:"" optional:"" help:"Last day (UTC), inclusive; the first day if left out."`
	Developer string `help:"Only what this developer sent." env:"-"`
	Team      string `help:"Only what this team sent." env:"-"`
	Rule      string `help:"Only what this rule found, such as github-token." env:"-"`
	Mode      string `help:"Only where it left as it was (report), a placeholder left instead (redact), or the request was refused (block)." enum:",report,redact,block" default:"" env:"-"`
	Mark      string `help:"Only what is marked so: rotated, false-positive, or open for what has no mark." enum:",rotated,false-positive,open" default:"" env:"-"`
}

// Help is the long form of the command's help.
func (*secretsListCommand) Help() string {
	return "One row for each secret, however often it was sent, the one that was seen last first. All that a row says is of the exchanges that the days and flags choose; 'codex-proxy secrets show' tells the whole story of one secret."
}

// incidentRow is a secret as secrets list prints it in JSON. Reported, Redacted
// and Blocked add up to Exchanges.
type incidentRow struct {
	Fingerprint string    `json:"fingerprint"`
	Rules       []string  `json:"rules"`
	FirstSeen   time.Time `json:"first_seen"`
	LastSeen    time.Time `json:"last_seen"`
	Developers  []string  `json:"developers"`
	Sessions    int64     `json:"sessions"`
	Exchanges   int64     `json:"exchanges"` // that carried it
	New         int64     `json:"new"`       // that brought it anew
	Reported    int64     `json:"reported"`  // with which it left as it was
	Redacted    int64     `json:"redacted"`  // with which a placeholder left instead
	Blocked     int64     `json:"blocked"`   // that were refused
	// Mark is what it was marked as; null if it was not.
	Mark *markJSON `json:"mark"`
}

func newIncidentRow(i ledger.Incident, marks map[string]ledger.Mark) incidentRow {
	mark, marked := marks[i.Fingerprint]
	return incidentRow{
		Mark:        newMarkJSON(mark, marked),
		Fingerprint: i.Fingerprint, Rules: i.Rules, FirstSeen: i.First, LastSeen: i.Last, Developers: i.Developers, Sessions: i.Sessions,
		Exchanges: i.Exchanges, New: i.New, Reported: i.Left, Redacted: i.Redacted, Blocked: i.Blocked,
	}
}

func (cmd *secretsListCommand) Run(c *console) error {
	first, last := cmd.From, cmd.To
	if first == "" {
		const lookBack = 30 // days
		first, last = now().AddDate(0, 0, -lookBack).Format(time.DateOnly), now().Format(time.DateOnly)
	}
	from, to, err := dayRange(first, last, time.UTC, now())
	if err != nil {
		return err
	}
	store, err := c.settings.openLedger(c.ctx, look)
	if err != nil {
		return err
	}
	defer store.Close()
	incidents, err := store.Incidents(c.ctx, ledger.IncidentQuery{
		From: from, To: to, Developer: folded(cmd.Developer), Team: cmd.Team, Rule: cmd.Rule, Mode: exchange.FindingMode(cmd.Mode),
	})
	if err != nil {
		return err
	}
	marks, err := marksByFingerprint(c)
	if err != nil {
		return err
	}
	if cmd.Mark != "" {
		incidents = slices.DeleteFunc(incidents, func(i ledger.Incident) bool {
			return cmp.Or(marks[i.Fingerprint].As, ledger.Open) != ledger.MarkedAs(cmd.Mark)
		})
	}
	if cmd.JSON {
		return printSafeJSON(c.stdout, rows(incidents, func(i ledger.Incident) incidentRow { return newIncidentRow(i, marks) }))
	}
	period := from.Format(time.DateOnly) + " to " + lastDay(to, time.UTC) + " (UTC)"
	if len(incidents) == 0 {
		_, err := fmt.Fprintf(c.stdout, "%s: no such secret was seen.\n", period)
		return err
	}
	if _, err := fmt.Fprintf(c.stdout, "%s: %s in requests\n\n", period, plural(len(incidents), "secret")); err != nil {
		return err
	}
	if err := printColumns(c.stdout, incidentColumns(marks), incidents); err != nil {
		return err
	}
	left := 0
	for _, i := range incidents {
		if i.Left > 0 && marks[i.Fingerprint].As == "" {
			left++
		}
	}
	advice := "\n'codex-proxy secrets show FINGERPRINT' says who sent one, when, and where it is on record.\n"
	if left > 0 {
		advice = fmt.Sprintf("\n%s of them left as found, with the exchanges under LEFT, and have no mark: replace what is real where it was issued, and mark it (secrets mark).", grouped(int64(left))) + advice
	}
	_, err = io.WriteString(c.stdout, advice)
	return err
}

// incidentColumns are the columns of the list, the counts being exchanges.
func incidentColumns(marks map[string]ledger.Mark) []column[ledger.Incident] {
	count := func(title string, spare bool, n func(ledger.Incident) int64) column[ledger.Incident] {
		return column[ledger.Incident]{title: title, right: true, spare: spare, cell: func(i ledger.Incident) string { return grouped(n(i)) }}
	}
	return []column[ledger.Incident]{
		{
			title:  "SECRET (FINGERPRINT)",
			cell:   func(i ledger.Incident) string { return shortFingerprint(i.Fingerprint) },
			narrow: func(i ledger.Incident) string { return i.Fingerprint[:min(shortestFingerprint, len(i.Fingerprint))] },
		},
		{title: "RULE", least: 8, cell: func(i ledger.Incident) string { return strings.Join(i.Rules, ", ") }},
		{
			title:  "FIRST (UTC)",
			cell:   func(i ledger.Incident) string { return i.First.Format("2006-01-02 15:04") },
			narrow: func(i ledger.Incident) string { return i.First.Format("01-02") },
			spare:  true,
		},
		{
			title:  "LAST (UTC)",
			cell:   func(i ledger.Incident) string { return i.Last.Format("2006-01-02 15:04") },
			narrow: func(i ledger.Incident) string { return i.Last.Format("01-02") },
		},
		{title: "DEVELOPERS", least: 8, cell: func(i ledger.Incident) string { return severalNames(i.Developers) }},
		count("SESSIONS", true, func(i ledger.Incident) int64 { return i.Sessions }),
		count("SENT", false, func(i ledger.Incident) int64 { return i.Exchanges }),
		count("NEW", true, func(i ledger.Incident) int64 { return i.New }),
		count("LEFT", false, func(i ledger.Incident) int64 { return i.Left }),
		count("REDACTED", false, func(i ledger.Incident) int64 { return i.Redacted }),
		count("BLOCKED", false, func(i ledger.Incident) int64 { return i.Blocked }),
		{title: "MARK", cell: func(i ledger.Incident) string { return string(marks[i.Fingerprint].As) }},
	}
}

// severalNames joins the first names, and counts the rest.
func severalNames(all []string) string {
	const shown = 2
	if len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], ", "), len(all)-shown)
}

// becameWord says in a word what became of a secret.
func becameWord(mode exchange.FindingMode) string {
	switch mode {
	case exchange.Reported:
		return "left as it was"
	case exchange.Redacted:
		return "redacted"
	case exchange.Blocked:
		return "blocked"
	}
	return string(mode)
}

// sent says whether a secret came anew, or with a history that was sent before.
func sent(fresh bool) string {
	if fresh {
		return "new"
	}
	return "resent"
}

// shortFingerprint is as much of a fingerprint as tells it from any other.
func shortFingerprint(fingerprint string) string { return fingerprint[:min(16, len(fingerprint))] }
