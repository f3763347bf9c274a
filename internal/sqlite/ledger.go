package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"sort"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

var _ ledger.Store = (*Ledger)(nil)

// ledgerMigrations make the ledger's tables. sums holds what exchanges add up
// to, by the quarter of an hour in which they began: the days of every time zone
// are made of whole quarters.
var ledgerMigrations = []string{`
CREATE TABLE exchanges (
	id TEXT PRIMARY KEY,
	started INTEGER NOT NULL, ended INTEGER NOT NULL,
	developer TEXT NOT NULL, team TEXT NOT NULL, token_id TEXT NOT NULL, session TEXT NOT NULL, client TEXT NOT NULL,
	method TEXT NOT NULL, path TEXT NOT NULL, transport TEXT NOT NULL, warmup INTEGER NOT NULL,
	model_asked TEXT NOT NULL, model TEXT NOT NULL, tier TEXT NOT NULL,
	status INTEGER NOT NULL, outcome TEXT NOT NULL, refusal TEXT NOT NULL, error TEXT NOT NULL, error_origin TEXT NOT NULL,
	upstream_request_id TEXT NOT NULL,
	input INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, total INTEGER NOT NULL,
	usage_state TEXT NOT NULL,
	cost INTEGER NOT NULL, cost_state TEXT NOT NULL, price_book TEXT NOT NULL,
	request_bytes INTEGER NOT NULL, response_bytes INTEGER NOT NULL,
	first_byte_us INTEGER NOT NULL, duration_us INTEGER NOT NULL, added_us INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX exchanges_started ON exchanges (started);
CREATE TABLE sums (
	quarter INTEGER NOT NULL, developer TEXT NOT NULL, team TEXT NOT NULL, session TEXT NOT NULL, model TEXT NOT NULL,
	records INTEGER NOT NULL, requests INTEGER NOT NULL, warmups INTEGER NOT NULL, refused INTEGER NOT NULL, errors INTEGER NOT NULL,
	input INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, total INTEGER NOT NULL,
	cost INTEGER NOT NULL, unpriced INTEGER NOT NULL, estimated INTEGER NOT NULL, missing INTEGER NOT NULL,
	PRIMARY KEY (quarter, developer, team, session, model)
) WITHOUT ROWID;
CREATE INDEX sums_developer ON sums (developer, quarter, cost);
CREATE INDEX sums_team ON sums (team, quarter, cost);
`}

// Ledger is a ledger.Store in an SQLite file.
type Ledger struct{ db *DB }

// OpenLedger opens the ledger in the file at path, which it makes where it is
// missing.
func OpenLedger(ctx context.Context, path string) (*Ledger, error) {
	db, err := Open(ctx, path, ledgerMigrations)
	if err != nil {
		return nil, err
	}
	return &Ledger{db}, nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.db.Close() }

// Ping returns why the ledger cannot be read; nil when it can.
func (l *Ledger) Ping(ctx context.Context) error { return l.db.ping(ctx) }

// columns are the columns of exchanges, in the order of fields.
var columns = strings.Fields(`id started ended developer team token_id session client
	method path transport warmup model_asked model tier status outcome refusal error error_origin
	upstream_request_id input cached output reasoning total usage_state cost cost_state price_book
	request_bytes response_bytes first_byte_us duration_us added_us`)

// row is an exchange as the table holds it, times being microseconds.
type row struct {
	exchange.Exchange
	started, ended int64
}

// fields returns where the columns are kept, to be read or written.
func (r *row) fields() []any {
	e := &r.Exchange
	return []any{
		&e.ID, &r.started, &r.ended, &e.Developer, &e.Team, &e.TokenID, &e.Session, &e.Client,
		&e.Method, &e.Path, &e.Transport, &e.Warmup, &e.ModelAsked, &e.Model, &e.Tier, &e.Status, &e.Outcome, &e.Refusal, &e.Error, &e.ErrorOrigin,
		&e.UpstreamRequestID, &e.Usage.Input, &e.Usage.Cached, &e.Usage.Output, &e.Usage.Reasoning, &e.Usage.Total, &e.Usage.State, &e.Cost.Nanos, &e.Cost.State, &e.Cost.Book,
		&e.RequestBytes, &e.ResponseBytes, &e.FirstByteMicros, &e.DurationMicros, &e.AddedMicros,
	}
}

var (
	insertExchange = `INSERT OR IGNORE INTO exchanges (` + strings.Join(columns, ", ") + `) VALUES (?` + strings.Repeat(", ?", len(columns)-1) + `)`
	selectExchange = `SELECT ` + strings.Join(columns, ", ") + ` FROM exchanges`
)

const addToSums = `INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
	records = records + excluded.records, requests = requests + excluded.requests, warmups = warmups + excluded.warmups,
	refused = refused + excluded.refused, errors = errors + excluded.errors,
	input = input + excluded.input, cached = cached + excluded.cached, output = output + excluded.output,
	reasoning = reasoning + excluded.reasoning, total = total + excluded.total,
	cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced, estimated = estimated + excluded.estimated, missing = missing + excluded.missing`

// Add implements ledger.Store.
func (l *Ledger) Add(ctx context.Context, rows []exchange.Exchange) error {
	return l.db.Write(ctx, func(tx *sql.Tx) error {
		a, err := newAdder(ctx, tx)
		if err != nil {
			return err
		}
		defer a.close()
		for _, e := range rows {
			if err := a.add(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// adder adds exchanges within a transaction.
type adder struct{ insert, sum *sql.Stmt }

func newAdder(ctx context.Context, tx *sql.Tx) (*adder, error) {
	insert, err := tx.PrepareContext(ctx, insertExchange)
	if err != nil {
		return nil, fmt.Errorf("prepare the ledger: %w", err)
	}
	sum, err := tx.PrepareContext(ctx, addToSums)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the ledger: %w", err), insert.Close())
	}
	return &adder{insert, sum}, nil
}

func (a *adder) close() {
	_ = a.insert.Close() // the transaction's end frees them anyway
	_ = a.sum.Close()
}

func (a *adder) add(ctx context.Context, e exchange.Exchange) error {
	r := row{Exchange: e, started: e.Started.UnixMicro(), ended: e.Ended.UnixMicro()}
	result, err := a.insert.ExecContext(ctx, r.fields()...)
	if err != nil {
		return fmt.Errorf("add the exchange %s: %w", e.ID, err)
	}
	if added, err := result.RowsAffected(); err != nil || added == 0 {
		return err // it is there already
	}
	return a.count(ctx, e, ledger.Count(e))
}

func (a *adder) count(ctx context.Context, e exchange.Exchange, c ledger.Counts) error {
	_, err := a.sum.ExecContext(ctx, quarter(e.Started), e.Developer, e.Team, e.Session, e.Model,
		c.Records, c.Requests, c.Warmups, c.Refused, c.Errors,
		c.Usage.Input, c.Usage.Cached, c.Usage.Output, c.Usage.Reasoning, c.Usage.Total,
		c.CostNanos, c.Unpriced, c.Estimated, c.Missing)
	if err != nil {
		return fmt.Errorf("add the exchange %s to the sums: %w", e.ID, err)
	}
	return nil
}

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
		ledger.ByDeveloper: "developer", ledger.ByTeam: "team", ledger.ByModel: "model", ledger.BySession: "session", ledger.ByDay: "quarter",
	}[q.By]
	where, arguments := []string{"quarter >= ?", "quarter < ?"}, []any{quarter(q.From), quarter(q.To)}
	for _, f := range []struct{ column, value string }{{"developer", q.Developer}, {"team", q.Team}, {"model", q.Model}} {
		if f.value != "" {
			where, arguments = append(where, f.column+" = ?"), append(arguments, f.value)
		}
	}
	query := `SELECT ` + key + `, model, sum(records), sum(requests), sum(warmups), sum(refused), sum(errors),
		sum(input), sum(cached), sum(output), sum(reasoning), sum(total), sum(cost), sum(unpriced), sum(estimated), sum(missing)
		FROM sums WHERE ` + strings.Join(where, " AND ") + ` GROUP BY 1, 2`
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
			err := rows.Scan(key, &s.Model, &s.Records, &s.Requests, &s.Warmups, &s.Refused, &s.Errors,
				&u.Input, &u.Cached, &u.Output, &u.Reasoning, &u.Total, &s.CostNanos, &s.Unpriced, &s.Estimated, &s.Missing)
			if q.By == ledger.ByDay {
				s.Quarter = time.Unix(number*quarterSeconds, 0).UTC()
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

// Reprice implements ledger.Store.
func (l *Ledger) Reprice(ctx context.Context, from, to time.Time, rate func(exchange.Exchange) exchange.Cost, dry bool) ([]ledger.Change, error) {
	changes := map[string]*ledger.Change{}
	err := l.db.Write(ctx, func(tx *sql.Tx) error {
		anew, err := rated(ctx, tx, from, to, rate, changes)
		if err != nil || dry {
			return err
		}
		a, err := newAdder(ctx, tx)
		if err != nil {
			return err
		}
		defer a.close()
		for _, n := range anew {
			if _, err := tx.ExecContext(ctx, `UPDATE exchanges SET cost = ?, cost_state = ?, price_book = ? WHERE id = ?`,
				n.Cost.Nanos, n.Cost.State, n.Cost.Book, n.ID); err != nil {
				return fmt.Errorf("reprice the exchange %s: %w", n.ID, err)
			}
			if err := a.count(ctx, n.Exchange, n.difference); err != nil {
				return err
			}
		}
		return nil
	})
	list := make([]ledger.Change, 0, len(changes))
	for _, c := range changes {
		list = append(list, *c)
	}
	sort.Slice(list, func(i, k int) bool { return list[i].Model < list[k].Model })
	return list, err
}

// repriced is an exchange with its new cost, and what that changes in the sums.
type repriced struct {
	exchange.Exchange
	difference ledger.Counts
}

// rated rates every exchange of the time anew, notes the changes by model, and
// returns the exchanges whose cost is another.
func rated(ctx context.Context, tx *sql.Tx, from, to time.Time, rate func(exchange.Exchange) exchange.Cost, changes map[string]*ledger.Change) ([]repriced, error) {
	rows, err := tx.QueryContext(ctx, selectExchange+` WHERE started >= ? AND started < ? AND cost_state <> ?`,
		from.UnixMicro(), to.UnixMicro(), exchange.CostNone)
	if err != nil {
		return nil, fmt.Errorf("read the ledger: %w", err)
	}
	defer rows.Close()
	var anew []repriced
	for rows.Next() {
		e, err := scanExchange(rows)
		if err != nil {
			return nil, err
		}
		c := changes[e.Model]
		if c == nil {
			c = &ledger.Change{Model: e.Model}
			changes[e.Model] = c
		}
		before := ledger.Count(e)
		old := e.Cost
		e.Cost = rate(e)
		after := ledger.Count(e)
		c.Exchanges++
		c.OldNanos += before.CostNanos
		c.NewNanos += after.CostNanos
		c.Unpriced += after.Unpriced
		if e.Cost != old {
			anew = append(anew, repriced{e, ledger.Counts{
				CostNanos: after.CostNanos - before.CostNanos, Unpriced: after.Unpriced - before.Unpriced,
			}})
		}
	}
	return anew, rows.Err()
}

func scanExchange(s scanner) (exchange.Exchange, error) {
	var r row
	if err := s.Scan(r.fields()...); err != nil {
		return exchange.Exchange{}, fmt.Errorf("read the ledger: %w", err)
	}
	r.Started = time.UnixMicro(r.started).UTC()
	if r.ended > 0 {
		r.Ended = time.UnixMicro(r.ended).UTC()
	}
	return r.Exchange, nil
}

// Rebuild implements ledger.Store, in one transaction: a server beside it goes
// on reading what was there before, and its new rows wait in the spool.
func (l *Ledger) Rebuild(ctx context.Context, rows iter.Seq2[exchange.Exchange, error]) (count int, err error) {
	err = l.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM exchanges; DELETE FROM sums`); err != nil {
			return fmt.Errorf("empty the ledger: %w", err)
		}
		a, err := newAdder(ctx, tx)
		if err != nil {
			return err
		}
		defer a.close()
		for e, err := range rows {
			if err != nil {
				return err
			}
			if err := a.add(ctx, e); err != nil {
				return err
			}
			count++
		}
		return nil
	})
	return count, err
}
