package dynamodb_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/dynamodb"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/ledger/ledgertest"
	"codex-proxy/internal/standin"
)

// newLedger returns an empty ledger, another way to it, and the line to both.
func newLedger(t testing.TB) (*standin.Line, *dynamodb.Ledger, *dynamodb.Ledger) {
	t.Helper()
	line := standin.NewLine(t, standin.DynamoDB(t))
	api := dynamodb.Connect(standin.Config(line.Address))
	table := newTable(t, api, dynamodb.UsageTable)
	return line, dynamodb.NewLedger(api, table), dynamodb.NewLedger(api, table)
}

// told is all that a ledger tells of its exchanges.
type told struct {
	Report    *ledger.Report
	Spent     map[string]int64
	Incidents []ledger.Incident
}

func tell(t testing.TB, store ledger.Store) (all told) {
	t.Helper()
	var err error
	all.Report, err = ledger.NewReport(t.Context(), store, ledger.Query{From: ledgertest.Start, To: ledgertest.End, By: ledger.BySession, Zone: time.UTC})
	succeeds(t, err)
	slices.SortFunc(all.Report.Rows, func(a, b ledger.Row) int { return strings.Compare(a.Key, b.Key) })
	all.Spent = map[string]int64{}
	for _, developer := range []string{"alice@example.com", "bob@example.com"} {
		all.Spent[developer], err = store.Spent(t.Context(), developer, "", ledgertest.Start, ledgertest.End)
		succeeds(t, err)
	}
	for _, team := range []string{"platform", "default"} {
		all.Spent["team "+team], err = store.Spent(t.Context(), "", team, ledgertest.Start, ledgertest.End)
		succeeds(t, err)
	}
	all.Incidents, err = store.Incidents(t.Context(), ledger.IncidentQuery{})
	succeeds(t, err)
	return all
}

// wantRows checks that a ledger tells what one tells that holds rows and nothing
// else.
func wantRows(t testing.TB, store ledger.Store, rows []exchange.Exchange) {
	t.Helper()
	_, plain, _ := newLedger(t)
	succeeds(t, plain.Add(t.Context(), rows))
	if diff := cmp.Diff(tell(t, plain), tell(t, store)); diff != "" {
		t.Errorf("the ledger tells something else (-want +got):\n%s", diff)
	}
}

// TestADeliveryThatBreaksOffIsMendedByTheNext lets a delivery fail from each of
// its calls on in turn, as a crash would, and delivers again.
func TestADeliveryThatBreaksOffIsMendedByTheNext(t *testing.T) {
	rows := ledgertest.Rows(1, 2)
	line, plain, _ := newLedger(t)
	var calls atomic.Int64
	line.Fail(func(string) standin.Fault { calls.Add(1); return standin.None })
	succeeds(t, plain.Add(t.Context(), rows))
	delivery := calls.Load()
	want := tell(t, plain)

	for failing := int64(1); failing <= delivery; failing += 2 {
		line, store, other := newLedger(t)
		var left atomic.Int64
		left.Store(failing)
		line.Fail(func(string) standin.Fault {
			if left.Add(-1) <= 0 {
				return standin.Broken
			}
			return standin.None
		})
		_ = store.Add(t.Context(), rows) // it may be through, as its calls vary in number
		line.FailAll(standin.None)
		succeeds(t, other.Add(t.Context(), rows))
		if diff := cmp.Diff(want, tell(t, store)); diff != "" {
			t.Errorf("after call %d failed (-want +got):\n%s", failing, diff)
		}
	}
}

func TestALostAnswerCountsOnce(t *testing.T) {
	rows := ledgertest.Rows(2, 10)
	line, store, _ := newLedger(t)
	var calls atomic.Int64
	line.Fail(func(string) standin.Fault {
		if n := calls.Add(1); n < 60 && n%3 == 0 {
			return standin.Lost
		}
		return standin.None
	})
	for store.Add(t.Context(), rows) != nil && calls.Load() < 60 { // a call that was lost too often is delivered again
	}
	line.FailAll(standin.None)
	succeeds(t, store.Add(t.Context(), rows))
	wantRows(t, store, rows)
}

func TestReplicasThatAddTheSameDevelopersExchangesCountThemAll(t *testing.T) {
	_, one, two := newLedger(t)
	var rows []exchange.Exchange
	for i, row := range ledgertest.Rows(3, 24) {
		// All of one quarter of an hour.
		row.Started = ledgertest.Start.Add(time.Duration(i) * time.Second)
		row.ID, row.Developer, row.Team = exchange.NewID(row.Started), "alice@example.com", "platform"
		rows = append(rows, row)
	}
	var all sync.WaitGroup
	for i := range rows {
		all.Go(func() {
			if err := []*dynamodb.Ledger{one, two}[i%2].Add(t.Context(), rows[i:i+1]); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantRows(t, one, rows)
}

// TestAReplicaThatIsAlwaysOvertakenIsThroughAllTheSame lets another replica add an
// exchange of the same quarter of an hour before each write of the first, which is
// thus never the one to write the sums.
func TestAReplicaThatIsAlwaysOvertakenIsThroughAllTheSame(t *testing.T) {
	address := standin.DynamoDB(t)
	line, api := standin.NewLine(t, address), dynamodb.Connect(standin.Config(address))
	table := newTable(t, api, dynamodb.UsageTable)
	one, two := dynamodb.NewLedger(dynamodb.Connect(standin.Config(line.Address)), table), dynamodb.NewLedger(api, table)
	rows := ledgertest.Rows(3, 1)
	rows[0].Started = ledgertest.Start
	rows[0].ID, rows[0].Developer, rows[0].Team = exchange.NewID(ledgertest.Start), "alice@example.com", "platform"
	line.Fail(func(operation string) standin.Fault {
		if operation == "PutItem" {
			next := rows[0]
			next.Started = next.Started.Add(time.Duration(len(rows)) * time.Second)
			next.ID = exchange.NewID(next.Started)
			rows = append(rows, next)
			if err := two.Add(t.Context(), []exchange.Exchange{next}); err != nil {
				t.Error(err)
			}
		}
		return standin.None
	})
	if err := one.Add(t.Context(), rows[:1]); err != nil {
		t.Error(err)
	}
	if len(rows) > 20 {
		t.Errorf("it took %d writes", len(rows)-1)
	}
	wantRows(t, two, rows)
}

// TestTheSumsOfOneReplicaNeverHideAnothersExchange stops a delivery before each of
// its calls in turn, and lets another replica deliver whole in between.
func TestTheSumsOfOneReplicaNeverHideAnothersExchange(t *testing.T) {
	rows := ledgertest.Rows(12, 2)
	for i := range rows { // of one quarter of an hour
		rows[i].Started = ledgertest.Start.Add(time.Duration(i) * time.Second)
		rows[i].ID, rows[i].Developer, rows[i].Team = exchange.NewID(rows[i].Started), "alice@example.com", "platform"
		rows[i].Session, rows[i].Model, rows[i].Cost = "s1", "gpt-5.1", exchange.Cost{State: exchange.CostPriced, Nanos: 7}
	}
	_, plain, _ := newLedger(t)
	succeeds(t, plain.Add(t.Context(), rows))
	want := tell(t, plain)

	address := standin.DynamoDB(t)
	api := dynamodb.Connect(standin.Config(address))
	for stopped := int64(1); ; stopped++ {
		table := newTable(t, api, dynamodb.UsageTable)
		whole := dynamodb.NewLedger(api, table)
		line := standin.NewLine(t, address)
		halting := dynamodb.NewLedger(dynamodb.Connect(standin.Config(line.Address)), table)
		var calls atomic.Int64
		line.Fail(func(string) standin.Fault {
			if calls.Add(1) == stopped {
				if err := whole.Add(t.Context(), rows[1:]); err != nil {
					t.Error(err)
				}
			}
			return standin.None
		})
		succeeds(t, halting.Add(t.Context(), rows[:1]))
		if calls.Load() < stopped {
			return
		}
		if diff := cmp.Diff(want, tell(t, whole)); diff != "" {
			t.Errorf("stopped before call %d (-want +got):\n%s", stopped, diff)
		}
	}
}

func TestAnOutageOfTheLedgerIsAnError(t *testing.T) {
	rows := ledgertest.Rows(4, 3)
	line, store, _ := newLedger(t)
	succeeds(t, store.Add(t.Context(), rows[:1]))
	for name, fault := range map[string]standin.Fault{"throttled": standin.Throttled, "broken": standin.Broken, "hung": standin.Hung} {
		t.Run(name, func(t *testing.T) {
			line.FailAll(fault)
			defer line.FailAll(standin.None)
			if err := store.Add(t.Context(), rows); err == nil {
				t.Error("Add succeeded")
			}
			if _, err := store.Spent(t.Context(), "alice@example.com", "", ledgertest.Start, ledgertest.End); err == nil {
				t.Error("Spent succeeded")
			}
			if err := store.Ping(t.Context()); err == nil {
				t.Error("Ping succeeded")
			}
		})
	}
	wantRows(t, store, rows[:1])
}

func TestRowsThatComeWhileTheLedgerIsRebuiltAreKept(t *testing.T) {
	rows := ledgertest.Rows(5, 30)
	archived, during := rows[:20], rows[20:]
	_, command, server := newLedger(t)
	succeeds(t, server.Add(t.Context(), ledgertest.Rows(6, 10))) // which no record bears out
	tell(t, server)                                              // it knows the generation now
	_, err := command.Rebuild(t.Context(), func(yield func(exchange.Exchange, error) bool) {
		for i, row := range archived {
			if i < len(during) {
				succeeds(t, server.Add(t.Context(), during[i:i+1]))
			}
			if !yield(row, nil) {
				return
			}
		}
	})
	succeeds(t, err)
	wantRows(t, server, rows)
}

func TestOfTwoRebuildsTheLaterStands(t *testing.T) {
	_, one, two := newLedger(t)
	first, second := ledgertest.Rows(7, 10), ledgertest.Rows(8, 10)
	_, err := one.Rebuild(t.Context(), func(yield func(exchange.Exchange, error) bool) {
		_, err := two.Rebuild(t.Context(), func(yield func(exchange.Exchange, error) bool) {
			for _, row := range second {
				yield(row, nil)
			}
		})
		succeeds(t, err)
		for _, row := range first {
			yield(row, nil)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "another rebuild") {
		t.Errorf("Rebuild: %v, want to hear of the other", err)
	}
	wantRows(t, one, second)
}

func TestARepriceDuringARebuildIsRefused(t *testing.T) {
	_, command, other := newLedger(t)
	refused := errors.New("refused")
	_, err := command.Rebuild(t.Context(), func(yield func(exchange.Exchange, error) bool) {
		_, err := other.Reprice(t.Context(), ledgertest.Start, ledgertest.End, func(e exchange.Exchange) exchange.Cost { return e.Cost }, false)
		if err == nil || !strings.Contains(err.Error(), "rebuild") {
			t.Errorf("Reprice: %v, want to hear of the rebuild", err)
		}
		yield(exchange.Exchange{}, refused)
	})
	if !errors.Is(err, refused) {
		t.Errorf("Rebuild: %v", err)
	}
	if _, err := other.Reprice(t.Context(), ledgertest.Start, ledgertest.End, func(e exchange.Exchange) exchange.Cost { return e.Cost }, false); err != nil {
		t.Errorf("Reprice after the rebuild: %v", err)
	}
}

func TestARepriceThatBreaksOffIsFinishedByBeingRepeated(t *testing.T) {
	rows := ledgertest.Rows(11, 6)
	for i := range rows {
		rows[i].Cost = exchange.Cost{State: exchange.CostPriced, Nanos: 7}
	}
	flat := func(exchange.Exchange) exchange.Cost {
		return exchange.Cost{State: exchange.CostPriced, Nanos: 1_000, Book: "flat"}
	}
	_, plain, _ := newLedger(t)
	succeeds(t, plain.Add(t.Context(), rows))
	_, err := plain.Reprice(t.Context(), ledgertest.Start, ledgertest.End, flat, false)
	succeeds(t, err)
	want := tell(t, plain)

	for _, failing := range []string{"UpdateItem", "PutItem"} {
		for nth := 1; nth <= 5; nth += 2 {
			line, store, _ := newLedger(t)
			succeeds(t, store.Add(t.Context(), rows))
			var calls atomic.Int64
			line.Fail(func(operation string) standin.Fault {
				if operation == failing && calls.Add(1) >= int64(nth) {
					return standin.Broken
				}
				return standin.None
			})
			if _, err := store.Reprice(t.Context(), ledgertest.Start, ledgertest.End, flat, false); err == nil {
				t.Errorf("Reprice succeeded although %s %d failed", failing, nth)
			}
			line.FailAll(standin.None)
			_, err := store.Reprice(t.Context(), ledgertest.Start, ledgertest.End, flat, false)
			succeeds(t, err)
			if diff := cmp.Diff(want, tell(t, store)); diff != "" {
				t.Errorf("after %s %d failed (-want +got):\n%s", failing, nth, diff)
			}
		}
	}
}

func TestAnExchangeWithEndlessTextsIsCounted(t *testing.T) {
	_, store, _ := newLedger(t)
	rows := ledgertest.Rows(9, 1)
	rows[0].Path, rows[0].Client = strings.Repeat("/ä", 300_000), strings.Repeat("x", 500_000)
	rows[0].Findings = nil
	for i := range exchange.MostFindings {
		rows[0].Findings = append(rows[0].Findings, exchange.Finding{
			Rule: "github-token", Fingerprint: exchange.NewID(rows[0].Started), Mode: exchange.Redacted, New: true,
			Path: strings.Repeat("input[0].output", 1+i%10),
		})
	}
	succeeds(t, store.Add(t.Context(), rows))
	if all := tell(t, store); all.Report.Total.Secrets.Redacted+all.Report.Total.Secrets.Blocked != exchange.MostFindings {
		t.Errorf("%+v, want all of the secrets", all.Report.Total.Secrets)
	}
}

// TestABudgetIsOneQuery holds the look-up that every request waits for to what
// it may cost.
func TestABudgetIsOneQuery(t *testing.T) {
	line, store, _ := newLedger(t)
	succeeds(t, store.Add(t.Context(), ledgertest.Rows(10, 100)))
	from, to := ledgertest.Start, ledgertest.Start.AddDate(0, 1, 0)
	var calls []string
	var mu sync.Mutex
	_, err := store.Spent(t.Context(), "alice@example.com", "", from, to) // it knows the generation now
	succeeds(t, err)
	line.Fail(func(operation string) standin.Fault {
		mu.Lock()
		defer mu.Unlock()
		calls = append(calls, operation)
		return standin.None
	})
	_, err = store.Spent(t.Context(), "", "platform", from, to)
	succeeds(t, err)
	slices.Sort(calls)
	if diff := cmp.Diff([]string{"GetItem", "Query"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
