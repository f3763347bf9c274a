package dynamodb

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"codex-proxy/internal/ledger"
)

// Sums implements ledger.Store: one query for each day that has exchanges.
func (l *Ledger) Sums(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Sum, error] {
	return func(yield func(ledger.Sum, error) bool) {
		type group struct {
			key, team string
			quarter   time.Time
			model     string
		}
		var sums map[group]ledger.Counts
		err := l.read(ctx, func(ctx context.Context, generation string) error {
			sums = map[group]ledger.Counts{}
			return l.sumsBetween(ctx, generation, q.From, q.To, q.Developer, func(s sumOf) {
				if q.Team != "" && q.Team != s.Team || q.Model != "" && q.Model != s.Model {
					return
				}
				at := group{model: s.Model}
				switch q.By {
				case ledger.ByDeveloper:
					at.key = s.developer
				case ledger.ByMember:
					at.key, at.team = s.developer, s.Team
				case ledger.ByTeam:
					at.key = s.Team
				case ledger.ByModel:
					at.key = s.Model
				case ledger.BySession:
					at.key = s.Session
				case ledger.ByDay:
					at.quarter = s.quarter
				}
				sums[at] = sums[at].Add(ledger.Counts(s.Counts))
			})
		})
		if err != nil {
			yield(ledger.Sum{}, fmt.Errorf("sum the ledger: %w", err))
			return
		}
		for at, counts := range sums {
			if !yield(ledger.Sum{Key: at.key, Team: at.team, Quarter: at.quarter, Model: at.model, Counts: counts}, nil) {
				return
			}
		}
	}
}

// Delays implements ledger.Store.
func (l *Ledger) Delays(ctx context.Context, developer string, from, to time.Time) (delays ledger.Delays, err error) {
	err = l.read(ctx, func(ctx context.Context, generation string) error {
		delays = ledger.Delays{}
		return l.sumsBetween(ctx, generation, from, to, developer, func(s sumOf) { delays.Add(s.Delays) })
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger's delays: %w", err)
	}
	return delays, nil
}

// sumOf is what a developer's exchanges of a quarter of an hour add up to, in one
// team, session and model.
type sumOf struct {
	developer string
	quarter   time.Time
	counted
}

// sumsBetween calls each, one call at a time, with the sums of the quarters of an
// hour in [from, to): those of one developer, or of all when developer is empty.
func (l *Ledger) sumsBetween(ctx context.Context, generation string, from, to time.Time, developer string, each func(sumOf)) error {
	if !from.Before(to) {
		return nil
	}
	days, err := l.days(ctx, generation, from, to)
	if err != nil {
		return err
	}
	prefix := ""
	if developer != "" {
		prefix = name(developer) + "#"
	}
	var mu sync.Mutex
	return together(ctx, days, func(ctx context.Context, day string) error {
		return l.sums(ctx, generation, day, prefix, func(item sumsItem, sum counted) error {
			piece, clock, _ := strings.Cut(item.Sort, "#")
			quarter, err := time.Parse(dayForm+clockForm, day+clock)
			if err != nil {
				return err
			}
			whose, err := unnamed(piece)
			if err != nil || quarter.Before(from) || !quarter.Before(to) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			each(sumOf{whose, quarter, sum})
			return nil
		})
	})
}

// Spent implements ledger.Store: one query for each month, and the sums of those
// days at the ends that are not whole.
func (l *Ledger) Spent(ctx context.Context, developer, team string, from, to time.Time) (nanos int64, err error) {
	from, to = from.UTC(), to.UTC()
	err = l.read(ctx, func(ctx context.Context, generation string) (err error) {
		nanos, err = l.spent(ctx, generation, developer, team, from, to)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("sum what was spent: %w", err)
	}
	return nanos, nil
}

const dayLength = 24 * time.Hour

func (l *Ledger) spent(ctx context.Context, generation, developer, team string, from, to time.Time) (nanos int64, err error) {
	first, last := from.Truncate(dayLength), to.Truncate(dayLength) // whole days are in [first, last)
	if first.Before(from) {
		first = first.Add(dayLength)
	}
	if !first.Before(last) { // no day is whole
		return l.spentOfSums(ctx, generation, developer, team, from, to)
	}
	for _, end := range [][2]time.Time{{from, first}, {last, to}} {
		n, err := l.spentOfSums(ctx, generation, developer, team, end[0], end[1])
		if err != nil {
			return 0, err
		}
		nanos += n
	}
	months, err := l.months(ctx, generation, first, last)
	if err != nil {
		return 0, err
	}
	kind, of := "developer", name(developer)
	if developer == "" {
		kind, of = "team", name(team)
	}
	var mu sync.Mutex
	err = together(ctx, months, func(ctx context.Context, month string) error {
		return l.table.query(ctx, within(spentPart(generation, kind, of, month), ""), func(found item) error {
			var s spentItem
			if err := l.table.decode(found, &s); err != nil {
				return err
			}
			day, _, _ := strings.Cut(s.Sort, "#")
			if day = month + "-" + day; day >= dayOf(first) && day < dayOf(last) {
				mu.Lock()
				nanos += s.Nanos
				mu.Unlock()
			}
			return nil
		})
	})
	return nanos, err
}

// months returns the months in [from, to): of a longer time, those that have
// exchanges.
func (l *Ledger) months(ctx context.Context, generation string, from, to time.Time) (months []string, err error) {
	month := func(day string) string { return day[:len("2006-01")] }
	if first := month(dayOf(from)); first == month(dayOf(to.Add(-1))) {
		return []string{first}, nil
	}
	days, err := l.days(ctx, generation, from, to)
	for _, day := range days {
		months = append(months, month(day))
	}
	return slices.Compact(months), err
}

// spentOfSums is spent for a part of a day.
func (l *Ledger) spentOfSums(ctx context.Context, generation, developer, team string, from, to time.Time) (nanos int64, err error) {
	err = l.sumsBetween(ctx, generation, from, to, developer, func(s sumOf) {
		if developer != "" || s.Team == team {
			nanos += s.Counts.CostNanos
		}
	})
	return nanos, err
}
