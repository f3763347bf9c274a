package dynamodb

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Incidents implements ledger.Store: one query for each day that has exchanges,
// of those alone that carried secrets.
func (l *Ledger) Incidents(ctx context.Context, q ledger.IncidentQuery) (all []ledger.Incident, err error) {
	if !q.To.IsZero() && !q.From.Before(q.To) {
		return nil, nil
	}
	var found map[string]*incident
	err = l.read(ctx, func(ctx context.Context, generation string) error {
		found = map[string]*incident{}
		days, err := l.days(ctx, generation, q.From, q.To)
		if err != nil {
			return err
		}
		return l.sightings(ctx, generation, days, func(s ledger.Sighting) {
			if !chosen(q, s) {
				return
			}
			if found[s.Fingerprint] == nil {
				found[s.Fingerprint] = newIncident(s)
			}
			found[s.Fingerprint].add(s)
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read the ledger's secrets: %w", err)
	}
	for _, i := range found {
		all = append(all, i.whole())
	}
	slices.SortFunc(all, func(a, b ledger.Incident) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return all, nil
}

func chosen(q ledger.IncidentQuery, s ledger.Sighting) bool {
	return !s.Started.Before(q.From) && (q.To.IsZero() || s.Started.Before(q.To)) &&
		strings.HasPrefix(s.Fingerprint, q.Fingerprint) &&
		(q.Developer == "" || q.Developer == s.Developer) &&
		(q.Team == "" || q.Team == s.Team) &&
		(q.Rule == "" || q.Rule == s.Rule) &&
		(q.Mode == "" || q.Mode == s.Mode)
}

// incident gathers the sightings of one secret.
type incident struct {
	ledger.Incident
	rules, developers, sessions map[string]bool
}

func newIncident(s ledger.Sighting) *incident {
	return &incident{
		Incident: ledger.Incident{Fingerprint: s.Fingerprint, First: s.Started, Last: s.Started},
		rules:    map[string]bool{}, developers: map[string]bool{}, sessions: map[string]bool{},
	}
}

func (i *incident) add(s ledger.Sighting) {
	i.rules[s.Rule], i.developers[s.Developer] = true, true
	if s.Session != "" {
		i.sessions[s.Session] = true
	}
	if s.Started.Before(i.First) {
		i.First = s.Started
	}
	if s.Started.After(i.Last) {
		i.Last = s.Started
	}
	i.Exchanges++
	if s.New {
		i.New++
	}
	switch s.Mode {
	case exchange.Reported:
		i.Left++
	case exchange.Redacted:
		i.Redacted++
	case exchange.Blocked:
		i.Blocked++
	}
}

func (i *incident) whole() ledger.Incident {
	i.Rules, i.Developers, i.Sessions = sorted(i.rules), sorted(i.developers), int64(len(i.sessions))
	return i.Incident
}

// Sightings implements ledger.Store.
func (l *Ledger) Sightings(ctx context.Context, fingerprint string) iter.Seq2[ledger.Sighting, error] {
	return func(yield func(ledger.Sighting, error) bool) {
		var all []ledger.Sighting
		err := l.read(ctx, func(ctx context.Context, generation string) error {
			all = nil
			days, err := l.marks(ctx, secretMark(generation, fingerprint, "").Part)
			if err != nil {
				return err
			}
			return l.sightings(ctx, generation, days, func(s ledger.Sighting) {
				if s.Fingerprint == fingerprint {
					all = append(all, s)
				}
			})
		})
		if err != nil {
			yield(ledger.Sighting{}, fmt.Errorf("read the ledger's secrets: %w", err))
			return
		}
		slices.SortFunc(all, func(a, b ledger.Sighting) int {
			return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Exchange, b.Exchange))
		})
		for _, s := range all {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// sightings calls each, one call at a time, with the sightings of days.
func (l *Ledger) sightings(ctx context.Context, generation string, days []string, each func(ledger.Sighting)) error {
	var mu sync.Mutex
	return together(ctx, days, func(ctx context.Context, day string) error {
		q := within(rowsPart(generation, day), "")
		q.IndexName = aws.String(bySecrets)
		return l.table.query(ctx, q, func(found item) error {
			var r rowItem
			var all []ledger.Sighting
			if err := l.table.decode(found, &r); err != nil {
				return err
			}
			if err := r.Secrets.unpack(&all); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, s := range all {
				each(s)
			}
			return nil
		})
	})
}
