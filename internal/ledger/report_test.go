package ledger_test

import (
	"context"
	"errors"
	"iter"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/sqlite"
)

// stored returns a real ledger that holds exchanges.
func stored(t *testing.T, exchanges ...exchange.Exchange) ledger.Store {
	t.Helper()
	store, err := sqlite.OpenLedger(t.Context(), filepath.Join(t.TempDir(), "ledger.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := store.Add(t.Context(), exchanges); err != nil {
		t.Fatal(err)
	}
	return store
}

// spent is an exchange of a thousand tokens that cost so many nanos.
func spent(at time.Time, developer, model string, nanos int64) exchange.Exchange {
	return exchange.Exchange{
		ID: exchange.NewID(at), Started: at, Developer: developer, Team: "platform", Session: "session of " + developer, Model: model,
		Outcome: exchange.Completed, Usage: used(900, 0, 100, 0), Cost: exchange.Cost{State: exchange.CostPriced, Nanos: nanos},
	}
}

// line is what the tests look at in a row.
type line struct {
	Key      string
	Requests int64
	Nanos    int64
	Models   map[string]int64
}

func lines(t *testing.T, store ledger.Store, q ledger.Query) (all []line, total line) {
	t.Helper()
	report, err := ledger.NewReport(t.Context(), store, q)
	if err != nil {
		t.Fatal(err)
	}
	of := func(r ledger.Row) line { return line{r.Key, r.Requests, r.CostNanos, r.Models} }
	for _, r := range report.Rows {
		all = append(all, of(r))
	}
	return all, of(report.Total)
}

func TestAReportHasARowForEachGroupTheDearestFirst(t *testing.T) {
	refused := spent(noon, "carol@example.com", "gpt-5.1", 0)
	refused.Outcome, refused.Usage, refused.Cost = exchange.Refused, exchange.Usage{State: exchange.UsageNone}, exchange.Cost{State: exchange.CostNone}
	store := stored(
		t,
		spent(noon, "alice@example.com", "gpt-5.1", 5),
		spent(noon.Add(time.Hour), "bob@example.com", "gpt-5.1", 20),
		spent(noon.Add(2*time.Hour), "alice@example.com", "gpt-5", 6),
		spent(noon.Add(3*time.Hour), "alice@example.com", "", 0),
		spent(noon.Add(-48*time.Hour), "alice@example.com", "gpt-5.1", 1_000), // another time
		refused,
	)
	day := time.Date(2026, 5, 16, 0, 0, 0, 0, time.UTC)
	rows, total := lines(t, store, ledger.Query{From: day, To: day.AddDate(0, 0, 1), By: ledger.ByDeveloper, Zone: time.UTC})
	if diff := cmp.Diff([]line{
		{"bob@example.com", 1, 20, map[string]int64{"gpt-5.1": 1}},
		{"alice@example.com", 3, 11, map[string]int64{"gpt-5.1": 1, "gpt-5": 1}},
		{"carol@example.com", 0, 0, map[string]int64{}},
	}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(line{"total", 4, 31, map[string]int64{"gpt-5.1": 2, "gpt-5": 1}}, total); diff != "" {
		t.Errorf("total (-want +got):\n%s", diff)
	}
}

func TestAReportByDayKeepsTheOrderOfDaysInItsTimeZone(t *testing.T) {
	kathmandu, err := time.LoadLocation("Asia/Kathmandu") // 5:45 ahead of UTC
	if err != nil {
		t.Fatal(err)
	}
	store := stored(
		t,
		spent(time.Date(2026, 5, 15, 18, 14, 59, 0, time.UTC), "alice@example.com", "gpt-5", 1),
		spent(time.Date(2026, 5, 15, 18, 15, 0, 0, time.UTC), "alice@example.com", "gpt-5", 20),
		spent(time.Date(2026, 5, 16, 18, 14, 59, 0, time.UTC), "bob@example.com", "gpt-5", 300),
		spent(time.Date(2026, 5, 16, 18, 15, 0, 0, time.UTC), "alice@example.com", "gpt-5", 4),
	)
	q := ledger.Query{From: noon.AddDate(0, 0, -7), To: noon.AddDate(0, 0, 7), By: ledger.ByDay, Zone: kathmandu}
	rows, _ := lines(t, store, q)
	if diff := cmp.Diff([]line{
		{"2026-05-15", 1, 1, map[string]int64{"gpt-5": 1}},
		{"2026-05-16", 2, 320, map[string]int64{"gpt-5": 2}},
		{"2026-05-17", 1, 4, map[string]int64{"gpt-5": 1}},
	}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// broken is a ledger that breaks off.
type broken struct{ ledger.Store }

var errBroken = errors.New("the disk failed")

func (broken) Sums(context.Context, ledger.Query) iter.Seq2[ledger.Sum, error] {
	return func(yield func(ledger.Sum, error) bool) {
		_ = yield(ledger.Sum{Key: "alice@example.com"}, nil) && yield(ledger.Sum{}, errBroken)
	}
}

func TestAReportThatCannotBeReadWholeIsAnError(t *testing.T) {
	if report, err := ledger.NewReport(t.Context(), broken{}, ledger.Query{By: ledger.ByTeam}); !errors.Is(err, errBroken) || report != nil {
		t.Errorf("NewReport: %v, %v", report, err)
	}
}
