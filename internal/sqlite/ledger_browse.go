package sqlite

import (
	"context"
	"fmt"
	"strings"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Exchanges returns the exchanges that the query chooses, the newest first,
// without their findings. Ids sort by time, so that it reads no more than it
// returns and what the filters leave out.
func (l *Ledger) Exchanges(ctx context.Context, q ledger.ExchangeQuery) ([]exchange.Exchange, error) {
	var c conditions
	c.times(q.From, q.To)
	c.choose("id < ?", q.Before)
	c.choose("id = ?", q.ID)
	c.choose("developer = ?", q.Developer)
	c.choose("team = ?", q.Team)
	c.choose("session = ?", q.Session)
	c.choose("model = ?", q.Model)
	c.outcome(q.Outcome)
	c.choose("error_origin = ? AND error_origin <> ''", string(q.Origin)) // as its index has it
	c.choose("transport = ?", string(q.Transport))
	c.choose("refusal = ? AND refusal <> ''", q.Refusal)
	if q.Status != 0 {
		c.add("status = ?", q.Status)
	}
	c.choose("token_id = ?", q.Token)
	c.choose("instr(client, ?) > 0", q.Client)
	c.choose("tier = ?", q.Tier)
	if q.CostNanos != 0 {
		c.add("cost_state = 'priced' AND cost >= ?", q.CostNanos)
	}
	if q.Duration != 0 {
		c.add("duration_us >= ?", q.Duration.Microseconds())
	}
	if q.Secrets {
		c.add("EXISTS (SELECT 1 FROM secrets WHERE secrets.started = exchanges.started AND secrets.exchange = exchanges.id)")
	}
	rows, err := l.db.Reader().QueryContext(ctx, selectExchange+c.where()+` ORDER BY id DESC LIMIT ?`, append(c.arguments, q.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("list the ledger's exchanges: %w", explain(err))
	}
	defer rows.Close()
	all := []exchange.Exchange{}
	for rows.Next() {
		e, err := scanExchange(rows)
		if err != nil {
			return nil, fmt.Errorf("list the ledger's exchanges: %w", err)
		}
		all = append(all, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the ledger's exchanges: %w", explain(err))
	}
	return all, nil
}

// Sessions returns the sessions that the query chooses, the one that was used
// last first. It walks the exchanges from the newest on and takes those that are
// their session's last, which the index on sessions tells.
func (l *Ledger) Sessions(ctx context.Context, q ledger.SessionQuery) ([]ledger.Session, error) {
	var c conditions
	c.add("session <> ''")
	c.times(q.From, q.To)
	c.choose("id < ?", q.Before)
	c.choose("developer = ?", q.Developer)
	c.choose("team = ?", q.Team)
	c.choose("model = ?", q.Model)
	c.outcome(q.Outcome)
	c.add(`NOT EXISTS (SELECT 1 FROM exchanges later WHERE later.session = exchanges.session AND later.developer = exchanges.developer AND later.id > exchanges.id)`)
	rows, err := l.db.Reader().QueryContext(ctx, selectExchange+c.where()+` ORDER BY id DESC LIMIT ?`, append(c.arguments, q.Limit)...)
	if err != nil {
		return nil, fmt.Errorf("list the ledger's sessions: %w", explain(err))
	}
	defer rows.Close()
	all := []ledger.Session{}
	for rows.Next() {
		last, err := scanExchange(rows)
		if err != nil {
			return nil, fmt.Errorf("list the ledger's sessions: %w", err)
		}
		all = append(all, ledger.Session{ID: last.Session, Developer: last.Developer, Team: last.Team, Last: last})
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the ledger's sessions: %w", explain(err))
	}
	for i := range all {
		if err := l.sumSession(ctx, &all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// sumSession adds up the exchanges of a session.
func (l *Ledger) sumSession(ctx context.Context, s *ledger.Session) error {
	var begun int64
	var models string
	u := &s.Usage
	err := l.db.Reader().QueryRowContext(ctx, `
		SELECT min(started), json_group_array(DISTINCT model) FILTER (WHERE model <> ''), count(*),
			sum(outcome <> 'refused' AND NOT warmup), sum(outcome <> 'refused' AND warmup), sum(outcome = 'refused'), sum(failed),
			count(*) FILTER (WHERE failed AND error_origin = 'openai'), count(*) FILTER (WHERE failed AND error_origin = 'proxy'), count(*) FILTER (WHERE failed AND error_origin = 'client'),
			sum(input), sum(cached), sum(cache_write), sum(output), sum(reasoning), sum(total),
			sum(iif(cost_state = 'priced', cost, 0)), sum(cost_state = 'unpriced'), sum(usage_state = 'estimated'), sum(usage_state = 'missing')
		FROM (SELECT *, outcome NOT IN ('completed', 'refused') AS failed FROM exchanges) WHERE session = ? AND developer = ?`, s.ID, s.Developer).Scan(
		&begun, &models, &s.Records, &s.Requests, &s.Warmups, &s.Refused, &s.Errors, &s.ErrorsBy.OpenAI, &s.ErrorsBy.Proxy, &s.ErrorsBy.Client,
		&u.Input, &u.Cached, &u.CacheWrite, &u.Output, &u.Reasoning, &u.Total,
		&s.CostNanos, &s.Unpriced, &s.Estimated, &s.Missing)
	if err != nil {
		return fmt.Errorf("add up the session %s: %w", s.ID, explain(err))
	}
	s.Begun = time.UnixMicro(begun).UTC()
	if s.Models, err = names(models); err != nil {
		return fmt.Errorf("add up the session %s: %w", s.ID, err)
	}
	return nil
}

// conditions are those of a query, joined by AND.
type conditions struct {
	all       []string
	arguments []any
}

func (c *conditions) add(condition string, arguments ...any) {
	c.all = append(c.all, condition)
	c.arguments = append(c.arguments, arguments...)
}

// choose adds a condition, unless the value is empty.
func (c *conditions) choose(condition, value string) {
	if value != "" {
		c.add(condition, value)
	}
}

// outcome chooses what ended in one way, in words that the index of what went wrong
// is known by.
func (c *conditions) outcome(o exchange.Outcome) {
	c.choose("outcome = ?", string(o))
	if o != "" && o != exchange.Completed {
		c.add("outcome <> 'completed'")
	}
}

// times chooses what began in [from, to). An id begins with its time, and the
// table is in their order: the ids bound what is read.
func (c *conditions) times(from, to time.Time) {
	if !from.IsZero() {
		c.add("id >= ?", idPrefix(from))
	}
	if !to.IsZero() {
		c.add("id < ?", idPrefix(to))
	}
}

// idPrefix is what sorts before every id that is made at the given time or later,
// and after every earlier one.
func idPrefix(at time.Time) string {
	const timeDigits = 13 // 12 digits and a dash
	return exchange.NewID(at)[:timeDigits]
}

func (c *conditions) where() string {
	if len(c.all) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.all, " AND ")
}
