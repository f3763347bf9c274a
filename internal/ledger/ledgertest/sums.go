package ledgertest

import (
	"testing"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// group is what a store's sums are sums of.
type group struct {
	key     string
	team    string
	quarter time.Time
	model   string
}

func everything(by ledger.By) ledger.Query {
	return ledger.Query{From: Start, To: End, By: by, Zone: time.UTC}
}

// total is what everything in the store adds up to.
func total(t *testing.T, store ledger.Store) ledger.Counts {
	t.Helper()
	report, err := ledger.NewReport(t.Context(), store, everything(ledger.ByDeveloper))
	succeeds(t, err)
	return report.Total.Counts
}

// agrees checks that the store holds rows and nothing else: whatever it is asked
// for is the sum over them.
func agrees(t *testing.T, store ledger.Store, rows []exchange.Exchange) {
	t.Helper()
	agreesOn(t, store, everything(""), rows)
	agreesOnSecrets(t, store, rows)
	for _, developer := range []string{"", "alice@example.com", "nobody@example.com"} {
		agreesOnDelays(t, store, developer, rows)
	}
}

// agreesOnDelays checks the times that the proxy added to a developer's exchanges
// of some days, or to everyone's.
func agreesOnDelays(t *testing.T, store ledger.Store, developer string, rows []exchange.Exchange) {
	t.Helper()
	from, to := Start.Add(15*time.Minute), End.AddDate(0, 0, -1)
	want := ledger.Delays{}
	for _, row := range rows {
		if !row.Started.Before(from) && row.Started.Before(to) && (developer == "" || developer == row.Developer) {
			want.Count(row)
		}
	}
	got, err := store.Delays(t.Context(), developer, from, to)
	succeeds(t, err)
	equal(t, "the delays of "+developer, got, want)
}

// agreesOn checks the sums that a query chooses, grouped in every way.
func agreesOn(t *testing.T, store ledger.Store, q ledger.Query, rows []exchange.Exchange) {
	t.Helper()
	for _, by := range []ledger.By{ledger.ByDeveloper, ledger.ByTeam, ledger.ByModel, ledger.ByDay, ledger.BySession, ledger.ByMember} {
		q.By = by
		got := map[group]ledger.Counts{}
		for sum, err := range store.Sums(t.Context(), q) {
			succeeds(t, err)
			at := group{sum.Key, sum.Team, sum.Quarter, sum.Model}
			got[at] = got[at].Add(sum.Counts)
		}
		want := map[group]ledger.Counts{}
		for _, row := range rows {
			if chosen(q, row) {
				at := groupOf(by, row)
				want[at] = want[at].Add(ledger.Count(row))
			}
		}
		if len(got) != len(want) {
			t.Errorf("by %s: %d groups, want %d", by, len(got), len(want))
		}
		for at, counts := range want {
			equal(t, "the sum of "+at.key+at.quarter.String()+" by "+string(by), got[at], counts)
		}
	}
}

func chosen(q ledger.Query, e exchange.Exchange) bool {
	return !e.Started.Before(q.From) && e.Started.Before(q.To) &&
		(q.Developer == "" || q.Developer == e.Developer) &&
		(q.Team == "" || q.Team == e.Team) &&
		(q.Model == "" || q.Model == e.Model)
}

func groupOf(by ledger.By, e exchange.Exchange) group {
	at := group{model: e.Model}
	switch by {
	case ledger.ByDeveloper:
		at.key = e.Developer
	case ledger.ByTeam:
		at.key = e.Team
	case ledger.ByModel:
		at.key = e.Model
	case ledger.ByMember:
		at.key, at.team = e.Developer, e.Team
	case ledger.BySession:
		at.key = e.Session
	case ledger.ByDay:
		at.quarter = e.Started.Truncate(15 * time.Minute)
	}
	return at
}
