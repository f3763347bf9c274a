// Package ledgertest is what every ledger.Store must pass.
package ledgertest

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Run tests the stores that open makes; each must begin empty.
func Run(t *testing.T, open func(t *testing.T) ledger.Store) {
	for name, test := range map[string]func(*testing.T, ledger.Store){
		"an exchange delivered ten times counts once":            deliveredOften,
		"an exchange delivered by ten at once counts once":       deliveredAtOnce,
		"the first delivery of an exchange stands":               firstStands,
		"requests leave out refusals and warm-ups":               counting,
		"spending has bounds, the later one exclusive":           spending,
		"spending is one developer's or one team's":              spendingOfOne,
		"sums are the sums over the rows, however grouped":       sumsOfRows,
		"sums hold only what the filters choose":                 sumsFiltered,
		"sums hold whatever the quarter of an hour they begin":   sumsOfAnyTime,
		"a report may stop reading sums":                         sumsStopped,
		"names that resemble each other are kept apart":          namesApart,
		"a secret that every turn sends again is one incident":   oneIncident,
		"an incident tells of all who sent it, and if it left":   severalSenders,
		"incidents hold only what the filters choose":            incidentsFiltered,
		"an amended exchange has its findings and all else":      amended,
		"a dry reprice tells the difference and changes nothing": repriceDry,
		"a reprice changes rows and sums alike":                  reprice,
		"a reprice keeps to its time":                            repriceBounds,
		"a rebuild replaces everything":                          rebuild,
		"a rebuild that fails has changed nothing":               rebuildFails,
		"an exchange comes back as it was added":                 rowsAreKept,
		"a store that is asked under an ended context says so":   endedContext,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func deliveredOften(t *testing.T, store ledger.Store) {
	rows := Rows(1, 20)
	for range 10 {
		add(t, store, rows...)
	}
	agrees(t, store, rows)
	add(t, store, append(rows[5:10:10], rows[5:10]...)...)
	agrees(t, store, rows)
}

func deliveredAtOnce(t *testing.T, store ledger.Store) {
	rows := Rows(2, 20)
	var deliveries sync.WaitGroup
	for range 10 {
		deliveries.Go(func() {
			if err := store.Add(t.Context(), rows); err != nil {
				t.Error(err)
			}
		})
	}
	deliveries.Wait()
	agrees(t, store, rows)
}

func firstStands(t *testing.T, store ledger.Store) {
	rows := Rows(3, 1)
	add(t, store, rows...)
	changed := rows[0]
	changed.Developer, changed.Cost, changed.Usage.Input = "mallory@example.com", exchange.Cost{Nanos: 1e12, State: exchange.CostPriced}, 1e9
	add(t, store, changed)
	agrees(t, store, rows)
}

func counting(t *testing.T, store ledger.Store) {
	var rows []exchange.Exchange
	for i, row := range Rows(4, 6) {
		row.Developer, row.Warmup, row.Usage, row.Cost = "alice@example.com", false, exchange.Usage{State: exchange.UsageNone}, exchange.Cost{State: exchange.CostNone}
		row.Outcome = []exchange.Outcome{
			exchange.Completed, exchange.Failed, exchange.UpstreamError,
			exchange.ClientCancelled, exchange.Interrupted, exchange.Refused,
		}[i]
		row.ErrorOrigin = []exchange.Origin{"", exchange.OriginOpenAI, exchange.OriginOpenAI, exchange.OriginClient, exchange.OriginProxy, exchange.OriginProxy}[i]
		rows = append(rows, row)
	}
	warm := Rows(5, 1)[0]
	warm.Developer, warm.Outcome, warm.Warmup = "alice@example.com", exchange.Completed, true
	warm.Usage, warm.Cost = exchange.Usage{State: exchange.UsageMissing}, exchange.Cost{State: exchange.CostUnpriced}
	guess := Rows(6, 1)[0]
	guess.Developer, guess.Outcome, guess.Warmup, guess.ErrorOrigin = "alice@example.com", exchange.ClientCancelled, false, ""
	guess.Usage, guess.Cost = exchange.Usage{State: exchange.UsageEstimated}, exchange.Cost{State: exchange.CostPriced, Nanos: 7}
	guess.Usage.Input = 5
	rows = append(rows, warm, guess)
	for i := range rows {
		rows[i].Findings = nil
	}
	add(t, store, rows...)

	want := ledger.Counts{Records: 8, Requests: 6, Warmups: 1, Refused: 1, Errors: 5, ErrorsBy: ledger.Origins{OpenAI: 2, Proxy: 1, Client: 1}, CostNanos: 7, Unpriced: 1, Estimated: 1, Missing: 1}
	want.Usage.Input = 5
	equal(t, "counts", total(t, store), want)
}

func spending(t *testing.T, store ledger.Store) {
	at := func(clock string) exchange.Exchange {
		started, err := time.Parse(time.RFC3339Nano, clock)
		if err != nil {
			t.Fatal(err)
		}
		row := Rows(7, 1)[0]
		row.ID, row.Started, row.Developer = exchange.NewID(started), started, "alice@example.com"
		row.Cost = exchange.Cost{State: exchange.CostPriced}
		return row
	}
	rows := []exchange.Exchange{
		at("2026-01-31T23:59:59.999999Z"), at("2026-02-01T00:00:00Z"),
		at("2026-02-28T23:59:59.999999Z"), at("2026-03-01T00:00:00Z"),
	}
	for i := range rows {
		rows[i].Cost.Nanos = []int64{1, 10, 100, 1000}[i]
	}
	add(t, store, rows...)
	february, march := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		from, to time.Time
		want     int64
	}{
		{february, march, 110},
		{february.Add(15 * time.Minute), march, 100},
		{february, march.Add(-15 * time.Minute), 10},
		{february.AddDate(-1, 0, 0), march.AddDate(1, 0, 0), 1111},
		{february, february, 0},
		{march, february, 0},
	} {
		spent, err := store.Spent(t.Context(), "alice@example.com", "", c.from, c.to)
		succeeds(t, err)
		equal(t, "spent from "+c.from.String()+" to "+c.to.String(), spent, c.want)
	}
}

func spendingOfOne(t *testing.T, store ledger.Store) {
	rows := Rows(8, 200)
	add(t, store, rows...)
	developers, teams := map[string]int64{"nobody@example.com": 0}, map[string]int64{"nobody": 0}
	for _, row := range rows {
		developers[row.Developer] += ledger.Count(row).CostNanos
		teams[row.Team] += ledger.Count(row).CostNanos
	}
	for developer, want := range developers {
		spent, err := store.Spent(t.Context(), developer, "", Start, End)
		succeeds(t, err)
		equal(t, "spent by "+developer, spent, want)
	}
	for team, want := range teams {
		spent, err := store.Spent(t.Context(), "", team, Start, End)
		succeeds(t, err)
		equal(t, "spent by the team "+team, spent, want)
	}
}

func sumsOfRows(t *testing.T, store ledger.Store) {
	agrees(t, store, nil)
	var rows []exchange.Exchange
	for round := range 5 {
		batch := Rows(uint64(10+round), 40)
		add(t, store, batch...)
		rows = append(rows, batch...)
		agrees(t, store, rows)
	}
}

func sumsFiltered(t *testing.T, store ledger.Store) {
	rows := Rows(20, 300)
	add(t, store, rows...)
	day := Start.AddDate(0, 0, 3)
	for _, filter := range []ledger.Query{
		{From: day, To: day.AddDate(0, 0, 1)},
		{From: day.Add(15 * time.Minute), To: day.Add(30 * time.Hour)},
		{From: Start, To: End, Developer: rows[0].Developer},
		{From: Start, To: End, Team: rows[0].Team},
		{From: Start, To: End, Model: rows[0].Model},
		{From: day, To: End, Developer: rows[0].Developer, Team: rows[0].Team, Model: rows[0].Model},
		{From: Start, To: End, Developer: "alice@example.com' OR 1=1 --"},
		{From: End, To: Start},
	} {
		agreesOn(t, store, filter, rows)
	}
}

// sumsOfAnyTime asks for the days of time zones all over the world, and for parts of
// them.
func sumsOfAnyTime(t *testing.T, store ledger.Store) {
	rows := Rows(23, 300)
	add(t, store, rows...)
	const hour = time.Hour
	for _, begin := range []time.Duration{-12 * hour, -8 * hour, -hour, 0, 15 * time.Minute, 5*hour + 45*time.Minute, 12 * hour, 14 * hour} {
		for _, length := range []time.Duration{0, 15 * time.Minute, 11 * hour, 13 * hour, 23 * hour, 24 * hour, 25 * hour, 60 * hour} {
			q := everything("")
			q.From = Start.Add(4*24*hour + begin)
			q.To = q.From.Add(length)
			agreesOn(t, store, q, rows)
			q.Team = "platform"
			agreesOn(t, store, q, rows)
		}
	}
}

func sumsStopped(t *testing.T, store ledger.Store) {
	rows := Rows(21, 100)
	add(t, store, rows...)
	for range 50 { // no more connections than that may be left behind
		for _, err := range store.Sums(t.Context(), everything(ledger.BySession)) {
			succeeds(t, err)
			break
		}
	}
	agrees(t, store, rows)
}

func namesApart(t *testing.T, store ledger.Store) {
	names := []string{"", "a", "a#", "a#00:00", "a/b", "a%23", "A", "a\x00", "ä", "a\u0308"}
	var rows []exchange.Exchange
	for i, row := range Rows(22, len(names)*len(names)) {
		row.Started = Start.Add(time.Duration(i) * time.Minute)
		row.ID = exchange.NewID(row.Started)
		row.Developer, row.Team = names[i%len(names)], names[i/len(names)]
		row.Cost = exchange.Cost{State: exchange.CostPriced, Nanos: 1 << (i % 40)}
		rows = append(rows, row)
	}
	add(t, store, rows...)
	agrees(t, store, rows)
	for _, name := range names[1:] {
		agreesOn(t, store, ledger.Query{From: Start, To: End, Developer: name}, rows)
		var developer, team int64
		for _, row := range rows {
			if row.Developer == name {
				developer += row.Cost.Nanos
			}
			if row.Team == name {
				team += row.Cost.Nanos
			}
		}
		spent, err := store.Spent(t.Context(), name, "", Start, End)
		succeeds(t, err)
		equal(t, "spent by "+name, spent, developer)
		spent, err = store.Spent(t.Context(), "", name, Start, End)
		succeeds(t, err)
		equal(t, "spent by the team "+name, spent, team)
	}
}

// flat rates every exchange the same, and only those of a known model.
func flat(e exchange.Exchange) exchange.Cost {
	if e.Model == "" {
		return exchange.Cost{State: exchange.CostUnpriced, Book: "flat"}
	}
	return exchange.Cost{State: exchange.CostPriced, Nanos: 1_000, Book: "flat"}
}

// rated returns the rows as a reprice with flat should leave them, and the
// changes that it should tell.
func rated(rows []exchange.Exchange, from, to time.Time) (after []exchange.Exchange, changes []ledger.Change) {
	byModel := map[string]ledger.Change{}
	for _, row := range rows {
		if row.Cost.State != exchange.CostNone && !row.Started.Before(from) && row.Started.Before(to) {
			change := byModel[row.Model]
			change.Model = row.Model
			change.Exchanges++
			change.OldNanos += ledger.Count(row).CostNanos
			row.Cost = flat(row)
			change.NewNanos += ledger.Count(row).CostNanos
			change.Unpriced += ledger.Count(row).Unpriced
			byModel[row.Model] = change
		}
		after = append(after, row)
	}
	for _, change := range byModel {
		changes = append(changes, change)
	}
	return after, changes
}

var byModel = cmpopts.SortSlices(func(a, b ledger.Change) bool { return a.Model < b.Model })

func repriceDry(t *testing.T, store ledger.Store) {
	rows := Rows(30, 200)
	add(t, store, rows...)
	_, want := rated(rows, Start, End)
	for range 2 {
		got, err := store.Reprice(t.Context(), Start, End, flat, true)
		succeeds(t, err)
		equal(t, "changes", got, want, byModel)
		agrees(t, store, rows)
	}
}

func reprice(t *testing.T, store ledger.Store) {
	rows := Rows(31, 1_500) // more than a page
	add(t, store, rows...)
	after, want := rated(rows, Start, End)
	got, err := store.Reprice(t.Context(), Start, End, flat, false)
	succeeds(t, err)
	equal(t, "changes", got, want, byModel)
	agrees(t, store, after)
	// Again nothing is left to change.
	_, want = rated(after, Start, End)
	got, err = store.Reprice(t.Context(), Start, End, flat, false)
	succeeds(t, err)
	equal(t, "changes the second time", got, want, byModel)
	agrees(t, store, after)
}

func repriceBounds(t *testing.T, store ledger.Store) {
	rows := Rows(32, 200)
	// An exchange at the very beginning of the time is in it, one at the end not.
	from, to := rows[50].Started, rows[150].Started
	if to.Before(from) {
		from, to = to, from
	}
	add(t, store, rows...)
	after, want := rated(rows, from, to)
	got, err := store.Reprice(t.Context(), from, to, flat, false)
	succeeds(t, err)
	equal(t, "changes", got, want, byModel)
	agrees(t, store, after)
}

func rebuild(t *testing.T, store ledger.Store) {
	add(t, store, Rows(40, 100)...)
	rows := Rows(41, 150)
	count, err := store.Rebuild(t.Context(), each(append(rows, rows[:10]...), nil))
	succeeds(t, err)
	equal(t, "count", count, 150)
	agrees(t, store, rows)
	count, err = store.Rebuild(t.Context(), each(nil, nil))
	succeeds(t, err)
	equal(t, "count", count, 0)
	agrees(t, store, nil)
}

func rebuildFails(t *testing.T, store ledger.Store) {
	rows := Rows(42, 100)
	add(t, store, rows...)
	unreadable := errors.New("a record is unreadable")
	if _, err := store.Rebuild(t.Context(), each(Rows(43, 50), unreadable)); !errors.Is(err, unreadable) {
		t.Errorf("Rebuild: %v, want %v", err, unreadable)
	}
	agrees(t, store, rows)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := store.Rebuild(ctx, func(yield func(exchange.Exchange, error) bool) {
		for i, row := range Rows(44, 50) {
			if i == 25 {
				cancel()
			}
			if !yield(row, nil) {
				return
			}
		}
	})
	if err == nil {
		t.Error("a rebuild under an ended context succeeded")
	}
	agrees(t, store, rows)
}

func rowsAreKept(t *testing.T, store ledger.Store) {
	rows := Rows(50, 50)
	want := map[string]exchange.Exchange{}
	for i := range rows {
		rows[i].Cost = exchange.Cost{State: exchange.CostPriced, Nanos: 7, Book: "b"} // a reprice shows these
		rows[i].Started = rows[i].Started.Add(789)                                    // nanoseconds, which are not kept
		row := rows[i]
		row.Findings = nil // what is kept of them, Sightings yields
		row.Started = row.Started.Truncate(time.Microsecond)
		want[row.ID] = row
	}
	add(t, store, rows...)
	got := map[string]exchange.Exchange{}
	_, err := store.Reprice(t.Context(), Start, End, func(e exchange.Exchange) exchange.Cost {
		got[e.ID] = e
		return e.Cost
	}, true)
	succeeds(t, err)
	equal(t, "rows", got, want)
}

func endedContext(t *testing.T, store ledger.Store) {
	rows := Rows(60, 10)
	add(t, store, rows...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.Add(ctx, Rows(61, 10)); err == nil {
		t.Error("Add under an ended context succeeded")
	}
	if err := store.Amend(ctx, rows[0]); err == nil {
		t.Error("Amend under an ended context succeeded")
	}
	if _, err := store.Spent(ctx, "alice@example.com", "", Start, End); err == nil {
		t.Error("Spent under an ended context succeeded")
	}
	if _, err := ledger.NewReport(ctx, store, everything(ledger.ByDeveloper)); err == nil {
		t.Error("a report under an ended context succeeded")
	}
	if _, err := store.Incidents(ctx, ledger.IncidentQuery{}); err == nil {
		t.Error("Incidents under an ended context succeeded")
	}
	var failed error
	for _, err := range store.Sightings(ctx, "aa11") {
		failed = err
	}
	if failed == nil {
		t.Error("Sightings under an ended context ended without an error")
	}
	agrees(t, store, rows)
}

// each yields rows and then, unless it is nil, an error.
func each(rows []exchange.Exchange, err error) iter.Seq2[exchange.Exchange, error] {
	return func(yield func(exchange.Exchange, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		if err != nil {
			yield(exchange.Exchange{}, err)
		}
	}
}

func add(t *testing.T, store ledger.Store, rows ...exchange.Exchange) {
	t.Helper()
	succeeds(t, store.Add(t.Context(), rows))
}

func succeeds(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, what string, got, want T, options ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, append(options, cmpopts.EquateEmpty())...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Start and End bound the time of all rows.
var (
	Start = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	End   = Start.AddDate(0, 0, 14)
)

// Rows returns n exchanges of every kind, always the same for one source.
func Rows(source uint64, n int) []exchange.Exchange {
	random := rand.New(rand.NewPCG(source, 0))
	oneOf := func(values ...string) string { return values[random.IntN(len(values))] }
	rows := make([]exchange.Exchange, n)
	for i := range rows {
		started := Start.Add(time.Duration(random.Int64N(int64(End.Sub(Start))))).Truncate(time.Microsecond)
		e := exchange.Exchange{
			ID: exchange.NewID(started), Started: started, Ended: started.Add(time.Duration(random.IntN(60)) * time.Second),
			Developer: oneOf("alice@example.com", "bob@example.com", "=cmd|' /C calc'!A0"), Team: oneOf("platform", "default", ""),
			TokenID: "id", Session: oneOf("s1", "s2", "s3", ""), Client: "codex_exec/0.169.0", Method: "POST", Path: "/v1/responses",
			Transport: exchange.Transport(oneOf("http", "websocket")), Warmup: random.IntN(10) == 0,
			ModelAsked: "gpt-5.1-codex", Model: oneOf("gpt-5.1-codex", "gpt-5.1", "gpt-5", ""), Tier: oneOf("", "flex"),
			Status: 200, Outcome: exchange.Outcome(oneOf("completed", "completed", "failed", "upstream_error", "client_cancelled", "interrupted", "refused")),
			Refusal: oneOf("", "rate_limited"), Error: oneOf("", "it's \"broken\"; DROP TABLE sums"), ErrorOrigin: exchange.Origin(oneOf("", "openai", "proxy", "client")),
			UpstreamRequestID: "req_1", RequestBytes: random.Int64N(1e6), ResponseBytes: random.Int64N(1e6),
			FirstByteMicros: random.Int64N(1e6), DurationMicros: random.Int64N(1e8), AddedMicros: random.Int64N(1e3),
		}
		e.Usage.State = exchange.UsageState(oneOf("none", "exact", "exact", "estimated", "missing"))
		if e.Usage.State == exchange.UsageExact || e.Usage.State == exchange.UsageEstimated {
			u := &e.Usage.Usage
			u.Input, u.Output = random.Int64N(300_000), random.Int64N(20_000)
			u.Cached, u.CacheWrite, u.Reasoning, u.Total = u.Input/2, u.Input/5, u.Output/3, u.Input+u.Output
		}
		e.Cost.State = exchange.CostState(oneOf("none", "priced", "priced", "unpriced"))
		if e.Cost.State == exchange.CostPriced {
			e.Cost.Nanos, e.Cost.Book = random.Int64N(1e10), "2026-05-01"
		}
		for range max(0, random.IntN(8)-3) {
			e.Findings = append(e.Findings, exchange.Finding{
				Rule:        oneOf("github-token", "password", "o'rule\"[,]"),
				Fingerprint: oneOf("a1b2c3d4e5f60718293a4b5c6d7e8f90", "a1b2c3d4ffffffffffffffffffffffff", "b0000000000000000000000000000000", "b0000000000000000000000000000001"),
				Mode:        exchange.FindingMode(oneOf("report", "redact", "block")), Path: oneOf("instructions", "input[3].output", "header X-Turn"),
				Offset: random.Int64N(1e6), New: random.IntN(2) == 0,
			})
		}
		rows[i] = e
	}
	return rows
}
