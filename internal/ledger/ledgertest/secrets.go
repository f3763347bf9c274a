package ledgertest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// carrying is an exchange of alice's that brings secrets.
func carrying(at time.Time, findings ...exchange.Finding) exchange.Exchange {
	return exchange.Exchange{
		ID: exchange.NewID(at), Started: at, Developer: "alice@example.com", Team: "platform", Session: "s1", Model: "gpt-5.1",
		Outcome: exchange.Completed, Findings: findings,
	}
}

func oneIncident(t *testing.T, store ledger.Store) {
	var rows []exchange.Exchange
	for turn := range 200 {
		rows = append(rows, carrying(Start.Add(time.Duration(turn)*time.Minute),
			exchange.Finding{Rule: "github-token", Fingerprint: "aa11", Mode: exchange.Redacted, Path: "input[3].output", New: turn == 0},
			exchange.Finding{Rule: "github-token", Fingerprint: "aa11", Mode: exchange.Redacted, Path: "input[5].output"}))
	}
	for range 3 {
		add(t, store, rows...)
	}
	want := []ledger.Incident{{
		Fingerprint: "aa11", Rules: []string{"github-token"}, Developers: []string{"alice@example.com"}, First: Start, Last: Start.Add(199 * time.Minute),
		Sessions: 1, Exchanges: 200, New: 1, Redacted: 200,
	}}
	got, err := store.Incidents(t.Context(), ledger.IncidentQuery{})
	succeeds(t, err)
	equal(t, "incidents", got, want)
	equal(t, "secrets that came anew", total(t, store).Secrets, ledger.Secrets{Redacted: 1})
	var ids []string
	for s, err := range store.Sightings(t.Context(), "aa11") {
		succeeds(t, err)
		ids = append(ids, s.Exchange)
	}
	var wanted []string
	for _, row := range rows {
		wanted = append(wanted, row.ID)
	}
	equal(t, "the exchanges that carried it", ids, wanted)
}

func severalSenders(t *testing.T, store ledger.Store) {
	found := func(rule string, mode exchange.FindingMode, fresh bool) exchange.Finding {
		return exchange.Finding{Rule: rule, Fingerprint: "aa11", Mode: mode, Path: "instructions", New: fresh}
	}
	left := carrying(Start, found("password", exchange.Reported, true))
	redacted := carrying(Start.Add(time.Hour), found("url-credentials", exchange.Redacted, true))
	redacted.Developer, redacted.Session = "bob@example.com", "s2"
	resent := carrying(Start.Add(2*time.Hour), found("url-credentials", exchange.Redacted, false))
	resent.Developer, resent.Session = "bob@example.com", "s2"
	refused := carrying(Start.Add(3*time.Hour), found("password", exchange.Blocked, true))
	refused.Session, refused.Outcome = "", exchange.Refused
	other := carrying(Start.Add(4*time.Hour), exchange.Finding{Rule: "password", Fingerprint: "aa12", Mode: exchange.Reported, Path: "instructions", New: true})
	add(t, store, other, refused, resent, redacted, left)
	want := []ledger.Incident{
		{
			Fingerprint: "aa12", Rules: []string{"password"}, Developers: []string{"alice@example.com"},
			First: other.Started, Last: other.Started, Sessions: 1, Exchanges: 1, New: 1, Left: 1,
		},
		{
			Fingerprint: "aa11", Rules: []string{"password", "url-credentials"}, Developers: []string{"alice@example.com", "bob@example.com"},
			First: left.Started, Last: refused.Started, Sessions: 2, Exchanges: 4, New: 3, Left: 1, Redacted: 2, Blocked: 1,
		},
	}
	got, err := store.Incidents(t.Context(), ledger.IncidentQuery{})
	succeeds(t, err)
	equal(t, "incidents", got, want)
	equal(t, "secrets that came anew", total(t, store).Secrets, ledger.Secrets{Reported: 2, Redacted: 1, Blocked: 1})
}

func incidentsFiltered(t *testing.T, store ledger.Store) {
	rows := Rows(70, 300)
	add(t, store, rows...)
	day := Start.AddDate(0, 0, 3)
	for _, q := range []ledger.IncidentQuery{
		{From: day},
		{To: day},
		{From: day, To: day.AddDate(0, 0, 1)},
		{From: rows[0].Started, To: rows[0].Started.Add(time.Microsecond)},
		{From: End, To: Start},
		{Developer: "alice@example.com"},
		{Team: "platform"},
		{Rule: "github-token"},
		{Mode: exchange.Reported},
		{Mode: exchange.Redacted, Developer: "bob@example.com", From: day},
		{Fingerprint: "a"},
		{Fingerprint: "a1"},
		{Fingerprint: "a1b2c3d4"},
		{Fingerprint: "a1b2c3d4e5f60718293a4b5c6d7e8f90"},
		{Fingerprint: "a1b2c3d4e5f60718293a4b5c6d7e8f900"},
		{Fingerprint: "%"},
		{Rule: "github-token' OR 1=1 --"},
	} {
		agreesOnIncidents(t, store, q, rows)
	}
}

// agreesOnSecrets checks that the store holds the secrets of rows and no others.
func agreesOnSecrets(t *testing.T, store ledger.Store, rows []exchange.Exchange) {
	t.Helper()
	agreesOnIncidents(t, store, ledger.IncidentQuery{}, rows)
	want := map[string][]ledger.Sighting{"": nil, "unknown": nil}
	for _, s := range sightings(rows) {
		want[s.Fingerprint] = append(want[s.Fingerprint], s)
	}
	for fingerprint, want := range want {
		var got []ledger.Sighting
		for s, err := range store.Sightings(t.Context(), fingerprint) {
			succeeds(t, err)
			got = append(got, s)
		}
		equal(t, "sightings of "+fingerprint, got, want)
	}
}

// sightings are the secrets of rows in the order of time.
func sightings(rows []exchange.Exchange) (all []ledger.Sighting) {
	for _, e := range rows {
		for _, s := range e.Secrets() {
			all = append(all, ledger.Sighting{
				Secret: s, Exchange: e.ID, Started: e.Started,
				Developer: e.Developer, Team: e.Team, Session: e.Session, Outcome: e.Outcome,
			})
		}
	}
	slices.SortFunc(all, func(a, b ledger.Sighting) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Exchange, b.Exchange))
	})
	return all
}

// agreesOnIncidents checks that a query is answered with what the sightings of
// rows add up to.
func agreesOnIncidents(t *testing.T, store ledger.Store, q ledger.IncidentQuery, rows []exchange.Exchange) {
	t.Helper()
	byFingerprint := map[string]*ledger.Incident{}
	sessions := map[[2]string]bool{}
	for _, s := range sightings(rows) {
		if !sighted(q, s) {
			continue
		}
		i := byFingerprint[s.Fingerprint]
		if i == nil {
			i = &ledger.Incident{Fingerprint: s.Fingerprint, First: s.Started}
			byFingerprint[s.Fingerprint] = i
		}
		i.Rules, i.Developers, i.Last = append(i.Rules, s.Rule), append(i.Developers, s.Developer), s.Started
		if session := [2]string{s.Fingerprint, s.Session}; s.Session != "" && !sessions[session] {
			sessions[session] = true
			i.Sessions++
		}
		i.Exchanges++
		if s.New {
			i.New++
		}
		switch s.Mode {
		case exchange.Reported:
			i.Left++
		case exchange.Redacted:
			i.Redacted++
		case exchange.Blocked:
			i.Blocked++
		}
	}
	var want []ledger.Incident
	for _, i := range byFingerprint {
		slices.Sort(i.Rules)
		slices.Sort(i.Developers)
		i.Rules, i.Developers = slices.Compact(i.Rules), slices.Compact(i.Developers)
		want = append(want, *i)
	}
	slices.SortFunc(want, func(a, b ledger.Incident) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	got, err := store.Incidents(t.Context(), q)
	succeeds(t, err)
	equal(t, fmt.Sprintf("incidents of %+v", q), got, want)
}

func sighted(q ledger.IncidentQuery, s ledger.Sighting) bool {
	return !s.Started.Before(q.From) && (q.To.IsZero() || s.Started.Before(q.To)) &&
		strings.HasPrefix(s.Fingerprint, q.Fingerprint) &&
		(q.Developer == "" || q.Developer == s.Developer) &&
		(q.Team == "" || q.Team == s.Team) &&
		(q.Rule == "" || q.Rule == s.Rule) &&
		(q.Mode == "" || q.Mode == s.Mode)
}

func amended(t *testing.T, store ledger.Store) {
	rows, others := Rows(80, 100), Rows(81, 100)
	add(t, store, rows...)
	succeeds(t, store.Amend(t.Context(), others[0])) // is not there
	agrees(t, store, rows)
	for i := range rows {
		rows[i].Findings = others[i].Findings
		rows[i].Client, rows[i].Path, rows[i].Error = "a client", "/a/path", "an error"
		told := rows[i] // the caller may know less than the ledger, or what was true before a repricing
		told.Cost, told.Usage, told.Model, told.Developer = exchange.Cost{}, exchange.Usage{}, "", "mallory@example.com"
		for range 2 {
			succeeds(t, store.Amend(t.Context(), told))
		}
	}
	agrees(t, store, rows)
	_, err := store.Reprice(t.Context(), Start, End, func(e exchange.Exchange) exchange.Cost {
		equal(t, "texts", [3]string{e.Client, e.Path, e.Error}, [3]string{"a client", "/a/path", "an error"})
		return e.Cost
	}, true)
	succeeds(t, err)
}
