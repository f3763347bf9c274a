package main

import (
	"encoding/json"
	"fmt"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

type priceRepriceCommand struct {
	From   string `arg:"" help:"First day (UTC), such as 2026-02-01."`
	To     string `arg:"" help:"Last day (UTC), inclusive."`
	DryRun bool   `help:"Print the difference and change nothing." env:"-"`
	jsonFlag
}

// changeRow is what a reprice changed for one model.
type changeRow struct {
	Model     string      `json:"model"`
	Exchanges int64       `json:"exchanges"`
	Old       json.Number `json:"old_cost_usd"`
	New       json.Number `json:"new_cost_usd"`
	Delta     json.Number `json:"difference_usd"`
	Unpriced  int64       `json:"unpriced"`
}

func (cmd *priceRepriceCommand) Run(c *console) error {
	from, to, err := dayRange(cmd.From, cmd.To, time.UTC, now())
	if err != nil {
		return err
	}
	book, err := c.settings.priceBook()
	if err != nil {
		return err
	}
	store, err := c.settings.openLedger(c.ctx, changeUnless(cmd.DryRun))
	if err != nil {
		return err
	}
	defer store.Close()
	note := repricing{From: from, To: to, At: now(), Edition: book.Edition(), Prices: book.Source(), book: book}
	if !cmd.DryRun {
		// The archive is the truth: a rebuild repeats what is noted there.
		archive, err := c.settings.openArchive(c.ctx, change)
		if err != nil {
			return err
		}
		if err := noteRepricing(c.ctx, archive, note); err != nil {
			return err
		}
	}
	changes, err := store.Reprice(c.ctx, from, to, note.rate, cmd.DryRun)
	if err != nil && !cmd.DryRun {
		return fmt.Errorf("the repricing is noted in the archive but the ledger has not changed, so run it again: %w", err)
	}
	if err != nil {
		return err
	}
	list := rows(changes, func(ch ledger.Change) changeRow {
		return changeRow{ch.Model, ch.Exchanges, exchange.USD(ch.OldNanos), exchange.USD(ch.NewNanos), exchange.USD(ch.NewNanos - ch.OldNanos), ch.Unpriced}
	})
	if cmd.JSON {
		return printSafeJSON(c.stdout, map[string]any{"edition": book.Edition(), "dry_run": cmd.DryRun, "models": list})
	}
	verb := "Repriced"
	if cmd.DryRun {
		verb = "Would reprice"
	}
	if _, err := fmt.Fprintf(c.stdout, "%s %s to %s (UTC) with price book %s; costs in USD\n\n", verb, cmd.From, cmd.To, book.Edition()); err != nil {
		return err
	}
	return printTable(c.stdout, []string{"MODEL", "EXCHANGES", "OLD", "NEW", "DIFFERENCE", "STILL UNPRICED"}, rows(list, func(r changeRow) []string {
		return []string{r.Model, grouped(r.Exchanges), r.Old.String(), r.New.String(), r.Delta.String(), grouped(r.Unpriced)}
	}))
}
