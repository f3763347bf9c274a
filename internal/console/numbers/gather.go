package numbers

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/ledger"
)

// tally is what the exchanges of a period add up to: in all, by group, and by
// group in each step.
type tally struct {
	Total  group
	Groups map[string]*group
	// Steps are those of the period.
	Steps []step
}

// step is what the exchanges of a step add up to.
type step struct {
	Total  group
	Groups map[string]*group
}

// atOnce is how many parts of an overview are read at a time.
const atOnce = 4

// gather adds up a period by what the filter groups by. Every step is read at one
// moment; one that still runs may be read a moment after the others.
func (v *view) gather(ctx context.Context, f filter, p period) (*tally, error) {
	t := &tally{Groups: map[string]*group{}, Steps: make([]step, len(p.Begins))}
	var mu sync.Mutex
	reading, ctx := errgroup.WithContext(ctx)
	reading.SetLimit(atOnce)
	for i, begin := range p.Begins {
		if !begin.Before(p.Until) {
			break // the future
		}
		reading.Go(func() error {
			s := step{Groups: map[string]*group{}}
			for sum, err := range v.Ledger.Sums(ctx, f.ledger(ledger.ByMember, begin, earlier(p.end(i), p.Until))) {
				if err != nil {
					return err
				}
				s.Total.add(sum)
				addTo(s.Groups, f.key(sum), sum)
			}
			mu.Lock()
			defer mu.Unlock()
			t.Steps[i] = s
			t.Total.merge(&s.Total)
			for key, g := range s.Groups {
				into(t.Groups, key).merge(g)
			}
			return nil
		})
	}
	return t, reading.Wait()
}

// key is the group that a sum belongs to.
func (f filter) key(s ledger.Sum) string {
	switch f.By {
	case ledger.ByTeam:
		return s.Team
	case ledger.ByModel:
		return s.Model
	}
	return s.Key
}

func addTo(groups map[string]*group, key string, s ledger.Sum) { into(groups, key).add(s) }

func into(groups map[string]*group, key string) *group {
	g := groups[key]
	if g == nil {
		g = &group{}
		groups[key] = g
	}
	return g
}

// merge adds what another group adds up to.
func (g *group) merge(other *group) {
	g.Counts = g.Counts.Add(other.Counts)
	if g.developers == nil {
		g.developers = map[string]bool{}
	}
	maps.Copy(g.developers, other.developers)
}

// ranked are the keys of the groups, those with most of the metric first.
func (t *tally) ranked(m metric) []string {
	keys := slices.Collect(maps.Keys(t.Groups))
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(
			cmp.Compare(m.value(t.Groups[b]), m.value(t.Groups[a])),
			cmp.Compare(t.Groups[b].Requests, t.Groups[a].Requests),
			cmp.Compare(a, b),
		)
	})
	return keys
}

// unmask finds the developer whose pseudonym the filter names, for a viewer who
// sees no others. A name that is nobody's chooses nobody.
func (v *view) unmask(ctx context.Context, f *filter, from, to time.Time) error {
	if !v.Viewer.Pseudonyms || f.Developer == "" || f.Fixed {
		return nil
	}
	f.whose = ""
	for sum, err := range v.Ledger.Sums(ctx, f.ledger(ledger.ByDeveloper, from, to)) {
		if err != nil {
			return err
		}
		if v.name(sum.Key) == f.Developer {
			f.whose = sum.Key
			return nil
		}
	}
	return visit.NotFound("Nobody of this name used the proxy in this time.")
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
