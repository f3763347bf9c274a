package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
)

// developersMigrations are the tables of developers.db. Times are milliseconds
// since 1970 UTC, 0 meaning none; money is USD nanos.
var developersMigrations = []string{`
CREATE TABLE teams (
	name                   TEXT PRIMARY KEY,
	models                 TEXT NOT NULL DEFAULT '', -- patterns, separated by spaces
	developer_budget_nanos INTEGER NOT NULL DEFAULT 0,
	team_budget_nanos      INTEGER NOT NULL DEFAULT 0,
	requests_per_minute    INTEGER NOT NULL DEFAULT 0,
	concurrent_streams     INTEGER NOT NULL DEFAULT 0,
	contact                TEXT NOT NULL DEFAULT '',
	updated                INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO teams (name) VALUES ('default');

CREATE TABLE developers (
	id      TEXT PRIMARY KEY,
	name    TEXT NOT NULL,
	team    TEXT NOT NULL REFERENCES teams (name),
	enabled INTEGER NOT NULL,
	created INTEGER NOT NULL,
	updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX developers_team ON developers (team);

CREATE TABLE tokens (
	hash        BLOB PRIMARY KEY, -- SHA-256; the token itself is kept nowhere
	id          TEXT NOT NULL UNIQUE,
	developer   TEXT NOT NULL REFERENCES developers (id) ON DELETE CASCADE,
	label       TEXT NOT NULL,
	created     INTEGER NOT NULL,
	expires     INTEGER NOT NULL,
	revoked     INTEGER NOT NULL,
	last_used   INTEGER NOT NULL,
	imported    INTEGER NOT NULL,
	replaced_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX tokens_developer ON tokens (developer, created);
`, `
ALTER TABLE developers ADD COLUMN disabled_by TEXT NOT NULL DEFAULT '';
`, invitationsMigration, rulesetsMigration, consoleMigration, marksMigration}

// Developers is a developer.Store, and an invite.Store, in one SQLite file.
type Developers struct {
	db    *DB
	grant *sql.Stmt
}

var (
	_ developer.Store   = (*Developers)(nil)
	_ developer.Batcher = (*Developers)(nil)
	_ developer.Tidier  = (*Developers)(nil)
	_ invite.Store      = (*Developers)(nil)
)

// OpenDevelopers opens the developers' database at path for a server, as Open does
// for Own.
func OpenDevelopers(ctx context.Context, path string) (*Developers, error) {
	return OpenDevelopersFor(ctx, path, Own)
}

// OpenDevelopersFor opens the developers' database at path, as Open does.
func OpenDevelopersFor(ctx context.Context, path string, access Access) (*Developers, error) {
	db, err := Open(ctx, path, developersMigrations, access)
	if err != nil {
		return nil, err
	}
	grant, err := db.Reader().PrepareContext(ctx, selectGrant)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare the token look-up: %w", explain(err)), db.Close())
	}
	return &Developers{db: db, grant: grant}, nil
}

// Close closes the database.
func (s *Developers) Close() error { return errors.Join(s.grant.Close(), s.db.Close()) }

// Ping returns why the store cannot be used; nil when it can.
func (s *Developers) Ping(ctx context.Context) error { return s.db.Check(ctx) }

// Probe returns why the store cannot be written to; nil when it can. It changes
// nothing.
func (s *Developers) Probe(ctx context.Context) error { return s.db.probe(ctx) }

// AddDeveloper implements developer.Store.
func (s *Developers) AddDeveloper(ctx context.Context, d developer.Developer, tokens ...developer.Credential) error {
	if err := d.Validate(); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		if err := ensureTeam(ctx, tx, d.Team); err != nil {
			return err
		}
		if err := insertDeveloper(ctx, tx, d); err != nil {
			return err
		}
		for _, token := range tokens {
			if err := insertToken(ctx, tx, token); err != nil {
				return err
			}
		}
		return nil
	})
}

func insertDeveloper(ctx context.Context, tx *sql.Tx, d developer.Developer) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO developers (`+developerColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		d.ID, d.Name, d.Team, d.Enabled, d.DisabledBy, keptTime(d.Created), keptTime(d.Updated))
	if violates(err, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return fmt.Errorf("developer %s %w", d.ID, developer.ErrExists)
	}
	return err
}

func updateDeveloper(ctx context.Context, tx *sql.Tx, d developer.Developer) error {
	_, err := tx.ExecContext(ctx, `UPDATE developers SET name = ?, team = ?, enabled = ?, disabled_by = ?, updated = ? WHERE id = ?`,
		d.Name, d.Team, d.Enabled, d.DisabledBy, keptTime(d.Updated), d.ID)
	return err
}

const developerColumns = `id, name, team, enabled, disabled_by, created, updated`

// Developer implements developer.Store.
func (s *Developers) Developer(ctx context.Context, id string) (developer.Developer, error) {
	return selectDeveloper(ctx, s.db.Reader(), id)
}

// Developers implements developer.Store.
func (s *Developers) Developers(ctx context.Context) ([]developer.Developer, error) {
	return list(ctx, s.db.Reader(), scanDeveloper, `SELECT `+developerColumns+` FROM developers ORDER BY id`)
}

// UpdateDeveloper implements developer.Store.
func (s *Developers) UpdateDeveloper(ctx context.Context, id string, change func(*developer.Developer) error) (developer.Developer, error) {
	var changed developer.Developer
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		before, err := selectDeveloper(ctx, tx, id)
		if err != nil {
			return err
		}
		d := before
		if err := change(&d); err != nil {
			return err
		}
		d.ID, d.Created = before.ID, before.Created
		if err := d.Validate(); err != nil {
			return err
		}
		if err := ensureTeam(ctx, tx, d.Team); err != nil {
			return err
		}
		changed = d
		return updateDeveloper(ctx, tx, d)
	})
	if err != nil {
		return developer.Developer{}, err
	}
	return changed, nil
}

// RemoveDeveloper implements developer.Store.
func (s *Developers) RemoveDeveloper(ctx context.Context, id string) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		return affectOne(fmt.Sprintf("developer %s", id))(tx.ExecContext(ctx, `DELETE FROM developers WHERE id = ?`, id))
	})
}

func selectDeveloper(ctx context.Context, q queryer, id string) (developer.Developer, error) {
	d, err := scanDeveloper(q.QueryRowContext(ctx, `SELECT `+developerColumns+` FROM developers WHERE id = ?`, id))
	return d, found(fmt.Sprintf("developer %s", id), err)
}

func scanDeveloper(row scanner) (d developer.Developer, err error) {
	var created, updated int64
	err = row.Scan(&d.ID, &d.Name, &d.Team, &d.Enabled, &d.DisabledBy, &created, &updated)
	d.Created, d.Updated = timeKept(created), timeKept(updated)
	return d, err
}

// scanner is a row to read, of one or of many.
type scanner interface{ Scan(dest ...any) error }

// list returns every row of a query.
func list[T any](ctx context.Context, pool *sql.DB, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := pool.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, explain(err)
	}
	defer rows.Close() // what it could say, rows.Err says
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, explain(err)
		}
		all = append(all, one)
	}
	return all, explain(rows.Err())
}

// found gives the error of a look-up of one row the domain's meaning.
func found(what string, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%s %w", what, developer.ErrNotFound)
	}
	return explain(err)
}

// affectOne checks the outcome of a statement that must have changed one row.
func affectOne(what string) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			err = fmt.Errorf("%s %w", what, developer.ErrNotFound)
		}
		return err
	}
}

// keptTime is how a time is stored.
func keptTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// timeKept undoes keptTime.
func timeKept(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}
