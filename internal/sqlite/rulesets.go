package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"codex-proxy/internal/redaction"
)

// rulesetsMigration keeps which rules for secrets were in force, and since when.
const rulesetsMigration = `
CREATE TABLE rulesets (
	since    INTEGER NOT NULL,
	document BLOB NOT NULL
) STRICT;
`

var _ redaction.History = (*Developers)(nil)

// RuleSets implements redaction.History.
func (s *Developers) RuleSets(ctx context.Context) ([]redaction.RuleSet, error) {
	return list(ctx, s.db.Reader(), func(row scanner) (set redaction.RuleSet, err error) {
		var since int64
		err = row.Scan(&since, &set.Document)
		set.Since = timeKept(since)
		return set, err
	}, `SELECT since, document FROM rulesets ORDER BY rowid`)
}

// AddRuleSet implements redaction.History.
func (s *Developers) AddRuleSet(ctx context.Context, set redaction.RuleSet) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		var newest []byte
		err := tx.QueryRowContext(ctx, `SELECT document FROM rulesets ORDER BY rowid DESC LIMIT 1`).Scan(&newest)
		if err != nil && !errors.Is(err, sql.ErrNoRows) || err == nil && string(newest) == string(set.Document) {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO rulesets (since, document) VALUES (?, ?)`, keptTime(set.Since), set.Document); err != nil {
			return fmt.Errorf("add a set of rules: %w", err)
		}
		return nil
	})
}
