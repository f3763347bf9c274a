package replay

import (
	"cmp"
	"context"
	"slices"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/record"
)

// Scan is a Ledger made of an archive alone, for a store that cannot list its
// rows. It opens record after record, so that a list costs what it looks
// through; a ledger with an index is for more than some thousand exchanges.
type Scan struct {
	Archive record.Source
	Now     func() time.Time
}

// scanDays is how far a look-up goes back that has no first day.
const scanDays = 90

// Exchanges implements Ledger. Its exchanges have their findings.
func (s Scan) Exchanges(ctx context.Context, q ledger.ExchangeQuery) ([]exchange.Exchange, error) {
	filter := s.days(q.From, q.To, q.Before)
	filter.Developer, filter.Session, filter.Model, filter.Outcome = q.Developer, q.Session, q.Model, q.Outcome
	if q.ID != "" {
		at, err := exchange.IDTime(q.ID)
		if err != nil {
			return nil, nil // no exchange has such an id
		}
		filter.First, filter.Last = at, at
	} else if began, err := exchange.IDTime(q.Session); err == nil && q.From.IsZero() {
		filter.First = began.AddDate(0, 0, -1) // clocks differ
	}
	var all []exchange.Exchange
	for e, err := range record.Exchanges(ctx, s.Archive, filter) {
		if err != nil {
			return nil, err
		}
		if len(all) == q.Limit {
			break
		}
		if q.Chooses(e) && (!q.Secrets || len(e.Findings) > 0) {
			all = append(all, e)
		}
	}
	return all, nil
}

// days are those of a query.
func (s Scan) days(from, to time.Time, before string) record.Filter {
	f := record.Filter{First: from, Last: to}
	if to.IsZero() {
		f.Last = s.Now().AddDate(0, 0, 1)
	}
	if at, err := exchange.IDTime(before); err == nil && at.Before(f.Last) {
		f.Last = at
	}
	if from.IsZero() {
		f.First = f.Last.AddDate(0, 0, -scanDays)
	}
	return f
}

// Sessions implements Ledger. What a session did before the query's first day is
// left out of its sums.
func (s Scan) Sessions(ctx context.Context, q ledger.SessionQuery) ([]ledger.Session, error) {
	type key struct{ developer, session string }
	sessions := map[key]*ledger.Session{}
	filter := s.days(q.From, q.To, "")
	filter.Developer = q.Developer
	for e, err := range record.Exchanges(ctx, s.Archive, filter) {
		if err != nil {
			return nil, err
		}
		if e.Session == "" || e.Started.Before(q.From) {
			continue
		}
		of := sessions[key{e.Developer, e.Session}]
		if of == nil { // the newest comes first
			of = &ledger.Session{ID: e.Session, Developer: e.Developer, Team: e.Team, Last: e, Models: []string{}}
			sessions[key{e.Developer, e.Session}] = of
		}
		of.Begun, of.Counts = e.Started, of.Counts.Add(ledger.Count(e))
		if e.Model != "" && !slices.Contains(of.Models, e.Model) {
			of.Models = append(of.Models, e.Model)
			slices.Sort(of.Models)
		}
	}
	var all []ledger.Session
	for _, of := range sessions {
		if q.Chooses(of.Last) {
			all = append(all, *of)
		}
	}
	slices.SortFunc(all, func(a, b ledger.Session) int { return cmp.Compare(b.Last.ID, a.Last.ID) })
	return all[:min(len(all), q.Limit)], nil
}
