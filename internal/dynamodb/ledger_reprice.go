package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Reprice implements ledger.Store, day by day. Sums above rows that have their
// price already are computed anew, too, as an interrupted reprice may have left
// them behind.
func (l *Ledger) Reprice(ctx context.Context, from, to time.Time, rate func(exchange.Exchange) exchange.Cost, dry bool) ([]ledger.Change, error) {
	changes := map[string]ledger.Change{}
	err := l.reprice(ctx, from, to, dry, func(e *exchange.Exchange) {
		c := changes[e.Model]
		c.Model = e.Model
		c.Exchanges++
		c.OldNanos += ledger.Count(*e).CostNanos
		e.Cost = rate(*e)
		after := ledger.Count(*e)
		c.NewNanos += after.CostNanos
		c.Unpriced += after.Unpriced
		changes[e.Model] = c
	})
	if err != nil {
		return nil, fmt.Errorf("reprice the ledger: %w", err)
	}
	var all []ledger.Change
	for _, model := range sorted(changes) {
		all = append(all, changes[model])
	}
	return all, nil
}

func (l *Ledger) reprice(ctx context.Context, from, to time.Time, dry bool, rate func(*exchange.Exchange)) error {
	if !from.Before(to) {
		return nil
	}
	p, err := l.pointer(ctx)
	if err != nil {
		return err
	}
	if p.Next != "" && !dry {
		return errors.New("a rebuild of the ledger is under way or was interrupted: let it end, or run 'codex-proxy usage rebuild' again, and then reprice")
	}
	days, err := l.days(ctx, p.Current, from, to)
	if err != nil {
		return err
	}
	for _, day := range days {
		above := newStale(p.Current)
		var changed []rowItem
		err := l.rows(ctx, p.Current, day, func(r rowItem, e exchange.Exchange) error {
			if e.Cost.State == exchange.CostNone || e.Started.Before(from) || !e.Started.Before(to) {
				return nil
			}
			old := e.Cost
			rate(&e)
			if e.Cost != old {
				r.read = r.Exchange
				if err := r.set(e); err != nil {
					return err
				}
				changed = append(changed, r)
			}
			return above.note(r)
		})
		if err != nil {
			return err
		}
		if dry {
			continue
		}
		if err := together(ctx, changed, l.setCost); err != nil {
			return err
		}
		if err := l.refresh(ctx, above); err != nil {
			return err
		}
	}
	return nil
}

// set changes the row to an exchange of another cost. The row alone knows how many
// secrets it counts for, as the exchange in it has no findings.
func (r *rowItem) set(e exchange.Exchange) error {
	var before counted
	if err := r.Counted.unpack(&before); err != nil {
		return err
	}
	after := countOf(e)
	after.Counts.Secrets = before.Counts.Secrets
	var err, more error
	r.Exchange, err = pack(e)
	r.Counted, more = pack(after)
	return errors.Join(err, more)
}

// setCost writes what the cost of an exchange has changed in its row, unless that
// was amended since it was read.
func (l *Ledger) setCost(ctx context.Context, r rowItem) error {
	_, err := l.table.api.UpdateItem(ctx, &sdk.UpdateItemInput{
		TableName: &l.table.name, Key: key(r.Part, r.Sort),
		UpdateExpression:          aws.String("SET exchange = :exchange, counted = :counted"),
		ConditionExpression:       aws.String("exchange = :read OR exchange = :exchange"),
		ExpressionAttributeValues: item{":exchange": binary(r.Exchange), ":counted": binary(r.Counted), ":read": binary(r.read)},
	})
	written, err := l.table.held("write to", err)
	if err == nil && !written {
		err = fmt.Errorf("the exchange %s was repriced or amended meanwhile: run this again", r.Sort)
	}
	return err
}
