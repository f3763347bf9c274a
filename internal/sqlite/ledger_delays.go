package sqlite

import (
	"context"
	"fmt"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Delays implements ledger.Store. Those of all are kept; those of a developer are
// counted from the rows, which the index leads to.
func (l *Ledger) Delays(ctx context.Context, developer string, from, to time.Time) (ledger.Delays, error) {
	query, arguments := `SELECT step, sum(exchanges) FROM delays WHERE quarter >= ? AND quarter < ? GROUP BY 1`, []any{quarter(from), quarter(to)}
	if developer != "" {
		var c conditions
		c.times(from, to)
		c.add("developer = ?", developer)
		c.add("outcome <> ?", exchange.Refused)
		c.add("added_us > 0")
		query, arguments = `SELECT CAST(10 * log10(added_us) AS INTEGER), count(*) FROM exchanges`+c.where()+` GROUP BY 1`, c.arguments
	}
	rows, err := l.db.Reader().QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, fmt.Errorf("read the ledger's delays: %w", explain(err))
	}
	defer rows.Close()
	delays := ledger.Delays{}
	for rows.Next() {
		var step int
		var n int64
		if err := rows.Scan(&step, &n); err != nil {
			return nil, fmt.Errorf("read the ledger's delays: %w", err)
		}
		delays[step] += n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the ledger's delays: %w", explain(err))
	}
	return delays, nil
}
