package replay

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/simulated"
)

// TestAnArchiveListsWhatTheLedgerLists holds the two ways to list to each other.
func TestAnArchiveListsWhatTheLedgerLists(t *testing.T) {
	f := newFixture(t)
	f.openai.Play(simulated.Say("one"), simulated.Status(500), simulated.Say("two"), simulated.Say("three"))
	first, second := &talk{f: f, session: thread}, &talk{f: f, session: "0198a000-0000-7000-8000-000000000002"}
	first.say(prompt("a"))
	first.say(prompt("b"))
	second.say(prompt("my token is " + githubToken()))
	first.say(prompt("d"))
	all := f.exchanges()
	scan := Scan{Archive: f.archive, Now: time.Now}
	same := cmp.Options{cmpopts.IgnoreFields(exchange.Exchange{}, "Findings"), cmpopts.IgnoreTypes(ledger.Secrets{}), cmpopts.EquateEmpty(), cmpopts.EquateApproxTime(time.Microsecond)}

	for name, q := range map[string]ledger.ExchangeQuery{
		"all":       {Limit: 10},
		"two":       {Limit: 2},
		"older":     {Limit: 10, Before: all[2].ID},
		"one":       {Limit: 10, ID: all[1].ID},
		"none":      {Limit: 10, ID: "none"},
		"a session": {Limit: 10, Session: thread, Developer: alice},
		"failed":    {Limit: 10, Outcome: exchange.Failed, Origin: exchange.OriginOpenAI, Status: 500},
		"secrets":   {Limit: 10, Secrets: true},
		"bob's":     {Limit: 10, Developer: bob},
	} {
		want, got := must(f.ledger.Exchanges(t.Context(), q)), must(scan.Exchanges(t.Context(), q))
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("%s (-ledger +archive):\n%s", name, diff)
		}
	}
	for name, q := range map[string]ledger.SessionQuery{
		"all":         {Limit: 10},
		"one":         {Limit: 1},
		"older":       {Limit: 10, Before: all[3].ID},
		"last failed": {Limit: 10, Outcome: exchange.Failed},
	} {
		want, got := must(f.ledger.Sessions(t.Context(), q)), must(scan.Sessions(t.Context(), q))
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("sessions, %s (-ledger +archive):\n%s", name, diff)
		}
	}
}
