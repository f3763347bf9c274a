package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"codex-proxy/internal/ledger"
)

// marksMigration keeps what secrets that were seen turned out to be.
const marksMigration = `
CREATE TABLE marks (
	fingerprint TEXT PRIMARY KEY,
	marked_as   TEXT NOT NULL,
	note        TEXT NOT NULL,
	marked_by   TEXT NOT NULL,
	at          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

var _ ledger.Marks = (*Developers)(nil)

// Mark implements ledger.Marks.
func (s *Developers) Mark(ctx context.Context, m ledger.Mark) error {
	if err := m.Validate(); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM marks WHERE fingerprint = ?`, m.Fingerprint); err != nil {
			return fmt.Errorf("mark the secret %s: %w", m.Fingerprint, err)
		}
		if m.As == ledger.Open {
			return nil
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO marks VALUES (?, ?, ?, ?, ?)`, m.Fingerprint, m.As, m.Note, m.By, keptTime(m.At)); err != nil {
			return fmt.Errorf("mark the secret %s: %w", m.Fingerprint, err)
		}
		return nil
	})
}

// Marks implements ledger.Marks.
func (s *Developers) Marks(ctx context.Context) ([]ledger.Mark, error) {
	return list(ctx, s.db.Reader(), func(row scanner) (m ledger.Mark, err error) {
		var at int64
		err = row.Scan(&m.Fingerprint, &m.As, &m.Note, &m.By, &at)
		m.At = timeKept(at)
		return m, err
	}, `SELECT fingerprint, marked_as, note, marked_by, at FROM marks`)
}
