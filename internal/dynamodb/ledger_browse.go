package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Exchanges returns the exchanges that the query chooses, the newest first,
// without their findings. It reads rows from the newest on, day by day, until it
// has enough: what the filters leave out is read as well.
func (l *Ledger) Exchanges(ctx context.Context, q ledger.ExchangeQuery) (all []exchange.Exchange, err error) {
	err = l.read(ctx, func(ctx context.Context, generation string) error {
		all = []exchange.Exchange{}
		if q.ID != "" {
			return l.exchange(ctx, generation, q, &all)
		}
		return l.newestFirst(ctx, generation, q.From, q.To, q.Before, func(r rowItem, e exchange.Exchange) error {
			if chosenExchange(q, r, e) {
				all = append(all, e)
			}
			if len(all) == q.Limit {
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

// errEnough ends a walk.
var errEnough = errors.New("enough")

// exchange adds the exchange of the query's id, if the query chooses it.
func (l *Ledger) exchange(ctx context.Context, generation string, q ledger.ExchangeQuery, all *[]exchange.Exchange) error {
	at, err := exchange.IDTime(q.ID)
	if err != nil {
		return nil // no exchange has such an id
	}
	var r rowItem
	found, err := l.table.get(ctx, key(rowsPart(generation, dayOf(at)), q.ID), &r)
	if err != nil || !found {
		return err
	}
	var e exchange.Exchange
	if err := r.Exchange.unpack(&e); err != nil {
		return err
	}
	if chosenExchange(q, r, e) {
		*all = append(*all, e)
	}
	return nil
}

func chosenExchange(q ledger.ExchangeQuery, r rowItem, e exchange.Exchange) bool {
	return isWithin(q.From, q.To, q.Before, e) &&
		(q.Developer == "" || e.Developer == q.Developer) &&
		(q.Team == "" || e.Team == q.Team) &&
		(q.Session == "" || e.Session == q.Session) &&
		(q.Model == "" || e.Model == q.Model) &&
		(q.Outcome == "" || e.Outcome == q.Outcome) &&
		(q.Origin == "" || e.ErrorOrigin == q.Origin) &&
		(q.Transport == "" || e.Transport == q.Transport) &&
		(q.Refusal == "" || e.Refusal == q.Refusal) &&
		(q.Status == 0 || e.Status == q.Status) &&
		(!q.Secrets || r.SecretsOf != "")
}

// isWithin tells whether an exchange began in [from, to) and sorts before an id.
func isWithin(from, to time.Time, before string, e exchange.Exchange) bool {
	return (from.IsZero() || !e.Started.Before(from)) && (to.IsZero() || e.Started.Before(to)) && (before == "" || e.ID < before)
}

// newestFirst calls each with the rows of exchanges that began in [from, to) and
// whose ids sort before one, from the newest on, until it returns an error;
// errEnough is none.
func (l *Ledger) newestFirst(ctx context.Context, generation string, from, to time.Time, before string, each func(rowItem, exchange.Exchange) error) error {
	if at, err := exchange.IDTime(before); err == nil && (to.IsZero() || at.Before(to)) {
		to = at.Add(time.Millisecond)
	}
	if !to.IsZero() && !from.Before(to) {
		return nil
	}
	days, err := l.days(ctx, generation, from, to)
	if err != nil {
		return err
	}
	slices.Reverse(days)
	for _, day := range days {
		q := within(rowsPart(generation, day), "")
		if before != "" {
			q.KeyConditionExpression = aws.String("part = :part AND sort < :before")
			q.ExpressionAttributeValues[":before"] = text(before)
		}
		q.ScanIndexForward = aws.Bool(false)
		if err := l.walk(ctx, q, each); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) walk(ctx context.Context, q sdk.QueryInput, each func(rowItem, exchange.Exchange) error) error {
	return l.table.query(ctx, q, func(found item) error {
		var r rowItem
		var e exchange.Exchange
		if err := l.table.decode(found, &r); err != nil {
			return err
		}
		if err := r.Exchange.unpack(&e); err != nil {
			return err
		}
		return each(r, e)
	})
}

// Sessions returns the sessions that the query chooses, the one that was used last
// first. It reads rows from the newest on, as the first of a session that is met
// is its last; what the session adds up to comes from the sums.
func (l *Ledger) Sessions(ctx context.Context, q ledger.SessionQuery) (all []ledger.Session, err error) {
	err = l.read(ctx, func(ctx context.Context, generation string) error {
		type of struct{ session, developer string }
		met := map[of]bool{}
		all = []ledger.Session{}
		err := l.newestFirst(ctx, generation, q.From, time.Time{}, "", func(_ rowItem, e exchange.Exchange) error {
			this := of{e.Session, e.Developer}
			if e.Session == "" || met[this] {
				return nil
			}
			met[this] = true
			if isWithin(q.From, q.To, q.Before, e) && (q.Developer == "" || e.Developer == q.Developer) && (q.Team == "" || e.Team == q.Team) &&
				(q.Model == "" || e.Model == q.Model) && (q.Outcome == "" || e.Outcome == q.Outcome) {
				all = append(all, ledger.Session{ID: e.Session, Developer: e.Developer, Team: e.Team, Last: e})
			}
			if len(all) == q.Limit {
				return errEnough
			}
			return nil
		})
		if err != nil {
			return err
		}
		var sessions []*ledger.Session
		for i := range all {
			sessions = append(sessions, &all[i])
		}
		return together(ctx, sessions, func(ctx context.Context, s *ledger.Session) error { return l.sumSession(ctx, generation, s) })
	})
	if err != nil {
		return nil, fmt.Errorf("list the ledger's sessions: %w", err)
	}
	return all, nil
}

// longestSession is how far back the beginning is looked for of a session whose id
// does not tell its time.
const longestSession = 90 * 24 * time.Hour

// sumSession adds up a session whose last exchange is known.
func (l *Ledger) sumSession(ctx context.Context, generation string, s *ledger.Session) error {
	from := s.Last.Started.Add(-longestSession)
	if born, err := exchange.IDTime(s.ID); err == nil && born.Before(s.Last.Started) && born.After(from) {
		from = born.Add(-24 * time.Hour) // clocks differ
	}
	models, first := map[string]bool{}, s.Last.Started
	err := l.sumsBetween(ctx, generation, from.Truncate(quarterLength), s.Last.Started.Add(time.Microsecond), s.Developer, func(sum sumOf) {
		if sum.Session != s.ID {
			return
		}
		s.Counts = s.Counts.Add(ledger.Counts(sum.Counts))
		if sum.Model != "" {
			models[sum.Model] = true
		}
		if sum.quarter.Before(first) {
			first = sum.quarter
		}
	})
	if err != nil {
		return err
	}
	s.Secrets, s.Models = ledger.Secrets{}, append([]string{}, sorted(models)...)
	return l.beginning(ctx, generation, first.Truncate(quarterLength), s)
}

// beginning looks for a session's first exchange in a quarter of an hour.
func (l *Ledger) beginning(ctx context.Context, generation string, quarter time.Time, s *ledger.Session) error {
	s.Begun = s.Last.Started
	q := within(rowsPart(generation, dayOf(quarter)), "")
	q.KeyConditionExpression = aws.String("part = :part AND sort BETWEEN :first AND :last")
	q.ExpressionAttributeValues[":first"], q.ExpressionAttributeValues[":last"] = text(idFrom(quarter)), text(idFrom(quarter.Add(quarterLength)))
	return l.walk(ctx, q, func(_ rowItem, e exchange.Exchange) error {
		if e.Session == s.ID && e.Developer == s.Developer && e.Started.Before(s.Begun) {
			s.Begun = e.Started
		}
		return nil
	})
}

// idFrom is what sorts before every id that is made at the given time or later, and
// after every earlier one.
func idFrom(at time.Time) string {
	const timeDigits = 13 // 12 digits and a dash
	return exchange.NewID(at)[:timeDigits]
}
