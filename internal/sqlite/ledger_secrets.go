package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/ledger"
)

// Incidents implements ledger.Store.
func (l *Ledger) Incidents(ctx context.Context, q ledger.IncidentQuery) ([]ledger.Incident, error) {
	where, arguments := chooseSecrets(q)
	rows, err := l.db.Reader().QueryContext(ctx, `
		SELECT fingerprint, json_group_array(DISTINCT rule), json_group_array(DISTINCT developer), count(DISTINCT nullif(session, '')),
			min(started), max(started), count(*), sum(new), sum(mode = 'report'), sum(mode = 'redact'), sum(mode = 'block')
		FROM secrets WHERE `+where+` GROUP BY fingerprint ORDER BY max(started) DESC, fingerprint`, arguments...)
	if err != nil {
		return nil, fmt.Errorf("read the ledger's secrets: %w", explain(err))
	}
	defer rows.Close()
	var all []ledger.Incident
	for rows.Next() {
		i, err := scanIncident(rows)
		if err != nil {
			return nil, fmt.Errorf("read the ledger's secrets: %w", err)
		}
		all = append(all, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the ledger's secrets: %w", explain(err))
	}
	return all, nil
}

func scanIncident(s scanner) (i ledger.Incident, err error) {
	var rules, developers string
	var first, last int64
	if err := s.Scan(&i.Fingerprint, &rules, &developers, &i.Sessions, &first, &last,
		&i.Exchanges, &i.New, &i.Left, &i.Redacted, &i.Blocked); err != nil {
		return i, err
	}
	if i.Rules, err = names(rules); err != nil {
		return i, err
	}
	if i.Developers, err = names(developers); err != nil {
		return i, err
	}
	i.First, i.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
	return i, nil
}

// names reads a list that SQLite wrote as JSON, and sorts it.
func names(list string) (all []string, err error) {
	if err := json.Unmarshal([]byte(list), &all); err != nil {
		return nil, err
	}
	slices.Sort(all)
	return all, nil
}

// chooseSecrets is the condition of a query on the table secrets.
func chooseSecrets(q ledger.IncidentQuery) (where string, arguments []any) {
	conditions := []string{"true"}
	choose := func(condition string, value any) {
		conditions, arguments = append(conditions, condition), append(arguments, value)
	}
	if !q.From.IsZero() {
		choose("started >= ?", q.From.UnixMicro())
	}
	if !q.To.IsZero() {
		choose("started < ?", q.To.UnixMicro())
	}
	if q.Fingerprint != "" {
		choose("fingerprint >= ?", q.Fingerprint)
		choose("fingerprint < ?", q.Fingerprint+"\U0010FFFF")
	}
	for _, f := range []struct{ column, value string }{
		{"developer", q.Developer}, {"team", q.Team}, {"rule", q.Rule}, {"mode", string(q.Mode)},
	} {
		if f.value != "" {
			choose(f.column+" = ?", f.value)
		}
	}
	return strings.Join(conditions, " AND "), arguments
}

// Sightings implements ledger.Store.
func (l *Ledger) Sightings(ctx context.Context, fingerprint string) iter.Seq2[ledger.Sighting, error] {
	return func(yield func(ledger.Sighting, error) bool) {
		rows, err := l.db.Reader().QueryContext(ctx, `
			SELECT s.fingerprint, s.rule, s.path, s.mode, s.places, s.new, s.exchange, s.started, s.developer, s.team, s.session, e.outcome
			FROM secrets s JOIN exchanges e ON e.id = s.exchange
			WHERE s.fingerprint = ? ORDER BY s.started, s.exchange`, fingerprint)
		if err != nil {
			yield(ledger.Sighting{}, fmt.Errorf("read the ledger's secrets: %w", explain(err)))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var s ledger.Sighting
			var started int64
			err := rows.Scan(&s.Fingerprint, &s.Rule, &s.Path, &s.Mode, &s.Places, &s.New, &s.Exchange, &started,
				&s.Developer, &s.Team, &s.Session, &s.Outcome)
			if err != nil {
				err = fmt.Errorf("read the ledger's secrets: %w", explain(err))
			}
			s.Started = time.UnixMicro(started).UTC()
			if !yield(s, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(ledger.Sighting{}, fmt.Errorf("read the ledger's secrets: %w", explain(err)))
		}
	}
}
