package dynamodb

import (
	"context"
	"errors"
	"fmt"

	"codex-proxy/internal/exchange"
)

// Amend implements ledger.Store. While a rebuild is under way, both generations
// are amended.
func (l *Ledger) Amend(ctx context.Context, e exchange.Exchange) error {
	p, err := l.pointer(ctx)
	if err == nil {
		err = l.amend(ctx, p.Current, e)
	}
	if err == nil && p.Next != "" {
		err = l.amend(ctx, p.Next, e)
	}
	if err != nil {
		return fmt.Errorf("amend the exchange %s in the ledger: %w", e.ID, err)
	}
	return nil
}

// amend writes the row anew, unless another writer has changed it since it was
// read, and then tries again.
func (l *Ledger) amend(ctx context.Context, generation string, e exchange.Exchange) error {
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		var r rowItem
		found, err := l.table.get(ctx, key(rowsPart(generation, dayOf(e.Started)), e.ID), &r)
		if err != nil || !found {
			return err
		}
		var kept exchange.Exchange
		if err := r.Exchange.unpack(&kept); err != nil {
			return err
		}
		kept.Client, kept.Path, kept.Error, kept.Findings = e.Client, e.Path, e.Error, e.Findings
		amended, err := newRow(generation, kept)
		if err != nil {
			return err
		}
		marks := map[mark]bool{}
		for _, s := range kept.Secrets() {
			marks[secretMark(generation, s.Fingerprint, dayOf(kept.Started))] = true
		}
		if err := l.make(ctx, marks); err != nil { // first, so that no secret is ever out of sight
			return err
		}
		written, err := l.table.put(ctx, amended, "exchange = :exchange AND counted = :counted",
			item{":exchange": binary(r.Exchange), ":counted": binary(r.Counted)})
		if err != nil {
			return err
		}
		if written {
			above := newStale(generation)
			if err := above.note(amended); err != nil {
				return err
			}
			return l.refresh(ctx, above)
		}
	}
	return errors.New("it is being written by others all the time: try again")
}
