package main

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"codex-proxy/internal/disk"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/record"
	"codex-proxy/internal/sqlite"
)

// TestUsageAndPriceCommands runs reports, rebuilds and repricings over the
// exchanges of knownExchanges, which went through a spool into an archive and a
// ledger as they do in the proxy.
func TestUsageAndPriceCommands(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/usage",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": scriptExits},
		Setup: func(env *testscript.Env) error {
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("CODEX_PROXY_INIT", "true")
			env.Setenv("TODAY", time.Now().UTC().Format(time.DateOnly))
			return settleExchanges(filepath.Join(env.WorkDir, "data"), knownExchanges())
		},
	})
}

// knownExchanges are rated with the built-in prices. The comments say what they
// cost in USD nanos.
func knownExchanges() []exchange.Exchange {
	known := []exchange.Exchange{
		asked("2026-02-16T09:00:00.1Z", "alice@example.com", "gpt-5.1-codex", used(10_000, 8_000, 1_000, 100)), // 13,500,000
		asked("2026-02-16T09:05:00Z", "alice@example.com", "gpt-5.1-codex", used(10_000, 8_000, 1_000, 0)),     // 13,500,000
		asked("2026-02-16T09:06:00Z", "alice@example.com", "gpt-5.1-codex-mini", used(1_001, 1, 100, 0)),       // 450,025
		asked("2026-02-16T09:07:00Z", "alice@example.com", "gpt-5.1-codex", exchange.Usage{State: exchange.UsageNone}),
		asked("2026-02-16T10:00:00Z", "bob@example.com", "gpt-9", used(500, 0, 50, 0)),            // unpriced
		asked("2026-02-16T10:01:00Z", "bob@example.com", "gpt-5.1-codex", used(2_000, 0, 100, 0)), // 3,500,000
		asked("2026-02-16T11:00:00Z", "carol@example.com", "gpt-5.1-codex", exchange.Usage{State: exchange.UsageMissing}),
		asked("2026-02-16T11:01:00Z", "carol@example.com", "gpt-5.1-codex", exchange.Usage{State: exchange.UsageNone}),
		asked("2026-02-28T23:59:59.999Z", "dave@example.com", "gpt-5.1-codex", used(1_000, 0, 0, 0)), // 1,250,000
		asked("2026-03-01T00:00:00Z", "dave@example.com", "gpt-5.1-codex", used(2_000, 0, 0, 0)),     // 2,500,000
		// 2026-03-29 is 23 hours long in Berlin, from 23:00 UTC to 22:00 UTC.
		asked("2026-03-28T22:59:59Z", "erin@example.com", "gpt-5.1-codex", used(1, 0, 0, 0)),
		asked("2026-03-28T23:00:00Z", "erin@example.com", "gpt-5.1-codex", used(10, 0, 0, 0)),
		asked("2026-03-29T21:59:59Z", "erin@example.com", "gpt-5.1-codex", used(100, 0, 0, 0)),
		asked("2026-03-29T22:00:00Z", "erin@example.com", "gpt-5.1-codex", used(1_000, 0, 0, 0)),
		asked(time.Now().UTC().Format(time.RFC3339), "frank@example.com", "gpt-5.1-codex", used(7, 0, 0, 0)),
	}
	known[3].Transport, known[3].Warmup = exchange.WebSocket, true
	known[5].Usage.State, known[5].Outcome = exchange.UsageEstimated, exchange.ClientCancelled
	known[5].ErrorOrigin, known[0].AddedMicros = exchange.OriginClient, 1_000
	known[7].Outcome, known[7].Refusal, known[7].Status = exchange.Refused, "budget_exceeded", 429
	for i, name := range []string{"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", " =1", "\x1b[2Jred", "plain, \"quoted\""} {
		known = append(known, asked(fmt.Sprintf("2026-02-17T09:00:%02dZ", i), "mallory@example.com", name, used(1, 0, 0, 0)))
	}
	return known
}

func asked(at, developer, model string, usage exchange.Usage) exchange.Exchange {
	started, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		panic(err)
	}
	name, _, _ := strings.Cut(developer, "@")
	team := "platform"
	if name == "bob" {
		team = "default"
	}
	return exchange.Exchange{
		ID: exchange.NewID(started), Started: started, Ended: started.Add(time.Second), Developer: developer, Team: team,
		Session: "session-of-" + name, Method: "POST", Path: "/v1/responses", Transport: exchange.HTTP,
		ModelAsked: model, Model: model, Status: 200, Outcome: exchange.Completed, Usage: usage,
	}
}

func used(input, cached, output, reasoning int64) exchange.Usage {
	return exchange.Usage{
		Usage: openai.Usage{Input: input, Cached: cached, Output: output, Reasoning: reasoning, Total: input + output},
		State: exchange.UsageExact,
	}
}

// settleExchanges takes exchanges through a spool into the archive and the
// ledger below a directory.
func settleExchanges(data string, exchanges []exchange.Exchange) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	settings := &Settings{Data: data}
	if err := settings.initialize(ctx); err != nil {
		return err
	}
	book, err := settings.priceBook()
	if err != nil {
		return err
	}
	store, err := sqlite.OpenLedger(ctx, settings.ledgerFile())
	if err != nil {
		return err
	}
	defer store.Close()
	archive, err := disk.NewArchive(settings.archiveDirectory())
	if err != nil {
		return err
	}
	spool, err := record.OpenSpool(settings.spoolDirectory(), record.Options{Archive: archive, Ledger: store.Add, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	for _, e := range exchanges {
		w, err := spool.Open(ctx, e, record.Message{Method: e.Method, URI: e.Path}, nil)
		if err != nil {
			return err
		}
		if err := w.WriteRequest([]byte(`{"model":"gpt-5.1-codex","input":"hello"}`)); err != nil {
			return err
		}
		w.Answer(e.Status, nil)
		e.Cost = book.Rate(e.Model, e.Tier, e.Started, e.Usage)
		w.Close(e)
	}
	return spool.Close(ctx)
}

func TestADayBeginsWhenItsDateDoes(t *testing.T) {
	now := time.Date(2026, 11, 1, 3, 30, 0, 0, time.UTC)
	for _, c := range []struct{ zone, first, last, from, to string }{
		{"UTC", "", "", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"},
		{"America/New_York", "", "", "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z"}, // still October there
		{"UTC", "2026-02-16", "", "2026-02-16T00:00:00Z", "2026-02-17T00:00:00Z"},
		{"UTC", "2026-02-01", "2026-02-28", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"},
		{"UTC", "2028-02-29", "2028-12-31", "2028-02-29T00:00:00Z", "2029-01-01T00:00:00Z"},
		{"Europe/Berlin", "2026-03-29", "", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}, // 23 hours
		{"Europe/Berlin", "2026-10-25", "", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"}, // 25 hours
		{"Asia/Kathmandu", "2026-02-16", "", "2026-02-15T18:15:00Z", "2026-02-16T18:15:00Z"},
		// Where clocks are set at midnight, a day may begin at one, or twice.
		{"America/Havana", "2024-03-10", "", "2024-03-10T05:00:00Z", "2024-03-11T04:00:00Z"},
		{"America/Havana", "2024-03-09", "", "2024-03-09T05:00:00Z", "2024-03-10T05:00:00Z"},
		{"America/Havana", "2024-11-03", "", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"},
		{"America/Santiago", "2024-09-08", "", "2024-09-08T04:00:00Z", "2024-09-09T03:00:00Z"},
		{"Africa/Cairo", "2024-04-26", "", "2024-04-25T22:00:00Z", "2024-04-26T21:00:00Z"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		from, to, err := dayRange(c.first, c.last, zone, now)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339)}
		if diff := cmp.Diff([]string{c.from, c.to}, got); diff != "" {
			t.Errorf("%q to %q in %s (-want +got):\n%s", c.first, c.last, c.zone, diff)
		}
		if c.last == "" {
			c.last = c.first
		}
		if c.last != "" && lastDay(to, zone) != c.last {
			t.Errorf("%s in %s is printed as %s", c.last, c.zone, lastDay(to, zone))
		}
	}
}

func TestATableSaysHowWellACostIsKnown(t *testing.T) {
	for want, c := range map[string]ledger.Counts{
		"0.0000":    {},
		"0.0120":    {CostNanos: 12_000_000},
		"<0.0001":   {CostNanos: 49_999},
		"0.0001":    {CostNanos: 50_000},
		"1234.5679": {CostNanos: 1_234_567_850_000},
		"~0.0120":   {CostNanos: 12_000_000, Estimated: 1},
		"≥ 0.0120":  {CostNanos: 12_000_000, Unpriced: 1, Estimated: 1},
		"≥ 0.0000":  {CostNanos: 1, Unpriced: 1},
		"unpriced":  {Unpriced: 1},
	} {
		if got := costCell(c); got != want {
			t.Errorf("%+v is printed as %q, want %q", c, got, want)
		}
	}
}

func TestARepricingIsAboutWhatHadEndedWhenItWasMade(t *testing.T) {
	book, err := (&Settings{}).priceBook()
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 2, 16, 0, 0, 0, 0, time.UTC)
	note := repricing{From: day, To: day.AddDate(0, 0, 1), At: day.Add(12 * time.Hour), book: book}
	before := exchange.Cost{State: exchange.CostPriced, Nanos: 1, Book: "older"}
	for _, c := range []struct {
		started string
		cost    exchange.Cost
		anew    bool
	}{
		{"2026-02-15T23:59:59Z", before, false},
		{"2026-02-16T00:00:00Z", before, true},
		{"2026-02-16T11:59:59Z", before, true},
		{"2026-02-16T11:59:59.1Z", before, false}, // ended a second later
		{"2026-02-16T13:00:00Z", before, false},   // rated by a later book
		{"2026-02-16T09:00:00Z", exchange.Cost{State: exchange.CostUnpriced}, true},
		{"2026-02-16T09:00:00Z", exchange.Cost{State: exchange.CostNone}, false},
	} {
		e := asked(c.started, "alice@example.com", "gpt-5.1-codex", used(1_000, 0, 0, 0))
		e.Cost = c.cost
		want := c.cost
		if c.anew {
			want = exchange.Cost{State: exchange.CostPriced, Nanos: 1_250_000, Book: book.Edition()}
		}
		if diff := cmp.Diff(want, note.rate(e)); diff != "" {
			t.Errorf("one of %s that cost %+v (-want +got):\n%s", c.started, c.cost, diff)
		}
	}
}
