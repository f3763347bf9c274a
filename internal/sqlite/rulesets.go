package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"

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
	return list(ctx, s.db.Reader(), scanRuleSet, `SELECT since, document FROM rulesets ORDER BY since`)
}

// AddRuleSet implements redaction.History.
func (s *Developers) AddRuleSet(ctx context.Context, set redaction.RuleSet) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		newest, err := scanRuleSet(tx.QueryRowContext(ctx, `SELECT since, document FROM rulesets ORDER BY since DESC LIMIT 1`))
		since := keptTime(set.Since)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case bytes.Equal(newest.Document, set.Document):
			return nil
		default: // also by a clock that is behind
			since = max(since, keptTime(newest.Since)+1)
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO rulesets (since, document) VALUES (?, ?)`, since, set.Document)
		return err
	})
}

func scanRuleSet(row scanner) (set redaction.RuleSet, err error) {
	var since int64
	err = row.Scan(&since, &set.Document)
	set.Since = timeKept(since)
	return set, err
}
