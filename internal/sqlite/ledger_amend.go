package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/ledger"
)

// Amend implements ledger.Store.
func (l *Ledger) Amend(ctx context.Context, e exchange.Exchange) error {
	return l.db.Write(ctx, func(tx *sql.Tx) error {
		kept, err := scanExchange(tx.QueryRowContext(ctx, selectExchange+` WHERE id = ?`, e.ID))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		kept.Client, kept.Path, kept.Error, kept.Findings = e.Client, e.Path, e.Error, e.Findings
		if _, err := tx.ExecContext(ctx, `UPDATE exchanges SET client = ?, path = ?, error = ? WHERE id = ?`,
			kept.Client, kept.Path, kept.Error, kept.ID); err != nil {
			return fmt.Errorf("amend the exchange %s: %w", kept.ID, err)
		}
		a, err := newAdder(ctx, tx)
		if err != nil {
			return err
		}
		defer a.close()
		before, err := countSecrets(ctx, tx, kept)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM secrets WHERE started = ? AND exchange = ?`, kept.Started.UnixMicro(), kept.ID); err != nil {
			return fmt.Errorf("amend the secrets of the exchange %s: %w", kept.ID, err)
		}
		if err := a.addSecrets(ctx, kept); err != nil {
			return err
		}
		return a.count(ctx, kept, ledger.Counts{Secrets: ledger.Count(kept).Secrets.Sub(before)})
	})
}

// Compact writes the file anew, so that nothing of what was replaced or deleted
// stays in it. Other changes wait meanwhile, as in a rebuild.
func (l *Ledger) Compact(ctx context.Context) error {
	ctx, cancel := maintenance(ctx)
	defer cancel()
	for _, statement := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := l.db.Writer().ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("compact the ledger: %w", explain(err))
		}
	}
	return nil
}

// countSecrets returns what the sums have of an exchange's secrets.
func countSecrets(ctx context.Context, tx *sql.Tx, e exchange.Exchange) (s ledger.Secrets, err error) {
	err = tx.QueryRowContext(ctx, `
		SELECT coalesce(sum(mode = 'report'), 0), coalesce(sum(mode = 'redact'), 0), coalesce(sum(mode = 'block'), 0)
		FROM secrets WHERE started = ? AND exchange = ? AND new`, e.Started.UnixMicro(), e.ID).Scan(&s.Reported, &s.Redacted, &s.Blocked)
	if err != nil {
		return s, fmt.Errorf("read the secrets of the exchange %s: %w", e.ID, err)
	}
	return s, nil
}
