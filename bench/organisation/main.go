// Command organisation writes what an organisation of many developers has after some
// months: its developers, each with a token, and a ledger of their exchanges, without
// the records. The benchmark of the console's pages, and tests of them, look at it.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
	"codex-proxy/internal/sqlite"
)

const (
	turns   = 20 // of a session
	teams   = 120
	days    = 85
	secrets = 400
)

// organisation is what is written.
type organisation struct {
	exchanges, developers int
	now                   time.Time
}

func main() {
	data := flag.String("data", "", "the directory, which is there and empty")
	o := organisation{now: time.Now().UTC()}
	flag.IntVar(&o.exchanges, "exchanges", 100_000, "how many, in sessions of 20")
	flag.IntVar(&o.developers, "developers", 200, "how many")
	flag.Parse()
	if err := o.write(context.Background(), *data); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (o organisation) write(ctx context.Context, data string) error {
	ledger, err := sqlite.OpenLedger(ctx, filepath.Join(data, "ledger.db"))
	if err != nil {
		return err
	}
	_, err = ledger.Rebuild(ctx, func(yield func(exchange.Exchange, error) bool) {
		for n := range o.exchanges {
			if !yield(o.exchange(n), nil) {
				return
			}
		}
	})
	if err := errors.Join(err, ledger.Close()); err != nil {
		return err
	}
	store, err := sqlite.OpenDevelopers(ctx, filepath.Join(data, "developers.db"))
	if err != nil {
		return err
	}
	for n := 0; err == nil && n < o.developers; n++ {
		err = o.add(ctx, store, n)
	}
	return errors.Join(err, store.Close())
}

func (o organisation) id(n int) string {
	return fmt.Sprintf("developer-%05d@example.com", n%o.developers)
}

func (o organisation) team(n int) string { return fmt.Sprintf("team-%03d", n%o.developers%teams) }

// exchange is the n-th: sessions follow each other through the days, each of the next
// developer.
func (o organisation) exchange(n int) exchange.Exchange {
	session, turn, sessions := n/turns, n%turns, o.exchanges/turns
	apart := days * 24 * time.Hour / time.Duration(sessions)
	at := o.now.Add(-time.Duration(sessions-session)*apart + time.Duration(turn)*2*time.Minute - time.Hour)
	e := exchange.Exchange{
		ID: exchange.NewID(at), Started: at, Ended: at.Add(9 * time.Second), Developer: o.id(session), Team: o.team(session),
		Session: fmt.Sprintf("session-%06d", session), Client: "codex_cli_rs/0.169.0", Model: []string{"gpt-5.1-codex", "gpt-5.2", "gpt-6.1-sol"}[session%3],
		Method: http.MethodPost, Path: "/v1/responses", Transport: exchange.HTTP, Status: http.StatusOK, Outcome: exchange.Completed,
		Usage: exchange.Usage{State: exchange.UsageExact, Usage: openai.Usage{Input: 40_000, Cached: 32_000, Output: 900, Reasoning: 300, Total: 40_900}},
		Cost:  exchange.Cost{State: exchange.CostPriced, Nanos: 21_000_000}, RequestBytes: 180_000, ResponseBytes: 30_000,
		FirstByteMicros: 2_000_000, DurationMicros: 9_000_000, AddedMicros: 900,
	}
	if n%40 == 0 {
		e.Outcome, e.Status, e.ErrorOrigin, e.Error = exchange.Failed, http.StatusInternalServerError, exchange.OriginOpenAI, "The server had an error"
	}
	if n%50 == 0 {
		e.Findings = []exchange.Finding{{Rule: "github-token", Fingerprint: fmt.Sprintf("%032x", n/50%secrets), Mode: exchange.Redacted, Path: "input[3].output", New: true}}
	}
	return e
}

// add adds the n-th developer.
func (o organisation) add(ctx context.Context, store *sqlite.Developers, n int) error {
	since := o.now.AddDate(0, -3, 0)
	one, err := developer.New(o.id(n), fmt.Sprintf("Developer %d", n), o.team(n), since)
	if err != nil {
		return err
	}
	_, credential, err := developer.Issue(rand.Reader, one.ID, "laptop", since, time.Time{})
	if err != nil {
		return err
	}
	return store.AddDeveloper(ctx, one, credential)
}
