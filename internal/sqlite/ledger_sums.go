package sqlite

import (
	"context"
	"database/sql"
	"errors"
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
	return func(yield func(ledger.Sum, error) bool) {
		parts := cover(q)
		if len(parts) == 1 {
			stopped := errors.New("stopped")
			err := l.sumPart(ctx, l.db.Reader(), q, parts[0], func(s ledger.Sum) error {
				if !yield(s, nil) {
					return stopped
				}
				return nil
			})
			if err != nil && !errors.Is(err, stopped) {
				yield(ledger.Sum{}, fmt.Errorf("sum the ledger: %w", explain(err)))
			}
			return
		}
		type group struct{ key, team, model string }
		sums := map[group]ledger.Counts{}
		err := l.db.read(ctx, func(tx *sql.Tx) error {
			for _, p := range parts {
				if err := l.sumPart(ctx, tx, q, p, func(s ledger.Sum) error {
					at := group{s.Key, s.Team, s.Model}
					sums[at] = sums[at].Add(s.Counts)
					return nil
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			yield(ledger.Sum{}, fmt.Errorf("sum the ledger: %w", explain(err)))
			return
		}
		for at, counts := range sums {
			if counts != (ledger.Counts{}) && !yield(ledger.Sum{Key: at.key, Team: at.team, Model: at.model, Counts: counts}, nil) {
				return
			}
		}
	}
}

// part is a time whose exchanges are part of a sum: rows of a table from one number
// of its first column to another.
type part struct {
	table, column string
	from, to      int64
	// less says that what they add up to is to be taken away.
	less bool
}

const quartersOfDay = 24 * 60 * 60 / quarterSeconds

// cover is what a query's sums are made of. The days of a time zone are UTC days
// with some quarters more at one end and less at the other, which is a fraction of
// the rows that their quarters have.
func cover(q ledger.Query) []part {
	from, to := quarter(q.From), quarter(q.To)
	quarters := func(from, to int64, less bool) part { return part{"sums", "quarter", from, to, less} }
	const half = quartersOfDay / 2
	first, last := (from+half)/quartersOfDay, (to+half)/quartersOfDay
	if q.By == ledger.ByDay || q.By == ledger.BySession || q.Developer != "" || first >= last {
		return []part{quarters(from, to, false)}
	}
	parts := []part{{"daily", "day", first, last, false}}
	for _, end := range []struct {
		at, day int64
		begins  bool
	}{{from, first * quartersOfDay, true}, {to, last * quartersOfDay, false}} {
		if end.at != end.day {
			parts = append(parts, quarters(min(end.at, end.day), max(end.at, end.day), end.begins == (end.day < end.at)))
		}
	}
	return parts
}

// summed are the columns that sums have.
var summed = strings.Fields(`records requests warmups refused errors input cached output reasoning total cost unpriced estimated missing cache_write
	secrets_reported secrets_redacted secrets_blocked errors_openai errors_proxy errors_client`)

// asker is what can be asked for rows.
type asker interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// sumPart calls each with the sums of a part.
func (l *Ledger) sumPart(ctx context.Context, in asker, q ledger.Query, p part, each func(ledger.Sum) error) error {
	key := map[ledger.By]string{
		ledger.ByDeveloper: "developer", ledger.ByMember: "developer", ledger.ByTeam: "team", ledger.ByModel: "model", ledger.BySession: "session", ledger.ByDay: "quarter",
	}[q.By]
	columns := []string{key, "''", "model"}
	if q.By == ledger.ByMember {
		columns[1] = "team"
	}
	sum, grouped := "sum(", " GROUP BY 1, 2, 3"
	c := conditions{}
	if p.to == p.from+1 { // the rows come in the order of their groups
		c.add(p.column+" = ?", p.from)
		if p.table == "daily" && q.By == ledger.ByMember { // each is a group
			sum, grouped = "(", ""
		}
	} else {
		c.add(p.column+" >= ?", p.from)
		c.add(p.column+" < ?", p.to)
	}
	if p.less {
		sum = "-" + sum
	}
	for _, column := range summed {
		columns = append(columns, sum+column+")")
	}
	c.choose("developer = ?", q.Developer)
	c.choose("team = ?", q.Team)
	c.choose("model = ?", q.Model)
	rows, err := in.QueryContext(ctx, `SELECT `+strings.Join(columns, ", ")+` FROM `+p.table+c.where()+grouped, c.arguments...)
	if err != nil {
		return err
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
		if err := rows.Scan(key, &s.Team, &s.Model, &s.Records, &s.Requests, &s.Warmups, &s.Refused, &s.Errors,
			&u.Input, &u.Cached, &u.Output, &u.Reasoning, &u.Total, &s.CostNanos, &s.Unpriced, &s.Estimated, &s.Missing, &u.CacheWrite,
			&s.Secrets.Reported, &s.Secrets.Redacted, &s.Secrets.Blocked, &s.ErrorsBy.OpenAI, &s.ErrorsBy.Proxy, &s.ErrorsBy.Client); err != nil {
			return err
		}
		if q.By == ledger.ByDay {
			s.Quarter = time.Unix(number*quarterSeconds, 0).UTC()
		}
		if err := each(s); err != nil {
			return err
		}
	}
	return rows.Err()
}
