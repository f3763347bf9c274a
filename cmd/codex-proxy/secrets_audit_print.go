package main

import (
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
)

// survey is what stands in the records that were looked into.
type survey struct {
	secrets map[string]*leftSecret // by fingerprint
	// holders are the directories, one a developer, of the records that hold any.
	holders        map[string]bool
	records        int
	holding        int
	unread, opaque int
}

func newSurvey() *survey {
	return &survey{secrets: map[string]*leftSecret{}, holders: map[string]bool{}}
}

// leftSecret is one secret that stands in records.
type leftSecret struct {
	fingerprint              string
	rules, developers, sides map[string]bool
	first, last              time.Time
	exchanges                int
	left                     bool
}

// take adds what was found in one record.
func (s *survey) take(key string, e exchange.Exchange, found *cleaned) {
	s.records++
	s.opaque += found.opaque
	if len(found.places) == 0 {
		return
	}
	s.holding++
	s.holders[path.Base(path.Dir(key))] = true
	counted := map[*leftSecret]bool{}
	for _, p := range found.places {
		l := s.secrets[p.Fingerprint]
		if l == nil {
			l = &leftSecret{fingerprint: p.Fingerprint, rules: map[string]bool{}, developers: map[string]bool{}, sides: map[string]bool{}, first: e.Started, last: e.Started}
			s.secrets[p.Fingerprint] = l
		}
		l.rules[p.Rule], l.developers[e.Developer], l.sides[string(p.side)] = true, true, true
		if e.Started.Before(l.first) {
			l.first = e.Started
		}
		if e.Started.After(l.last) {
			l.last = e.Started
		}
		l.left = l.left || e.Outcome != exchange.Refused
		if !counted[l] {
			counted[l] = true
			l.exchanges++
		}
	}
}

// leftRow is a secret as secrets audit prints it in JSON.
type leftRow struct {
	Fingerprint string    `json:"fingerprint"`
	Rules       []string  `json:"rules"`
	FirstSeen   time.Time `json:"first_seen"`
	LastSeen    time.Time `json:"last_seen"`
	Developers  []string  `json:"developers"`
	Exchanges   int       `json:"exchanges"` // whose records hold it, or held it until the purge
	Where       []string  `json:"where"`     // request, response
	Left        bool      `json:"left"`      // false where every request was refused
	Purged      bool      `json:"purged"`
}

// sorted returns the secrets, the one that was seen last first.
func (s *survey) sorted() []*leftSecret {
	return slices.SortedFunc(maps.Values(s.secrets), func(a, b *leftSecret) int {
		if c := b.last.Compare(a.last); c != 0 {
			return c
		}
		return strings.Compare(a.fingerprint, b.fingerprint)
	})
}

func (l *leftSecret) row(purged bool) leftRow {
	names := func(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
	return leftRow{
		Fingerprint: l.fingerprint, Rules: names(l.rules), FirstSeen: l.first, LastSeen: l.last, Developers: names(l.developers),
		Exchanges: l.exchanges, Where: names(l.sides), Left: l.left, Purged: purged,
	}
}

// printLeft prints the secrets for people.
func printLeft(w io.Writer, period string, s *survey) error {
	looked := "looked into " + plural(s.records, "record")
	if s.opaque > 0 {
		looked = list(looked, "bodies in a content coding that cannot be undone: "+grouped(int64(s.opaque)))
	}
	if len(s.secrets) == 0 {
		_, err := fmt.Fprintf(w, "%s: no secret stands on record (%s).\n", period, looked)
		return err
	}
	if _, err := fmt.Fprintf(w, "%s: %s on record in plain text, in %s (%s)\n\n", period, plural(len(s.secrets), "secret"), plural(s.holding, "exchange"), looked); err != nil {
		return err
	}
	if err := printColumns(w, leftColumns(), rows(s.sorted(), func(l *leftSecret) leftRow { return l.row(false) })); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\nReplace what is real where it was issued; --purge puts placeholders in its place on record.\n")
	return err
}

func leftColumns() []column[leftRow] {
	return []column[leftRow]{
		{
			title:  "SECRET (FINGERPRINT)",
			cell:   func(r leftRow) string { return shortFingerprint(r.Fingerprint) },
			narrow: func(r leftRow) string { return r.Fingerprint[:min(shortestFingerprint, len(r.Fingerprint))] },
		},
		{title: "RULE", least: 8, cell: func(r leftRow) string { return strings.Join(r.Rules, ", ") }},
		{
			title:  "FIRST (UTC)",
			cell:   func(r leftRow) string { return r.FirstSeen.Format("2006-01-02 15:04") },
			narrow: func(r leftRow) string { return r.FirstSeen.Format(time.DateOnly) },
		},
		{
			title:  "LAST (UTC)",
			cell:   func(r leftRow) string { return r.LastSeen.Format("2006-01-02 15:04") },
			narrow: func(r leftRow) string { return r.LastSeen.Format(time.DateOnly) },
		},
		{title: "DEVELOPERS", least: 8, cell: func(r leftRow) string { return severalNames(r.Developers) }},
		{title: "EXCHANGES", right: true, cell: func(r leftRow) string { return grouped(int64(r.Exchanges)) }},
		{title: "WHERE", least: 8, cell: func(r leftRow) string { return strings.Join(r.Where, ", ") }},
		{title: "LEFT", cell: func(r leftRow) string {
			if r.Left {
				return "yes"
			}
			return "no"
		}},
	}
}

// printPurged says what a purge did, and what it does not reach.
func printPurged(c *console, s *survey) error {
	_, err := fmt.Fprintf(c.stdout, "Purged %s from %s. 'codex-proxy secrets list' shows them with what left.\n", plural(len(s.secrets), "secret"), plural(s.holding, "record"))
	if err != nil {
		return err
	}
	if logs, _ := filepath.Glob(filepath.Join(c.settings.spoolDirectory(), "*.log")); len(logs) > 0 {
		_, err = fmt.Fprintln(c.stdout, "The spool of a running server may hold parts of them until its files are full: restarting the server empties it.")
	}
	return err
}
