package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

type secretsShowCommand struct {
	jsonFlag

	Fingerprint string `arg:"" help:"The secret's fingerprint, or 8 digits or more of its beginning."`
	All         bool   `help:"List every exchange that carried it, also where a session sent it again." env:"-"`
}

// shortestFingerprint is the least of a fingerprint, in digits, that may stand
// for it.
const shortestFingerprint = 8

// sightingRow is an exchange that carried the secret, as secrets show prints it
// in JSON.
type sightingRow struct {
	ID        string               `json:"id"` // as record show takes it
	Started   time.Time            `json:"started"`
	Developer string               `json:"developer"`
	Team      string               `json:"team"`
	Session   string               `json:"session"`
	Rule      string               `json:"rule"`
	Mode      exchange.FindingMode `json:"mode"` // what became of it: report, redact or block
	Path      string               `json:"path"` // of its first place in the request
	Places    int                  `json:"places"`
	New       bool                 `json:"new"`
	Outcome   exchange.Outcome     `json:"outcome"`
}

func newSightingRow(s ledger.Sighting) sightingRow {
	return sightingRow{
		ID: s.Exchange, Started: s.Started, Developer: s.Developer, Team: s.Team, Session: s.Session,
		Rule: s.Rule, Mode: s.Mode, Path: s.Path, Places: s.Places, New: s.New, Outcome: s.Outcome,
	}
}

func (cmd *secretsShowCommand) Run(c *console) error {
	store, err := c.settings.openLedger(c.ctx, look)
	if err != nil {
		return err
	}
	defer store.Close()
	incident, err := findIncident(c.ctx, store, cmd.Fingerprint)
	if err != nil {
		return err
	}
	all := []ledger.Sighting{}
	for s, err := range store.Sightings(c.ctx, incident.Fingerprint) {
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	marks, err := marksByFingerprint(c)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return printSafeJSON(c.stdout, struct {
			incidentRow
			Sightings []sightingRow `json:"sightings"`
		}{newIncidentRow(incident, marks), rows(all, newSightingRow)})
	}
	if err := printFields(c.stdout, [][2]string{
		{"fingerprint", incident.Fingerprint},
		{"found by", strings.Join(incident.Rules, ", ")},
		{"sent by", strings.Join(senders(all), ", ")},
		{"seen", seenLine(incident)},
		{"left?", leftLine(incident)},
		{"marked", markLine(marks[incident.Fingerprint])},
	}); err != nil {
		return err
	}
	shown := all
	if !cmd.All {
		shown = slices.DeleteFunc(slices.Clone(all), resent())
	}
	if _, err := fmt.Fprintln(c.stdout); err != nil {
		return err
	}
	if err := printColumns(c.stdout, sightingColumns(), shown); err != nil {
		return err
	}
	if more := len(all) - len(shown); more > 0 {
		if _, err := fmt.Fprintf(c.stdout, "… and %s in which these sessions sent it again (--all lists them)\n", plural(more, "exchange")); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(c.stdout, "\n'codex-proxy record show ID' shows an exchange.")
	return err
}

// markLine says what a secret was marked as.
func markLine(m ledger.Mark) string {
	if m.As == "" {
		return "no"
	}
	line := string(m.As) + " by " + m.By + " on " + m.At.Format(time.DateOnly)
	if m.Note != "" {
		line += ": " + m.Note
	}
	return line
}

// findIncident returns the one secret whose fingerprint is, or begins with, what
// a person gave.
func findIncident(ctx context.Context, store ledger.Store, given string) (ledger.Incident, error) {
	prefix := strings.ToLower(strings.TrimSpace(given))
	if strings.Trim(prefix, "0123456789abcdef") != "" {
		return ledger.Incident{}, misuse("%q is no fingerprint: it has digits and the letters a to f ('codex-proxy secrets list' prints those there are)", given)
	}
	if len(prefix) < shortestFingerprint {
		return ledger.Incident{}, misuse("%q is too short for a fingerprint: give its first %d digits at least", given, shortestFingerprint)
	}
	found, err := store.Incidents(ctx, ledger.IncidentQuery{Fingerprint: prefix})
	if err != nil {
		return ledger.Incident{}, err
	}
	switch len(found) {
	case 0:
		return ledger.Incident{}, fmt.Errorf("no request carried a secret whose fingerprint begins with %s: 'codex-proxy secrets list FROM TO' lists those of a time", prefix)
	case 1:
		return found[0], nil
	}
	candidates := found[0].Fingerprint + ", " + found[1].Fingerprint
	if len(found) > 2 {
		candidates += fmt.Sprintf(" and %d more", len(found)-2)
	}
	return ledger.Incident{}, fmt.Errorf("%s could be several secrets (%s): give more of the fingerprint", prefix, candidates)
}

// senders are the developers who sent a secret, with their teams, in the order
// in which they first did.
func senders(all []ledger.Sighting) (names []string) {
	for _, s := range all {
		name := s.Developer
		if s.Team != "" {
			name += " (team " + s.Team + ")"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func seenLine(i ledger.Incident) string {
	times := moment(i.First)
	if i.Exchanges > 1 {
		times += " to " + moment(i.Last)
	}
	carried := list(plural(int(i.Exchanges), "exchange"), when(i.Sessions > 0, plural(int(i.Sessions), "session")))
	return fmt.Sprintf("%s: %s; %s brought it anew", times, carried, grouped(i.New))
}

// leftLine answers whether a secret got out.
func leftLine(i ledger.Incident) string {
	kept := list(
		when(i.Redacted > 0, "redacted in "+grouped(i.Redacted)),
		when(i.Blocked > 0, "blocked in "+grouped(i.Blocked)),
	)
	if i.Left == 0 {
		return "no: " + kept
	}
	if kept != "" {
		kept = " (" + kept + ")"
	}
	return fmt.Sprintf("yes, as it was, in %s%s: if it is real, replace it where it was issued", plural(int(i.Left), "exchange"), kept)
}

// resent tells of sightings in their order which of them add nothing but that a
// session sent the secret again, and that the same became of it.
func resent() func(ledger.Sighting) bool {
	type known struct {
		developer, session string
		mode               exchange.FindingMode
	}
	seen := map[known]bool{}
	return func(s ledger.Sighting) bool {
		k := known{s.Developer, s.Session, s.Mode}
		again := seen[k] && !s.New && s.Session != ""
		seen[k] = true
		return again
	}
}

func sightingColumns() []column[ledger.Sighting] {
	return []column[ledger.Sighting]{
		{
			title:  "STARTED (UTC)",
			cell:   func(s ledger.Sighting) string { return s.Started.Format(time.DateTime) },
			narrow: func(s ledger.Sighting) string { return s.Started.Format("01-02 15:04") },
		},
		{title: "DEVELOPER", least: 8, cell: func(s ledger.Sighting) string { return s.Developer }},
		{
			title:  "SESSION",
			cell:   func(s ledger.Sighting) string { return s.Session },
			narrow: func(s ledger.Sighting) string { return s.Session[max(0, len(s.Session)-8):] },
		},
		{
			title:  "ID",
			cell:   func(s ledger.Sighting) string { return s.Exchange },
			narrow: func(s ledger.Sighting) string { return s.Exchange[max(0, len(s.Exchange)-12):] },
		},
		{title: "RULE", least: 8, cell: func(s ledger.Sighting) string { return s.Rule }},
		{title: "PLACE", least: 12, cell: func(s ledger.Sighting) string {
			return s.Path + when(s.Places > 1, fmt.Sprintf(" and %d more", s.Places-1))
		}},
		{title: "SENT", spare: true, cell: func(s ledger.Sighting) string { return sent(s.New) }},
		{title: "BECAME", least: 8, cell: func(s ledger.Sighting) string { return becameWord(s.Mode) }},
		{title: "EXCHANGE", least: 9, spare: true, cell: func(s ledger.Sighting) string { return string(s.Outcome) }},
	}
}
