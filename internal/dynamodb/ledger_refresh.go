package dynamodb

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"codex-proxy/internal/ledger"
)

// stale gathers the sums that rows which were put or repriced have made stale.
type stale struct {
	generation string

	mu       sync.Mutex
	quarters map[quarter]bool
	spent    map[dayCost]bool
}

// quarter names the sums of one developer and quarter of an hour of a day.
type quarter struct{ day, of string }

// dayCost names what a developer's exchanges of a day, in one team, cost.
type dayCost struct{ day, developer, team string }

func newStale(generation string) *stale {
	return &stale{generation: generation, quarters: map[quarter]bool{}, spent: map[dayCost]bool{}}
}

// note notes what lies above a row.
func (s *stale) note(r rowItem) error {
	day := r.Part[strings.LastIndexByte(r.Part, '#')+1:]
	developer, _, _ := strings.Cut(r.QuarterOf, "#")
	var c counted
	if err := r.Counted.unpack(&c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quarters[quarter{day, r.QuarterOf}] = true
	s.spent[dayCost{day, developer, name(c.Team)}] = true
	return nil
}

// refresh computes anew what is stale, level by level.
func (l *Ledger) refresh(ctx context.Context, s *stale) error {
	err := together(ctx, slices.Collect(maps.Keys(s.quarters)), func(ctx context.Context, q quarter) error {
		return l.refreshQuarter(ctx, s.generation, q)
	})
	if err != nil {
		return err
	}
	return together(ctx, slices.Collect(maps.Keys(s.spent)), func(ctx context.Context, c dayCost) error {
		return l.refreshSpent(ctx, s.generation, c)
	})
}

// sumsItem is what a developer's exchanges of a quarter of an hour add up to.
type sumsItem struct {
	Part    string `dynamodbav:"part"`
	Sort    string `dynamodbav:"sort"`
	Version int64  `dynamodbav:"version"`
	// Sums are a []counted, packed, one for each team, session and model.
	Sums packed `dynamodbav:"sums"`
}

func sumsPart(generation, day string) string { return generation + "#sums#" + day }

// unlessChanged is the condition that nobody has written an item since it was
// read with a version, which is 0 where there was none.
const unlessChanged = "attribute_not_exists(version) OR version = :version"

// overtaken is by how many versions an item has moved on, since a writer first read
// it, when that writer has nothing left to do: others have counted what it put
// below. Who wrote the first of these versions may have read the rows before the
// writer put its own. Who wrote the second has read the first, and the rows after
// that. So whoever else writes, and whatever answers get lost, a writer is through
// after two writes that fail.
const overtaken = 2

// refreshQuarter computes sums from the rows below them.
func (l *Ledger) refreshQuarter(ctx context.Context, generation string, q quarter) error {
	var first int64
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		// The version is read before the rows: if anybody writes these sums from
		// here on, knowing of a row that this does not, the write below fails. It
		// is written even if it says what stands there, as whoever has read an
		// older row must fail in turn.
		s := sumsItem{Part: sumsPart(generation, q.day), Sort: q.of}
		if _, err := l.table.get(ctx, key(s.Part, s.Sort), &s); err != nil {
			return err
		}
		if try == 0 {
			first = s.Version
		}
		if s.Version >= first+overtaken {
			return nil
		}
		sums, err := l.sumRows(ctx, generation, q)
		if err != nil {
			return err
		}
		before := s.Version
		s.Version, s.Sums = before+1, sums
		if written, err := l.table.put(ctx, s, unlessChanged, item{":version": number(before)}); err != nil || written {
			return err
		}
	}
	return fmt.Errorf("the sums of %s %s are being written by others all the time: try again", q.day, q.of)
}

// sumRows sums up the rows of a quarter of an hour, always in the same order.
func (l *Ledger) sumRows(ctx context.Context, generation string, q quarter) (packed, error) {
	type group struct{ team, session, model string }
	sums, delays := map[group]ledger.Counts{}, map[group]ledger.Delays{}
	entries, err := l.entries(ctx, generation, q)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		at := group{e.Team, e.Session, e.Model}
		sums[at] = sums[at].Add(ledger.Counts(e.Counts))
		if delays[at] == nil {
			delays[at] = ledger.Delays{}
		}
		delays[at].Add(e.Delays)
	}
	var all []counted
	for at, counts := range sums {
		all = append(all, counted{at.team, at.session, at.model, countsItem(counts), delays[at]})
	}
	slices.SortFunc(all, func(a, b counted) int {
		return cmp.Or(cmp.Compare(a.Team, b.Team), cmp.Compare(a.Session, b.Session), cmp.Compare(a.Model, b.Model))
	})
	return pack(all)
}

// spentItem is what a developer's exchanges of a day, in one team, cost, in USD
// nanos. It is there twice: in the developer's month and in the team's.
type spentItem struct {
	Part    string `dynamodbav:"part"`
	Sort    string `dynamodbav:"sort"`
	Version int64  `dynamodbav:"version"`
	Nanos   int64  `dynamodbav:"nanos"`
}

// spentPart names a month of a developer ("developer") or a team ("team"), whose
// name is a piece of a key already. A month is such as 2026-11.
func spentPart(generation, kind, of, month string) string {
	return generation + "#spent#" + kind + "#" + of + "#" + month
}

// refreshSpent computes the cost of a day from the sums below it, as
// refreshQuarter does.
func (l *Ledger) refreshSpent(ctx context.Context, generation string, c dayCost) error {
	month, day := c.day[:len("2006-01")], c.day[len("2006-01-"):]
	both := [2]spentItem{
		{Part: spentPart(generation, "developer", c.developer, month), Sort: day + "#" + c.team},
		{Part: spentPart(generation, "team", c.team, month), Sort: day + "#" + c.developer},
	}
	var first [len(both)]int64
	var done [len(both)]bool
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return err
		}
		if err := l.readSpent(ctx, &both); err != nil {
			return err
		}
		if try == 0 {
			first = [...]int64{both[0].Version, both[1].Version}
		}
		nanos, err := l.sumDay(ctx, generation, c)
		if err != nil {
			return err
		}
		for i, s := range both {
			if done[i] = done[i] || s.Version >= first[i]+overtaken; done[i] {
				continue
			}
			before := s.Version
			s.Version, s.Nanos = before+1, nanos
			if done[i], err = l.table.put(ctx, s, unlessChanged, item{":version": number(before)}); err != nil {
				return err
			}
		}
		if done[0] && done[1] {
			return nil
		}
	}
	return fmt.Errorf("the cost of %s of %s is being written by others all the time: try again", c.day, c.developer)
}

// readSpent reads the versions of a day's cost.
func (l *Ledger) readSpent(ctx context.Context, both *[2]spentItem) error {
	var keys []item
	for i := range both {
		both[i].Version, both[i].Nanos = 0, 0
		keys = append(keys, key(both[i].Part, both[i].Sort))
	}
	return l.table.getAll(ctx, keys, func(found item) error {
		var s spentItem
		err := l.table.decode(found, &s)
		for i := range both {
			if both[i].Part == s.Part {
				both[i] = s
			}
		}
		return err
	})
}

// sumDay sums up what a developer's exchanges of a day cost in one team.
func (l *Ledger) sumDay(ctx context.Context, generation string, c dayCost) (nanos int64, err error) {
	err = l.sums(ctx, generation, c.day, c.developer+"#", func(_ sumsItem, sum counted) error {
		if name(sum.Team) == c.team {
			nanos += sum.Counts.CostNanos
		}
		return nil
	})
	return nanos, err
}

// sums calls each with the sums of a day whose sort begins with a prefix.
func (l *Ledger) sums(ctx context.Context, generation, day, prefix string, each func(sumsItem, counted) error) error {
	return l.table.query(ctx, within(sumsPart(generation, day), prefix), func(found item) error {
		var s sumsItem
		if err := l.table.decode(found, &s); err != nil {
			return err
		}
		var all []counted
		if err := s.Sums.unpack(&all); err != nil {
			return err
		}
		for _, sum := range all {
			if err := each(s, sum); err != nil {
				return err
			}
		}
		return nil
	})
}
