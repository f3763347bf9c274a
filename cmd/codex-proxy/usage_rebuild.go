package main

import (
	"fmt"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

type usageRebuildCommand struct{}

// Help is the long form of the command's help.
func (*usageRebuildCommand) Help() string {
	return "Reads every record, replaces the ledger with what they say, repeats the repricings that the archive notes, and prints what changed. It may run beside servers. What they have counted in the last 24 hours and not yet put into the archive stays counted. What was counted earlier without a record (--audit=best-effort) is no longer counted."
}

func (cmd *usageRebuildCommand) Run(c *console) error {
	archive, err := c.settings.openArchive(c.ctx, look)
	if err != nil {
		return err
	}
	notes, err := readRepricings(c.ctx, archive)
	if err != nil {
		return err
	}
	store, err := c.settings.openLedger(c.ctx, c.settings.rebuildAccess())
	if err != nil {
		return err
	}
	defer store.Close()
	always := ledger.Query{From: time.Unix(0, 0), To: now().AddDate(100, 0, 0), By: ledger.ByDeveloper, Zone: time.UTC}
	before, err := ledger.NewReport(c.ctx, store, always)
	if err != nil {
		return err
	}
	progress := startProgress(c, "read")
	unsettled := unsettledRows{ledger: store, archive: archive, since: now().AddDate(0, 0, -1)}
	count, err := store.Rebuild(c.ctx, func(yield func(exchange.Exchange, error) bool) {
		for e, err := range record.Exchanges(c.ctx, archive, record.Filter{First: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), Last: now().AddDate(0, 0, 1)}) {
			if err != nil {
				yield(e, fmt.Errorf("read the archive: %w", err))
				return
			}
			progress.step(e.Started)
			unsettled.found(e)
			if !yield(repriced(e, notes), nil) {
				return
			}
		}
		for e, err := range unsettled.each(c.ctx) {
			if !yield(repriced(e, notes), err) {
				return
			}
		}
	})
	progress.clear()
	if err != nil {
		return fmt.Errorf("rebuild the ledger (nothing has changed): %w", err)
	}
	after, err := ledger.NewReport(c.ctx, store, always)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c.stdout, "Rebuilt the ledger from %s records.\n", grouped(int64(count))); err != nil {
		return err
	}
	if unsettled.kept > 0 {
		fmt.Fprintf(c.stderr, "codex-proxy: %s of the last day, counted but not in the archive yet, stayed as they were: their records are still on their way there\n", plural(unsettled.kept, "exchange"))
	}
	if before.Total.Counts == after.Total.Counts {
		_, err = fmt.Fprintf(c.stdout, "It agrees with the one before: %s.\n", sumsLine(after.Total.Counts))
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "Before: %s records, %s.\nNow:    %s records, %s.\n",
		grouped(before.Total.Records), sumsLine(before.Total.Counts), grouped(after.Total.Records), sumsLine(after.Total.Counts))
	return err
}

// repriced is an exchange at the cost that the repricings give it.
func repriced(e exchange.Exchange, notes []repricing) exchange.Exchange {
	for _, note := range notes {
		e.Cost = note.rate(e)
	}
	return e
}

// sumsLine is what a ledger adds up to.
func sumsLine(c ledger.Counts) string {
	secrets := c.Secrets.Total()
	return list(exchange.USD(c.CostNanos).String()+" USD", grouped(c.Usage.Total)+" tokens", when(secrets > 0, plural(int(secrets), "secret")))
}
