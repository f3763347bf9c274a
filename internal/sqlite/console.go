package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"codex-proxy/internal/console"
)

// consoleMigration adds to developers.db what the console alone has.
const consoleMigration = `
CREATE TABLE console_documents (
	name    TEXT PRIMARY KEY,
	version INTEGER NOT NULL,
	content BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE readings (
	id         TEXT PRIMARY KEY,
	at         INTEGER NOT NULL,
	reader     TEXT NOT NULL,
	role       TEXT NOT NULL,
	developer  TEXT NOT NULL,
	reason     TEXT NOT NULL,
	state      TEXT NOT NULL,
	until      INTEGER NOT NULL,
	decided_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX readings_at ON readings (at);
CREATE INDEX readings_developer ON readings (developer, at);
`

var _ console.Store = (*Developers)(nil)

// ConsoleDocument implements console.Store.
func (s *Developers) ConsoleDocument(ctx context.Context, name string) (content []byte, version int64, err error) {
	err = s.db.Reader().QueryRowContext(ctx, `SELECT content, version FROM console_documents WHERE name = ?`, name).Scan(&content, &version)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	return content, version, explain(err)
}

// SetConsoleDocument implements console.Store.
func (s *Developers) SetConsoleDocument(ctx context.Context, name string, content []byte, version int64) (written bool, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		var now int64
		err := tx.QueryRowContext(ctx, `SELECT version FROM console_documents WHERE name = ?`, name).Scan(&now)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if now != version {
			return nil
		}
		written = true
		_, err = tx.ExecContext(ctx, `INSERT INTO console_documents (name, version, content) VALUES (?1, ?2, ?3)
			ON CONFLICT (name) DO UPDATE SET version = ?2, content = ?3`, name, version+1, content)
		return err
	})
	return written && err == nil, err
}

// PutReading implements console.Store.
func (s *Developers) PutReading(ctx context.Context, r console.Reading) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO readings (id, at, reader, role, developer, reason, state, until, decided_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
			ON CONFLICT (id) DO UPDATE SET state = ?7, until = ?8, decided_by = ?9`,
			r.ID, keptTime(r.At), r.Reader, r.Role, r.Developer, r.Reason, string(r.State), keptTime(r.Until), r.DecidedBy)
		return err
	})
}

// Readings implements console.Store.
func (s *Developers) Readings(ctx context.Context, developer string, since time.Time) ([]console.Reading, error) {
	var c conditions
	c.choose("developer = ?", developer)
	c.add("at >= ?", keptTime(since))
	return list(ctx, s.db.Reader(), scanReading,
		`SELECT id, at, reader, role, developer, reason, state, until, decided_by FROM readings`+c.where()+` ORDER BY at DESC, id DESC`, c.arguments...)
}

func scanReading(row scanner) (r console.Reading, err error) {
	var at, until int64
	err = row.Scan(&r.ID, &at, &r.Reader, &r.Role, &r.Developer, &r.Reason, &r.State, &until, &r.DecidedBy)
	r.At, r.Until = timeKept(at), timeKept(until)
	return r, err
}
