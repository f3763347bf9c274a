package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// The sums lead to rows: what a developer's exchanges of a quarter of an hour add
// up to says whose session, team and model they were of.

// cell is what a developer's exchanges of a quarter of an hour add up to.
type cell struct {
	quarter
	sums []counted
}

// developer is whose it is, as a piece of a key; clock is when it began.
func (c cell) developer() string { return c.of[:strings.IndexByte(c.of, '#')] }
func (c cell) clock() string     { return c.of[strings.IndexByte(c.of, '#')+1:] }

// isAfter tells whether all exchanges in the cell began after a time; none did
// after zero.
func (c cell) isAfter(at time.Time) bool {
	return !at.IsZero() && c.day+c.clock() > at.UTC().Format(dayForm+clockForm)
}

// quarters calls each with the cells of one quarter of an hour after the other,
// the newest first, until it returns an error; errEnough is none. The days begin
// with the newest. Cells are those of one developer, or of all when developer is
// empty. More and more days are read at once, as whoever has not found enough in
// many is looking for what is rare.
func (l *Ledger) quarters(ctx context.Context, generation string, days []string, developer string, each func([]cell) error) error {
	prefix := ""
	if developer != "" {
		prefix = name(developer) + "#"
	}
	for size := 1; len(days) > 0; size = min(2*size, atOnce) {
		chunk := days[:min(size, len(days))]
		days = days[len(chunk):]
		var mu sync.Mutex
		of := map[string][]cell{}
		err := together(ctx, chunk, func(ctx context.Context, day string) error {
			cells, err := l.cells(ctx, generation, day, prefix)
			mu.Lock()
			defer mu.Unlock()
			of[day] = cells
			return err
		})
		if err != nil {
			return err
		}
		for _, day := range chunk {
			for cells := of[day]; len(cells) > 0; {
				n := slices.IndexFunc(cells, func(c cell) bool { return c.clock() != cells[0].clock() })
				if n < 0 {
					n = len(cells)
				}
				if err := each(cells[:n]); errors.Is(err, errEnough) {
					return nil
				} else if err != nil {
					return err
				}
				cells = cells[n:]
			}
		}
	}
	return nil
}

// cells returns the cells of a day, the newest first.
func (l *Ledger) cells(ctx context.Context, generation, day, prefix string) (all []cell, err error) {
	err = l.sums(ctx, generation, day, prefix, func(s sumsItem, sum counted) error {
		if len(all) == 0 || all[len(all)-1].of != s.Sort {
			all = append(all, cell{quarter: quarter{day, s.Sort}})
		}
		last := &all[len(all)-1]
		last.sums = append(last.sums, sum)
		return nil
	})
	slices.SortStableFunc(all, func(a, b cell) int { return cmp.Compare(b.clock(), a.clock()) })
	return all, err
}

// entry is what the index of a quarter of an hour says of an exchange.
type entry struct {
	id string
	counted
}

// entries returns those of a developer's quarter of an hour.
func (l *Ledger) entries(ctx context.Context, generation string, q quarter) (all []entry, err error) {
	err = l.table.query(ctx, sdk.QueryInput{
		IndexName: aws.String(byQuarter), KeyConditionExpression: aws.String("part = :part AND quarter_of = :quarter"),
		ExpressionAttributeValues: item{":part": text(rowsPart(generation, q.day)), ":quarter": text(q.of)},
	}, func(found item) error {
		var r rowItem
		var c counted
		if err := l.table.decode(found, &r); err != nil {
			return err
		}
		if err := r.Counted.unpack(&c); err != nil {
			return err
		}
		all = append(all, entry{r.Sort, c})
		return nil
	})
	return all, err
}

// loaded is a row, and the exchange in it.
type loaded struct {
	rowItem
	is exchange.Exchange
}

// load returns the rows that there are under keys, the newest first.
func (l *Ledger) load(ctx context.Context, keys []item) (all []loaded, err error) {
	var mu sync.Mutex
	err = together(ctx, slices.Collect(slices.Chunk(keys, most)), func(ctx context.Context, keys []item) error {
		return l.table.getAll(ctx, keys, func(found item) error {
			r, e, err := l.row(found)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, loaded{r, e})
			return err
		})
	})
	slices.SortFunc(all, func(a, b loaded) int { return cmp.Compare(b.is.ID, a.is.ID) })
	return all, err
}

// isNarrow tells whether sums say where the exchanges are that a query chooses.
func isNarrow(q ledger.ExchangeQuery) bool {
	return q.Developer != "" || q.Team != "" || q.Session != "" || q.Model != "" || q.Outcome != "" && q.Outcome != exchange.Completed
}

// mayHold tells whether there may be an exchange that a query chooses among those
// that sums are of.
func mayHold(q ledger.ExchangeQuery, sum counted) bool {
	switch q.Outcome {
	case "", exchange.Completed:
	case exchange.Refused:
		if sum.Counts.Refused == 0 {
			return false
		}
	default:
		if sum.Counts.Errors == 0 {
			return false
		}
	}
	return (q.Team == "" || q.Team == sum.Team) && (q.Session == "" || q.Session == sum.Session) && (q.Model == "" || q.Model == sum.Model)
}

// narrowed returns the exchanges that a narrow query chooses, the newest first. The
// cells of several quarters of an hour are looked into at once, as long as they may
// hold no more than there is room for.
func (l *Ledger) narrowed(ctx context.Context, generation string, q ledger.ExchangeQuery) ([]exchange.Exchange, error) {
	all := []exchange.Exchange{}
	last := latest(q.To, q.Before)
	days, err := l.newestDays(ctx, generation, q.From, last)
	if err != nil {
		return nil, err
	}
	var pending []cell
	look := func() error {
		rows, err := l.rowsOf(ctx, generation, pending, func(e entry) bool {
			return mayHold(q, e.counted) && (q.Before == "" || e.id < q.Before)
		})
		if err != nil {
			return err
		}
		for _, r := range rows {
			if chosenExchange(q, r.rowItem, r.is) {
				all = append(all, r.is)
			}
		}
		pending = pending[:0]
		return nil
	}
	held := int64(0)
	err = l.quarters(ctx, generation, days, q.Developer, func(cells []cell) error {
		for _, c := range cells {
			if n := c.mayHold(q); n > 0 && !c.isAfter(last) {
				pending = append(pending, c)
				held += n
			}
		}
		if len(all)+int(held) < q.Limit {
			return nil
		}
		if err := look(); err != nil {
			return err
		}
		if held = 0; len(all) >= q.Limit {
			return errEnough
		}
		return nil
	})
	if err == nil {
		err = look()
	}
	return all[:min(len(all), q.Limit)], err
}

// mayHold returns how many exchanges of the cell a query may choose.
func (c cell) mayHold(q ledger.ExchangeQuery) (records int64) {
	for _, sum := range c.sums {
		if mayHold(q, sum) {
			records += sum.Counts.Records
		}
	}
	return records
}

// rowsOf returns the rows of cells that are wanted, the newest first.
func (l *Ledger) rowsOf(ctx context.Context, generation string, cells []cell, wanted func(entry) bool) ([]loaded, error) {
	var mu sync.Mutex
	var keys []item
	err := together(ctx, cells, func(ctx context.Context, c cell) error {
		entries, err := l.entries(ctx, generation, c.quarter)
		mu.Lock()
		defer mu.Unlock()
		for _, e := range entries {
			if wanted(e) {
				keys = append(keys, key(rowsPart(generation, c.day), e.id))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.load(ctx, keys)
}
