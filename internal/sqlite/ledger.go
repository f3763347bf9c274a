package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"strings"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

var _ ledger.Store = (*Ledger)(nil)

// ledgerMigrations make the ledger's tables. sums holds what exchanges add up
// to, by the quarter of an hour in which they began: the days of every time zone
// are made of whole quarters. daily holds what those of a UTC day add up to, whatever
// their sessions. secrets holds a row for each secret of each
// exchange, with what of the exchange its look-ups choose by. delays counts
// exchanges by the time that the proxy added, in the steps of ledger.Delays. The
// indexes of what went wrong hold those few exchanges alone, so that looking for a
// kind of trouble that is rare reads no more than there is of it.
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
`, `
ALTER TABLE exchanges ADD COLUMN cache_write INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sums ADD COLUMN cache_write INTEGER NOT NULL DEFAULT 0;
`, `
CREATE TABLE secrets (
	fingerprint TEXT NOT NULL, started INTEGER NOT NULL, exchange TEXT NOT NULL,
	developer TEXT NOT NULL, team TEXT NOT NULL, session TEXT NOT NULL,
	rule TEXT NOT NULL, mode TEXT NOT NULL, path TEXT NOT NULL, places INTEGER NOT NULL, new INTEGER NOT NULL,
	PRIMARY KEY (fingerprint, started, exchange)
) WITHOUT ROWID;
CREATE INDEX secrets_started ON secrets (started);
ALTER TABLE sums ADD COLUMN secrets_reported INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sums ADD COLUMN secrets_redacted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sums ADD COLUMN secrets_blocked INTEGER NOT NULL DEFAULT 0;
`, `
CREATE INDEX exchanges_session ON exchanges (session, developer);
CREATE INDEX exchanges_developer ON exchanges (developer);
`, `
ALTER TABLE sums ADD COLUMN errors_openai INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sums ADD COLUMN errors_proxy INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sums ADD COLUMN errors_client INTEGER NOT NULL DEFAULT 0;
UPDATE sums SET errors_openai = e.openai, errors_proxy = e.proxy, errors_client = e.client
FROM (
	SELECT started / 900000000 AS at, developer, team, session, model,
		sum(error_origin = 'openai') AS openai, sum(error_origin = 'proxy') AS proxy, sum(error_origin = 'client') AS client
	FROM exchanges WHERE error_origin <> '' AND outcome NOT IN ('completed', 'refused') GROUP BY 1, 2, 3, 4, 5
) e
WHERE sums.quarter = e.at AND sums.developer = e.developer AND sums.team = e.team AND sums.session = e.session AND sums.model = e.model;
CREATE TABLE delays (
	quarter INTEGER NOT NULL, step INTEGER NOT NULL, exchanges INTEGER NOT NULL,
	PRIMARY KEY (quarter, step)
) WITHOUT ROWID;
INSERT INTO delays SELECT started / 900000000, CAST(10 * log10(added_us) AS INTEGER), count(*)
FROM exchanges WHERE added_us > 0 AND outcome <> 'refused' GROUP BY 1, 2;
`, `
CREATE TABLE daily (
	day INTEGER NOT NULL, developer TEXT NOT NULL, team TEXT NOT NULL, model TEXT NOT NULL,
	records INTEGER NOT NULL, requests INTEGER NOT NULL, warmups INTEGER NOT NULL, refused INTEGER NOT NULL, errors INTEGER NOT NULL,
	input INTEGER NOT NULL, cached INTEGER NOT NULL, output INTEGER NOT NULL, reasoning INTEGER NOT NULL, total INTEGER NOT NULL,
	cost INTEGER NOT NULL, unpriced INTEGER NOT NULL, estimated INTEGER NOT NULL, missing INTEGER NOT NULL, cache_write INTEGER NOT NULL,
	secrets_reported INTEGER NOT NULL, secrets_redacted INTEGER NOT NULL, secrets_blocked INTEGER NOT NULL,
	errors_openai INTEGER NOT NULL, errors_proxy INTEGER NOT NULL, errors_client INTEGER NOT NULL,
	PRIMARY KEY (day, developer, team, model)
) WITHOUT ROWID;
INSERT INTO daily SELECT quarter / 96, developer, team, model,
	sum(records), sum(requests), sum(warmups), sum(refused), sum(errors), sum(input), sum(cached), sum(output), sum(reasoning), sum(total),
	sum(cost), sum(unpriced), sum(estimated), sum(missing), sum(cache_write),
	sum(secrets_reported), sum(secrets_redacted), sum(secrets_blocked), sum(errors_openai), sum(errors_proxy), sum(errors_client)
FROM sums GROUP BY 1, 2, 3, 4;
`, `
CREATE INDEX exchanges_wrong ON exchanges (outcome) WHERE outcome <> 'completed';
CREATE INDEX exchanges_refusal ON exchanges (refusal) WHERE refusal <> '';
CREATE INDEX exchanges_origin ON exchanges (error_origin) WHERE error_origin <> '';
`}

// Ledger is a ledger.Store in an SQLite file.
type Ledger struct{ db *DB }

// OpenLedger opens the ledger in the file at path, which it makes where it is
// missing.
func OpenLedger(ctx context.Context, path string) (*Ledger, error) {
	return OpenLedgerFor(ctx, path, Own)
}

// OpenLedgerFor opens the ledger at path, as Open does.
func OpenLedgerFor(ctx context.Context, path string, access Access) (*Ledger, error) {
	db, err := Open(ctx, path, ledgerMigrations, access)
	if err != nil {
		return nil, err
	}
	return &Ledger{db}, nil
}

// Close closes the file.
func (l *Ledger) Close() error { return l.db.Close() }

// Ping returns why the ledger cannot be used; nil when it can.
func (l *Ledger) Ping(ctx context.Context) error { return l.db.Check(ctx) }

// Probe returns why the ledger cannot be written to; nil when it can. It changes
// nothing.
func (l *Ledger) Probe(ctx context.Context) error { return l.db.probe(ctx) }

// columns are the columns of exchanges, in the order of fields.
var columns = strings.Fields(`id started ended developer team token_id session client
	method path transport warmup model_asked model tier status outcome refusal error error_origin
	upstream_request_id input cached output reasoning total usage_state cost cost_state price_book
	request_bytes response_bytes first_byte_us duration_us added_us cache_write`)

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
		&e.RequestBytes, &e.ResponseBytes, &e.FirstByteMicros, &e.DurationMicros, &e.AddedMicros, &e.Usage.CacheWrite,
	}
}

var (
	insertExchange = `INSERT OR IGNORE INTO exchanges (` + strings.Join(columns, ", ") + `) VALUES (?` + strings.Repeat(", ?", len(columns)-1) + `)`
	selectExchange = `SELECT ` + strings.Join(columns, ", ") + ` FROM exchanges`
)

const (
	addToSums  = `INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)` + addCounts
	addToDaily = `INSERT INTO daily VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)` + addCounts
)

const addCounts = `
ON CONFLICT DO UPDATE SET
	records = records + excluded.records, requests = requests + excluded.requests, warmups = warmups + excluded.warmups,
	refused = refused + excluded.refused, errors = errors + excluded.errors,
	input = input + excluded.input, cached = cached + excluded.cached, output = output + excluded.output,
	reasoning = reasoning + excluded.reasoning, total = total + excluded.total,
	cost = cost + excluded.cost, unpriced = unpriced + excluded.unpriced, estimated = estimated + excluded.estimated, missing = missing + excluded.missing,
	cache_write = cache_write + excluded.cache_write, secrets_reported = secrets_reported + excluded.secrets_reported,
	secrets_redacted = secrets_redacted + excluded.secrets_redacted, secrets_blocked = secrets_blocked + excluded.secrets_blocked,
	errors_openai = errors_openai + excluded.errors_openai, errors_proxy = errors_proxy + excluded.errors_proxy, errors_client = errors_client + excluded.errors_client`

const addToDelays = `INSERT INTO delays VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET exchanges = exchanges + 1`

const insertSecret = `INSERT INTO secrets (fingerprint, started, exchange, developer, team, session, rule, mode, path, places, new)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

// Add implements ledger.Store.
func (l *Ledger) Add(ctx context.Context, rows []exchange.Exchange) error {
	return l.db.Write(ctx, func(tx *sql.Tx) error {
		a, err := newAdder(ctx, tx)
		if err != nil {
			return err
		}
		defer a.close()
		for _, e := range rows {
			if _, err := a.add(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// adder adds exchanges within a transaction.
type adder struct{ insert, sum, daily, secret, delay *sql.Stmt }

func newAdder(ctx context.Context, tx *sql.Tx) (*adder, error) {
	a := &adder{}
	for _, s := range []struct {
		statement **sql.Stmt
		text      string
	}{{&a.insert, insertExchange}, {&a.sum, addToSums}, {&a.daily, addToDaily}, {&a.secret, insertSecret}, {&a.delay, addToDelays}} {
		var err error
		if *s.statement, err = tx.PrepareContext(ctx, s.text); err != nil {
			a.close()
			return nil, fmt.Errorf("prepare the ledger: %w", err)
		}
	}
	return a, nil
}

func (a *adder) close() {
	for _, statement := range []*sql.Stmt{a.insert, a.sum, a.daily, a.secret, a.delay} {
		if statement != nil {
			_ = statement.Close() // the transaction's end frees them anyway
		}
	}
}

// add adds an exchange, unless it is there already.
func (a *adder) add(ctx context.Context, e exchange.Exchange) (added bool, err error) {
	r := row{Exchange: e, started: e.Started.UnixMicro(), ended: e.Ended.UnixMicro()}
	result, err := a.insert.ExecContext(ctx, r.fields()...)
	if err != nil {
		return false, fmt.Errorf("add the exchange %s: %w", e.ID, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	if err := a.addSecrets(ctx, e); err != nil {
		return false, err
	}
	if step, ok := ledger.DelayStep(e); ok {
		if _, err := a.delay.ExecContext(ctx, quarter(e.Started), step); err != nil {
			return false, fmt.Errorf("add the exchange %s to the delays: %w", e.ID, err)
		}
	}
	return true, a.count(ctx, e, ledger.Count(e))
}

func (a *adder) addSecrets(ctx context.Context, e exchange.Exchange) error {
	for _, s := range e.Secrets() {
		if _, err := a.secret.ExecContext(ctx, s.Fingerprint, e.Started.UnixMicro(), e.ID,
			e.Developer, e.Team, e.Session, s.Rule, s.Mode, s.Path, s.Places, s.New); err != nil {
			return fmt.Errorf("add a secret of the exchange %s: %w", e.ID, err)
		}
	}
	return nil
}

// count adds to the sums that the exchange is part of.
func (a *adder) count(ctx context.Context, e exchange.Exchange, c ledger.Counts) error {
	counts := []any{
		c.Records, c.Requests, c.Warmups, c.Refused, c.Errors,
		c.Usage.Input, c.Usage.Cached, c.Usage.Output, c.Usage.Reasoning, c.Usage.Total,
		c.CostNanos, c.Unpriced, c.Estimated, c.Missing, c.Usage.CacheWrite,
		c.Secrets.Reported, c.Secrets.Redacted, c.Secrets.Blocked,
		c.ErrorsBy.OpenAI, c.ErrorsBy.Proxy, c.ErrorsBy.Client,
	}
	at := quarter(e.Started)
	for _, s := range []struct {
		statement *sql.Stmt
		key       []any
	}{{a.sum, []any{at, e.Developer, e.Team, e.Session, e.Model}}, {a.daily, []any{at / quartersOfDay, e.Developer, e.Team, e.Model}}} {
		if _, err := s.statement.ExecContext(ctx, append(s.key, counts...)...); err != nil {
			return fmt.Errorf("add the exchange %s to the sums: %w", e.ID, err)
		}
	}
	return nil
}

// Rebuild implements ledger.Store, in one transaction: a server beside it goes
// on reading what was there before, and its new rows wait in the spool.
func (l *Ledger) Rebuild(ctx context.Context, rows iter.Seq2[exchange.Exchange, error]) (count int, err error) {
	ctx, cancel := maintenance(ctx)
	defer cancel()
	err = l.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM exchanges; DELETE FROM sums; DELETE FROM daily; DELETE FROM secrets; DELETE FROM delays`); err != nil {
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
			added, err := a.add(ctx, e)
			if err != nil {
				return err
			}
			if added {
				count++
			}
		}
		return nil
	})
	return count, err
}
