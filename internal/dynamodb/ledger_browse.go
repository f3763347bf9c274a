package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Exchanges returns the exchanges that the query chooses, the newest first,
// without their findings. Where a developer, a team, a session, a model or a
// failure is asked for, the sums say in which quarters of an hour there are any,
// and of these the index says which: rows are read that are wanted, or nearly.
// Otherwise rows are read from the newest on until there are enough.
func (l *Ledger) Exchanges(ctx context.Context, q ledger.ExchangeQuery) (all []exchange.Exchange, err error) {
	if born, err := exchange.IDTime(q.Session); err == nil && q.From.IsZero() {
		q.From = born.Add(-clocksDiffer)
	}
	err = l.read(ctx, func(ctx context.Context, generation string) (err error) {
		all = []exchange.Exchange{}
		switch {
		case q.ID != "":
			return l.exchange(ctx, generation, q, &all)
		case isNarrow(q):
			all, err = l.narrowed(ctx, generation, q)
			return err
		}
		return l.newestFirst(ctx, generation, q, func(r rowItem, e exchange.Exchange) error {
			if chosenExchange(q, r, e) {
				all = append(all, e)
			}
			if len(all) >= q.Limit {
				return errEnough
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the ledger's exchanges: %w", err)
	}
	return all, nil
}

// clocksDiffer is how much later than its exchanges a session can say that it began.
const clocksDiffer = 24 * time.Hour

// errEnough ends a walk.
var errEnough = errors.New("enough")

// exchange adds the exchange of the query's id, if the query chooses it.
func (l *Ledger) exchange(ctx context.Context, generation string, q ledger.ExchangeQuery, all *[]exchange.Exchange) error {
	at, err := exchange.IDTime(q.ID)
	if err != nil {
		return nil // no exchange has such an id
	}
	rows, err := l.load(ctx, []item{key(rowsPart(generation, dayOf(at)), q.ID)})
	if err != nil {
		return err
	}
	for _, r := range rows {
		if chosenExchange(q, r.rowItem, r.is) {
			*all = append(*all, r.is)
		}
	}
	return nil
}

func chosenExchange(q ledger.ExchangeQuery, r rowItem, e exchange.Exchange) bool {
	return q.Chooses(e) && (!q.Secrets || r.SecretsOf != "")
}

// These are how many rows are read with one call, at least and at most.
const leastOfPage, mostOfPage = 100, 1000

// newestFirst calls each with the rows of exchanges that began in the query's time
// and whose ids sort before its id, from the newest on, until it returns an error;
// errEnough is none.
func (l *Ledger) newestFirst(ctx context.Context, generation string, q ledger.ExchangeQuery, each func(rowItem, exchange.Exchange) error) error {
	days, err := l.newestDays(ctx, generation, q.From, latest(q.To, q.Before))
	if err != nil {
		return err
	}
	first, last := "0", "g" // ids are hexadecimal digits and dashes
	if !q.From.IsZero() {
		first = idFrom(q.From)
	}
	if !q.To.IsZero() {
		last = idFrom(q.To)
	}
	if q.Before != "" {
		last = min(last, q.Before)
	}
	for _, day := range days {
		page := within(rowsPart(generation, day), "")
		page.KeyConditionExpression = aws.String("part = :part AND sort BETWEEN :first AND :last")
		page.ExpressionAttributeValues[":first"], page.ExpressionAttributeValues[":last"] = text(first), text(last)
		page.ScanIndexForward = aws.Bool(false)
		page.Limit = aws.Int32(int32(min(max(q.Limit, leastOfPage), mostOfPage)))
		err := l.table.query(ctx, page, func(found item) error {
			r, e, err := l.row(found)
			if err != nil {
				return err
			}
			return each(r, e)
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// latest is the time after which no exchange began that began before to and not
// after the one with an id; zero where there is none.
func latest(to time.Time, before string) time.Time {
	if !to.IsZero() {
		to = to.Add(-1)
	}
	if at, err := exchange.IDTime(before); err == nil && (to.IsZero() || at.Before(to)) {
		return at.Add(time.Millisecond - 1)
	}
	return to
}

// newestDays returns the days that have rows of exchanges that began from a time on
// and not after another, the newest first.
func (l *Ledger) newestDays(ctx context.Context, generation string, from, last time.Time) ([]string, error) {
	if !last.IsZero() {
		if last.Before(from) {
			return nil, nil
		}
		last = last.Add(1)
	}
	days, err := l.days(ctx, generation, from, last)
	slices.Reverse(days)
	return days, err
}

// row decodes a row.
func (l *Ledger) row(found item) (r rowItem, e exchange.Exchange, err error) {
	if err = l.table.decode(found, &r); err == nil {
		err = r.Exchange.unpack(&e)
	}
	return r, e, err
}

// idFrom is what sorts before every id that is made at the given time or later, and
// after every earlier one.
func idFrom(at time.Time) string {
	const timeDigits = 13 // 12 digits and a dash
	return exchange.NewID(at)[:timeDigits]
}
