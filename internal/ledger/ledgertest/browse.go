package ledgertest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// BrowseStore is a ledger whose exchanges and sessions can be listed.
type BrowseStore interface {
	ledger.Store
	Exchanges(ctx context.Context, q ledger.ExchangeQuery) ([]exchange.Exchange, error)
	Sessions(ctx context.Context, q ledger.SessionQuery) ([]ledger.Session, error)
}

// RunBrowse tests the lists of the ledgers that open makes; each must begin empty.
func RunBrowse(t *testing.T, open func(t *testing.T) BrowseStore) {
	t.Run("exchanges are listed page by page", func(t *testing.T) { listedPageByPage(t, open(t)) })
	t.Run("failures and refusals are listed", func(t *testing.T) { failuresAreListed(t, open(t)) })
	t.Run("sessions are chosen by their last exchange", func(t *testing.T) { chosenByTheLast(t, open(t)) })
	t.Run("a session is what its exchanges add up to", func(t *testing.T) { sessionsAddUp(t, open(t)) })
}

// browsed adds many exchanges to a ledger and returns them, the newest first.
func browsed(t *testing.T, store BrowseStore) []exchange.Exchange {
	t.Helper()
	rows := Rows(7, 400)
	for i := range rows {
		e := &rows[i]
		e.TokenID, e.Client, e.Tier = fmt.Sprintf("token%03d", i%5), fmt.Sprintf("codex_cli_rs/0.%d.0 (Debian)", 160+i%7), []string{"default", "priority", ""}[i%3]
		e.DurationMicros = int64(i) * 10_000
	}
	if err := store.Add(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rows, func(a, b exchange.Exchange) int { return cmp.Compare(b.ID, a.ID) })
	return rows
}

func listedPageByPage(t *testing.T, store BrowseStore) {
	rows := browsed(t, store)
	middle := Start.Add(End.Sub(Start) / 2).Truncate(time.Millisecond)
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
		"token and tier": {ledger.ExchangeQuery{Token: "token002", Tier: "priority"}, func(e exchange.Exchange) bool {
			return e.TokenID == "token002" && e.Tier == "priority"
		}},
		"client": {ledger.ExchangeQuery{Client: "/0.163."}, func(e exchange.Exchange) bool { return strings.Contains(e.Client, "0.163.0") }},
		"cost and time": {ledger.ExchangeQuery{CostNanos: 1_000_000, Duration: 2 * time.Second}, func(e exchange.Exchange) bool {
			return e.Cost.State == exchange.CostPriced && e.Cost.Nanos >= 1_000_000 && e.DurationMicros >= 2_000_000
		}},
		"secrets":       {ledger.ExchangeQuery{Secrets: true}, func(e exchange.Exchange) bool { return len(e.Findings) > 0 }},
		"id":            {ledger.ExchangeQuery{ID: rows[17].ID}, func(e exchange.Exchange) bool { return e.ID == rows[17].ID }},
		"id of another": {ledger.ExchangeQuery{ID: rows[17].ID, Developer: "nobody"}, func(exchange.Exchange) bool { return false }},
		"no id":         {ledger.ExchangeQuery{ID: "x"}, func(exchange.Exchange) bool { return false }},
		"none":          {ledger.ExchangeQuery{Model: "' OR '1'='1"}, func(exchange.Exchange) bool { return false }},
	} {
		var want, got []string
		for _, e := range rows {
			if test.want(e) {
				want = append(want, e.ID)
			}
		}
		if empty := strings.HasPrefix(name, "no ") || name == "none" || name == "id of another"; empty != (len(want) == 0) {
			t.Errorf("%s chooses %d exchanges", name, len(want))
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

func sessionsAddUp(t *testing.T, store BrowseStore) {
	rows := browsed(t, store)
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

func failuresAreListed(t *testing.T, store BrowseStore) {
	rows := browsed(t, store)
	for _, outcome := range []exchange.Outcome{
		exchange.Completed, exchange.Failed, exchange.UpstreamError, exchange.ClientCancelled, exchange.Interrupted, exchange.Refused,
	} {
		var want, got []string
		for _, e := range rows {
			if e.Outcome == outcome && len(want) < 20 {
				want = append(want, e.ID)
			}
		}
		page, err := store.Exchanges(t.Context(), ledger.ExchangeQuery{Outcome: outcome, Limit: 20})
		for _, e := range page {
			got = append(got, e.ID)
		}
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", outcome, err, diff)
		}
	}
}

// chosenByTheLast gives every developer some sessions, of which each is used over
// and over again.
func chosenByTheLast(t *testing.T, store BrowseStore) {
	rows := Rows(8, 200)
	for i := range rows {
		rows[i].Session = "session-" + string(rune('a'+i%26))
	}
	if err := store.Add(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(rows, func(a, b exchange.Exchange) int { return cmp.Compare(b.ID, a.ID) })
	type key struct{ session, developer string }
	met := map[key]bool{}
	var lasts []exchange.Exchange
	for _, e := range rows {
		if this := (key{e.Session, e.Developer}); !met[this] {
			met[this] = true
			lasts = append(lasts, e)
		}
	}
	middle := lasts[len(lasts)/2].Started.Truncate(time.Millisecond)
	for name, test := range map[string]struct {
		query ledger.SessionQuery
		want  func(exchange.Exchange) bool
	}{
		"all":                {ledger.SessionQuery{}, func(exchange.Exchange) bool { return true }},
		"from":               {ledger.SessionQuery{From: middle}, func(e exchange.Exchange) bool { return !e.Started.Before(middle) }},
		"to":                 {ledger.SessionQuery{To: middle}, func(e exchange.Exchange) bool { return e.Started.Before(middle) }},
		"developer":          {ledger.SessionQuery{Developer: "bob@example.com"}, func(e exchange.Exchange) bool { return e.Developer == "bob@example.com" }},
		"team":               {ledger.SessionQuery{Team: "platform"}, func(e exchange.Exchange) bool { return e.Team == "platform" }},
		"model":              {ledger.SessionQuery{Model: "gpt-5"}, func(e exchange.Exchange) bool { return e.Model == "gpt-5" }},
		"outcome":            {ledger.SessionQuery{Outcome: exchange.Failed}, func(e exchange.Exchange) bool { return e.Outcome == exchange.Failed }},
		"developer and team": {ledger.SessionQuery{Developer: "bob@example.com", Team: "default"}, func(e exchange.Exchange) bool { return e.Developer == "bob@example.com" && e.Team == "default" }},
		"none":               {ledger.SessionQuery{Model: "none"}, func(exchange.Exchange) bool { return false }},
	} {
		var want, got []string
		for _, e := range lasts {
			if test.want(e) {
				want = append(want, e.ID)
			}
		}
		q := test.query
		for q.Limit = 7; ; {
			page, err := store.Sessions(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page {
				got = append(got, s.Last.ID)
			}
			if len(page) < q.Limit {
				break
			}
			q.Before = page[len(page)-1].Last.ID
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
