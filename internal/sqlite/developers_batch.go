package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"codex-proxy/internal/developer"
)

// ApplyBatch implements developer.Batcher, in one transaction.
func (s *Developers) ApplyBatch(ctx context.Context, batch developer.Batch) error {
	teams := map[string]bool{}
	for _, d := range batch.Add {
		if err := d.Validate(); err != nil {
			return err
		}
		teams[d.Team] = true
	}
	for _, change := range batch.Change {
		if err := change.After.Validate(); err != nil {
			return err
		}
		teams[change.After.Team] = true
	}
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		for team := range teams {
			if err := ensureTeam(ctx, tx, team); err != nil {
				return err
			}
		}
		for _, d := range batch.Add {
			if err := insertDeveloper(ctx, tx, d); err != nil {
				return err
			}
		}
		for _, change := range batch.Change {
			if err := changeDeveloper(ctx, tx, change); err != nil {
				return err
			}
		}
		for _, token := range batch.Tokens {
			if err := insertToken(ctx, tx, token); err != nil {
				return err
			}
		}
		return nil
	})
}

func changeDeveloper(ctx context.Context, tx *sql.Tx, change developer.Change) error {
	now, err := selectDeveloper(ctx, tx, change.Before.ID)
	if err != nil {
		return err
	}
	if now.Created, now.Updated = change.Before.Created, change.Before.Updated; now != change.Before {
		return fmt.Errorf("developer %s %w", now.ID, developer.ErrChanged)
	}
	after := change.After
	after.ID = change.Before.ID
	return updateDeveloper(ctx, tx, after)
}
