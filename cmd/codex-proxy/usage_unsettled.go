package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

// unsettledRows are the exchanges that the ledger has and the archive has not yet:
// a server counts an exchange first, and writes its document in a quieter moment.
// A rebuild must not forget them.
type unsettledRows struct {
	ledger  books
	archive record.Archive
	// since is how far back exchanges may still be unsettled.
	since time.Time
	seen  map[string]bool
	// kept counts those that each took from the ledger.
	kept int
}

// found notes an exchange that the archive has.
func (u *unsettledRows) found(e exchange.Exchange) {
	if u.seen == nil {
		u.seen = map[string]bool{}
	}
	if !e.Started.Before(u.since) {
		u.seen[e.ID] = true
	}
}

// each yields the exchanges of the ledger that found was not told of: as the
// archive has them by now, or else as the ledger has them, which does not tell
// where in them secrets were found.
func (u *unsettledRows) each(ctx context.Context) iter.Seq2[exchange.Exchange, error] {
	return func(yield func(exchange.Exchange, error) bool) {
		const page = 500
		for before := ""; ; {
			rows, err := u.ledger.Exchanges(ctx, ledger.ExchangeQuery{From: u.since, Before: before, Limit: page})
			if err != nil {
				yield(exchange.Exchange{}, fmt.Errorf("read what is counted already: %w", err))
				return
			}
			for _, e := range rows {
				before = e.ID
				if !u.seen[e.ID] && !yield(u.latest(ctx, e)) {
					return
				}
			}
			if len(rows) < page {
				return
			}
		}
	}
}

// latest is an exchange of the ledger as its record has it, if it is there by now.
func (u *unsettledRows) latest(ctx context.Context, e exchange.Exchange) (exchange.Exchange, error) {
	doc, err := record.Load(ctx, u.archive, record.Key(e))
	switch {
	case err == nil:
		return doc.Exchange, nil
	case errors.Is(err, fs.ErrNotExist):
		u.kept++
		return e, nil
	}
	return e, fmt.Errorf("read the archive: %w", err)
}
