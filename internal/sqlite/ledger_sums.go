package sqlite

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"codex-proxy/internal/ledger"
)

// quarterSeconds is the length of a quarter of an hour.
const quarterSeconds = 15 * 60

func quarter(t time.Time) int64 { return t.Unix() / quarterSeconds }

// Spent implements ledger.Store.
func (l *Ledger) Spent(ctx context.Context, developer, team string, from, to time.Time) (nanos int64, err error) {
	column, value := "developer", developer
	if developer == "" {
		column, value = "team", team
	}
	err = l.db.Reader().QueryRowContext(ctx,
		`SELECT coalesce(sum(cost), 0) FROM sums WHERE `+column+` = ? AND quarter >= ? AND quarter < ?`,
		value, quarter(from), quarter(to)).Scan(&nanos)
	if err != nil {
		return 0, fmt.Errorf("sum what was spent: %w", explain(err))
	}
	return nanos, nil
}

// Sums implements ledger.Store.
func (l *Ledger) Sums(ctx context.Context, q ledger.Query) iter.Seq2[ledger.Sum, error] {
	key := map[ledger.By]string{
		ledger.ByDeveloper: "developer", ledger.ByMember: "developer", ledger.ByTeam: "team", ledger.ByModel: "model", ledger.BySession: "session", ledger.ByDay: "quarter",
	}[q.By]
	team := "''"
	if q.By == ledger.ByMember {
		team = "team"
	}
	where, arguments := []string{"quarter >= ?", "quarter < ?"}, []any{quarter(q.From), quarter(q.To)}
	for _, f := range []struct{ column, value string }{{"developer", q.Developer}, {"team", q.Team}, {"model", q.Model}} {
		if f.value != "" {
			where, arguments = append(where, f.column+" = ?"), append(arguments, f.value)
		}
	}
	query := `SELECT ` + key + `, ` + team + `, model, sum(records), sum(requests), sum(warmups), sum(refused), sum(errors),
		sum(input), sum(cached), sum(output), sum(reasoning), sum(total), sum(cost), sum(unpriced), sum(estimated), sum(missing), sum(cache_write),
		sum(secrets_reported), sum(secrets_redacted), sum(secrets_blocked), sum(errors_openai), sum(errors_proxy), sum(errors_client)
		FROM sums WHERE ` + strings.Join(where, " AND ") + ` GROUP BY 1, 2, 3`
	return func(yield func(ledger.Sum, error) bool) {
		rows, err := l.db.Reader().QueryContext(ctx, query, arguments...)
		if err != nil {
			yield(ledger.Sum{}, fmt.Errorf("sum the ledger: %w", explain(err)))
			return
		}
		defer rows.Close()
		for rows.Next() {
			var s ledger.Sum
			var number int64
			var key any = &s.Key
			if q.By == ledger.ByDay {
				key = &number
			}
			u := &s.Usage
			err := rows.Scan(key, &s.Team, &s.Model, &s.Records, &s.Requests, &s.Warmups, &s.Refused, &s.Errors,
				&u.Input, &u.Cached, &u.Output, &u.Reasoning, &u.Total, &s.CostNanos, &s.Unpriced, &s.Estimated, &s.Missing, &u.CacheWrite,
				&s.Secrets.Reported, &s.Secrets.Redacted, &s.Secrets.Blocked, &s.ErrorsBy.OpenAI, &s.ErrorsBy.Proxy, &s.ErrorsBy.Client)
			if q.By == ledger.ByDay {
				s.Quarter = time.Unix(number*quarterSeconds, 0).UTC()
			}
			if err != nil {
				err = fmt.Errorf("sum the ledger: %w", explain(err))
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(ledger.Sum{}, fmt.Errorf("sum the ledger: %w", explain(err)))
		}
	}
}
