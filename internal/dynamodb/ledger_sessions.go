package dynamodb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Sessions returns the sessions that the query chooses, the one that was used last
// first. It reads sums from the newest on, as the first quarter of an hour that
// tells of a session has its last exchange, and rows only of those exchanges. So
// what a page costs grows with the days that lie after it.
func (l *Ledger) Sessions(ctx context.Context, q ledger.SessionQuery) (all []ledger.Session, err error) {
	err = l.read(ctx, func(ctx context.Context, generation string) (err error) {
		if all, err = l.newestSessions(ctx, generation, q); err != nil {
			return err
		}
		of := map[string][]*ledger.Session{}
		for i := range all {
			of[all[i].Developer] = append(of[all[i].Developer], &all[i])
		}
		return together(ctx, sorted(of), func(ctx context.Context, developer string) error {
			return l.sumSessions(ctx, generation, developer, of[developer])
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list the ledger's sessions: %w", err)
	}
	return all, nil
}

// sessionOf names a session of a developer, whose name is a piece of a key.
type sessionOf struct{ developer, session string }

// newestSessions returns the sessions that the query chooses with their last
// exchanges, and nothing else of them.
func (l *Ledger) newestSessions(ctx context.Context, generation string, q ledger.SessionQuery) ([]ledger.Session, error) {
	all := []ledger.Session{}
	days, err := l.newestDays(ctx, generation, q.From, time.Time{}) // the last is sought, wherever the page begins
	if err != nil {
		return nil, err
	}
	var pending []lastUsed
	look := func() error {
		rows, err := l.lastRows(ctx, generation, pending)
		if err != nil {
			return err
		}
		for _, r := range rows {
			e := r.is
			if q.Chooses(e) {
				all = append(all, ledger.Session{ID: e.Session, Developer: e.Developer, Team: e.Team, Last: e})
			}
		}
		pending = pending[:0]
		return nil
	}
	met, last, held := map[sessionOf]bool{}, latest(q.To, q.Before), 0
	err = l.quarters(ctx, generation, days, q.Developer, func(cells []cell) error {
		for _, c := range cells {
			unmet := c.unmet(met)
			if !c.isAfter(last) && slices.ContainsFunc(c.sums, func(sum counted) bool {
				return unmet[sum.Session] && (q.Team == "" || q.Team == sum.Team) && (q.Model == "" || q.Model == sum.Model)
			}) {
				pending = append(pending, lastUsed{c.quarter, unmet})
				held += len(unmet)
			}
		}
		if len(all)+held < q.Limit {
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

// lastUsed are sessions that were last used in a quarter of an hour.
type lastUsed struct {
	in       quarter
	sessions map[string]bool
}

// unmet returns the sessions of a cell that were not met before, and notes them.
func (c cell) unmet(met map[sessionOf]bool) map[string]bool {
	unmet := map[string]bool{}
	for _, sum := range c.sums {
		this := sessionOf{c.developer(), sum.Session}
		if sum.Session != "" && !met[this] {
			met[this], unmet[sum.Session] = true, true
		}
	}
	return unmet
}

// lastRows returns the last rows of sessions, the newest first.
func (l *Ledger) lastRows(ctx context.Context, generation string, used []lastUsed) ([]loaded, error) {
	var mu sync.Mutex
	var keys []item
	err := together(ctx, used, func(ctx context.Context, u lastUsed) error {
		entries, err := l.entries(ctx, generation, u.in)
		last := map[string]string{}
		for _, e := range entries {
			if u.sessions[e.Session] {
				last[e.Session] = max(last[e.Session], e.id)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, id := range last {
			keys = append(keys, key(rowsPart(generation, u.in.day), id))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return l.load(ctx, keys)
}

// longestSession is how far back the beginning is looked for of a session whose id
// does not tell its time.
const longestSession = 90 * 24 * time.Hour

// sumSessions adds up sessions of one developer whose last exchanges are known.
func (l *Ledger) sumSessions(ctx context.Context, generation, developer string, sessions []*ledger.Session) error {
	by := map[string]*ledger.Session{}
	first := map[string]time.Time{}
	var from, to time.Time
	for _, s := range sessions {
		by[s.ID], s.Models, first[s.ID] = s, []string{}, s.Last.Started
		begins := s.Last.Started.Add(-longestSession)
		if born, err := exchange.IDTime(s.ID); err == nil && born.After(begins) && born.Before(s.Last.Started) {
			begins = born.Add(-clocksDiffer)
		}
		if from.IsZero() || begins.Before(from) {
			from = begins
		}
		if s.Last.Started.After(to) {
			to = s.Last.Started
		}
	}
	err := l.sumsBetween(ctx, generation, from.Truncate(quarterLength), to.Add(time.Microsecond), developer, func(sum sumOf) {
		s := by[sum.Session]
		if s == nil {
			return
		}
		s.Counts = s.Counts.Add(ledger.Counts(sum.Counts))
		if sum.Model != "" && !slices.Contains(s.Models, sum.Model) {
			s.Models = append(s.Models, sum.Model)
		}
		if sum.quarter.Before(first[s.ID]) {
			first[s.ID] = sum.quarter
		}
	})
	if err != nil {
		return err
	}
	return together(ctx, sessions, func(ctx context.Context, s *ledger.Session) error {
		slices.Sort(s.Models)
		s.Secrets = ledger.Secrets{}
		return l.beginning(ctx, generation, first[s.ID], s)
	})
}

// beginning looks for a session's first exchange in its first quarter of an hour.
func (l *Ledger) beginning(ctx context.Context, generation string, in time.Time, s *ledger.Session) error {
	s.Begun = s.Last.Started
	first := exchange.Exchange{Developer: s.Developer, Started: in}
	entries, err := l.entries(ctx, generation, quarter{dayOf(in), quarterOf(first)})
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e entry) bool { return e.Session != s.ID })
	if len(entries) == 0 {
		return nil
	}
	oldest := slices.MinFunc(entries, func(a, b entry) int { return cmp.Compare(a.id, b.id) })
	rows, err := l.load(ctx, []item{key(rowsPart(generation, dayOf(in)), oldest.id)})
	for _, r := range rows {
		s.Begun = r.is.Started
	}
	return err
}
