package sqlite

import (
	"cmp"
	"path/filepath"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/ledger/ledgertest"
)

// browsed is a ledger with many exchanges, and these, the newest first, without
// the findings that a list leaves out.
func browsed(t *testing.T) (*Ledger, []exchange.Exchange) {
	t.Helper()
	store := openLedger(t, filepath.Join(t.TempDir(), "ledger.db"))
	rows := ledgertest.Rows(7, 400)
	if err := store.Add(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rows, func(a, b exchange.Exchange) int { return cmp.Compare(b.ID, a.ID) })
	return store, rows
}

func TestExchangesAreListedPageByPage(t *testing.T) {
	store, rows := browsed(t)
	middle := ledgertest.Start.Add(ledgertest.End.Sub(ledgertest.Start) / 2).Truncate(time.Millisecond)
	for name, test := range map[string]struct {
		query ledger.ExchangeQuery
		want  func(exchange.Exchange) bool
	}{
		"all":       {ledger.ExchangeQuery{}, func(exchange.Exchange) bool { return true }},
		"time":      {ledger.ExchangeQuery{From: middle}, func(e exchange.Exchange) bool { return !e.Started.Before(middle) }},
		"to":        {ledger.ExchangeQuery{To: middle}, func(e exchange.Exchange) bool { return e.Started.Before(middle) }},
		"developer": {ledger.ExchangeQuery{Developer: "alice@example.com"}, func(e exchange.Exchange) bool { return e.Developer == "alice@example.com" }},
		"session and team": {ledger.ExchangeQuery{Session: "s1", Team: "platform"}, func(e exchange.Exchange) bool {
			return e.Session == "s1" && e.Team == "platform"
		}},
		"outcome and origin": {ledger.ExchangeQuery{Outcome: exchange.Failed, Origin: exchange.OriginOpenAI}, func(e exchange.Exchange) bool {
			return e.Outcome == exchange.Failed && e.ErrorOrigin == exchange.OriginOpenAI
		}},
		"secrets": {ledger.ExchangeQuery{Secrets: true}, func(e exchange.Exchange) bool { return len(e.Findings) > 0 }},
		"none":    {ledger.ExchangeQuery{Model: "' OR '1'='1"}, func(exchange.Exchange) bool { return false }},
	} {
		var want, got []string
		for _, e := range rows {
			if test.want(e) {
				want = append(want, e.ID)
			}
		}
		q := test.query
		for q.Limit = 30; ; {
			page, err := store.Exchanges(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			if len(page) < q.Limit {
				break
			}
			q.Before = page[len(page)-1].ID
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestASessionIsWhatItsExchangesAddUpTo(t *testing.T) {
	store, rows := browsed(t)
	type key struct{ id, developer string }
	want := map[key]*ledger.Session{}
	var order []key
	for _, e := range rows { // the newest first
		if e.Session == "" {
			continue
		}
		k := key{e.Session, e.Developer}
		s := want[k]
		if s == nil {
			last := e
			last.Findings = nil
			s = &ledger.Session{ID: e.Session, Developer: e.Developer, Team: e.Team, Last: last, Models: []string{}}
			want[k] = s
			order = append(order, k)
		}
		counts := ledger.Count(e)
		counts.Secrets = ledger.Secrets{}
		s.Begun, s.Counts = e.Started, s.Counts.Add(counts)
		if e.Model != "" && !slices.Contains(s.Models, e.Model) {
			s.Models = append(s.Models, e.Model)
			slices.Sort(s.Models)
		}
	}
	var got []ledger.Session
	q := ledger.SessionQuery{Limit: 4}
	for {
		page, err := store.Sessions(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, page...)
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].Last.ID
	}
	var all []ledger.Session
	for _, k := range order {
		all = append(all, *want[k])
	}
	if diff := gocmp.Diff(all, got); diff != "" {
		t.Errorf("sessions (-want +got):\n%s", diff)
	}
}

func BenchmarkBrowseMillionRows(b *testing.B) {
	store := openLedger(b, filepath.Join(b.TempDir(), "ledger.db"))
	if _, err := store.Rebuild(b.Context(), func(yield func(exchange.Exchange, error) bool) {
		for n := 0; n < 1_000_000 && yield(benchExchange(n), nil); n++ {
		}
	}); err != nil {
		b.Fatal(err)
	}
	for name, q := range map[string]ledger.SessionQuery{
		"sessions":                   {Limit: 51},
		"sessions of one developer":  {Limit: 51, Developer: "developer-007@example.com"},
		"sessions with a rare model": {Limit: 51, Model: "none"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Sessions(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, q := range map[string]ledger.ExchangeQuery{
		"exchanges":                  {Limit: 101},
		"exchanges of one developer": {Limit: 101, Developer: "developer-007@example.com"},
		"exchanges of one session":   {Limit: 501, Session: "0199a213-81c0-7800-8aa1-000000000777"},
		"exchanges that failed":      {Limit: 101, Outcome: exchange.Failed},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := store.Exchanges(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
