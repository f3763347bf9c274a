package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Reprice implements ledger.Store.
func (l *Ledger) Reprice(ctx context.Context, from, to time.Time, rate func(exchange.Exchange) exchange.Cost, dry bool) ([]ledger.Change, error) {
	changes := map[string]ledger.Change{}
	var err error
	if dry {
		err = l.db.read(ctx, func(tx *sql.Tx) error {
			return rated(ctx, tx, from, to, rate, changes, func(exchange.Exchange, ledger.Counts) error { return nil })
		})
	} else {
		err = l.db.Write(ctx, func(tx *sql.Tx) error {
			a, err := newAdder(ctx, tx)
			if err != nil {
				return err
			}
			defer a.close()
			update, err := tx.PrepareContext(ctx, `UPDATE exchanges SET cost = ?, cost_state = ?, price_book = ? WHERE id = ?`)
			if err != nil {
				return fmt.Errorf("prepare the ledger: %w", err)
			}
			defer update.Close()
			return rated(ctx, tx, from, to, rate, changes, func(e exchange.Exchange, difference ledger.Counts) error {
				if _, err := update.ExecContext(ctx, e.Cost.Nanos, e.Cost.State, e.Cost.Book, e.ID); err != nil {
					return fmt.Errorf("reprice the exchange %s: %w", e.ID, err)
				}
				return a.count(ctx, e, difference)
			})
		})
	}
	if err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(changes), func(a, b ledger.Change) int { return strings.Compare(a.Model, b.Model) }), nil
}

// rated rates every exchange of the time anew, notes the changes by model, and
// calls changed with each exchange whose cost is another, and with what that
// changes in the sums.
func rated(ctx context.Context, tx *sql.Tx, from, to time.Time, rate func(exchange.Exchange) exchange.Cost,
	changes map[string]ledger.Change, changed func(e exchange.Exchange, difference ledger.Counts) error,
) error {
	page, err := readPage(ctx, tx, from, "", to)
	for ; err == nil && len(page) > 0; page, err = readPage(ctx, tx, page[len(page)-1].Started, page[len(page)-1].ID, to) {
		for _, e := range page {
			if e.Cost.State == exchange.CostNone {
				continue
			}
			before, old := ledger.Count(e), e.Cost
			e.Cost = rate(e)
			after := ledger.Count(e)
			c := changes[e.Model]
			c.Model = e.Model
			c.Exchanges++
			c.OldNanos += before.CostNanos
			c.NewNanos += after.CostNanos
			c.Unpriced += after.Unpriced
			changes[e.Model] = c
			if e.Cost == old {
				continue
			}
			if err := changed(e, ledger.Counts{
				CostNanos: after.CostNanos - before.CostNanos, Unpriced: after.Unpriced - before.Unpriced,
			}); err != nil {
				return err
			}
		}
	}
	return err
}

// pageRows is how many rows are held in memory at once.
const pageRows = 1000

var selectPage = selectExchange + ` WHERE (started, id) > (?, ?) AND started < ? ORDER BY started, id LIMIT ?`

// readPage returns the next rows that began before to, after the one that began
// at from and has the given id.
func readPage(ctx context.Context, tx *sql.Tx, from time.Time, after string, to time.Time) (page []exchange.Exchange, err error) {
	rows, err := tx.QueryContext(ctx, selectPage,
		from.UnixMicro(), after, to.UnixMicro(), pageRows)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanExchange(rows)
		if err != nil {
			return nil, err
		}
		page = append(page, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the ledger: %w", explain(err))
	}
	return page, nil
}

func scanExchange(s scanner) (exchange.Exchange, error) {
	var r row
	if err := s.Scan(r.fields()...); err != nil {
		return exchange.Exchange{}, fmt.Errorf("read the ledger: %w", err)
	}
	r.Started = time.UnixMicro(r.started).UTC()
	if r.ended > 0 { // one that has not ended is before 1970
		r.Ended = time.UnixMicro(r.ended).UTC()
	}
	return r.Exchange, nil
}
