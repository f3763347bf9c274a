package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"codex-proxy/internal/developer"
)

const (
	tokenColumns = `t.id, t.developer, t.label, t.created, t.expires, t.revoked, t.last_used, t.imported, t.replaced_by`
	selectToken  = `SELECT ` + tokenColumns + ` FROM tokens t WHERE t.id = ?`
	selectGrant  = `SELECT ` + tokenColumns + `, t.hash, d.name, d.team, d.enabled, d.disabled_by, d.created, d.updated, ` + policyColumns + `
		FROM tokens t JOIN developers d ON d.id = t.developer JOIN teams p ON p.name = d.team
		WHERE t.hash = ?`
)

// Grant implements developer.Store.
func (s *Developers) Grant(ctx context.Context, hash [sha256.Size]byte) (developer.Grant, error) {
	var (
		g                developer.Grant
		stored           sql.RawBytes
		token            tokenRow
		policy           policyRow
		created, updated int64
	)
	rows, err := s.grant.QueryContext(ctx, hash[:])
	if err != nil {
		return g, explain(err)
	}
	defer rows.Close() // what it could say, rows.Err says
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return g, explain(err)
		}
		return g, fmt.Errorf("token %w", developer.ErrNotFound)
	}
	fields := slices.Concat(token.fields(),
		[]any{&stored, &g.Holder.Name, &g.Holder.Team, &g.Holder.Enabled, &g.Holder.DisabledBy, &created, &updated}, policy.fields())
	if err := rows.Scan(fields...); err != nil {
		return g, explain(err)
	}
	copy(g.Hash[:], stored)
	g.TokenInfo, g.Policy = token.info(), policy.policy()
	g.Holder.ID = g.Developer
	g.Holder.Created, g.Holder.Updated = timeKept(created), timeKept(updated)
	return g, nil
}

// AddToken implements developer.Store.
func (s *Developers) AddToken(ctx context.Context, token developer.Credential) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error { return insertToken(ctx, tx, token) })
}

// Token implements developer.Store.
func (s *Developers) Token(ctx context.Context, id string) (developer.TokenInfo, error) {
	return selectTokenInfo(ctx, s.db.Reader(), id)
}

// Tokens implements developer.Store.
func (s *Developers) Tokens(ctx context.Context, owner string) ([]developer.TokenInfo, error) {
	var c conditions
	c.choose("t.developer = ?", owner)
	return list(ctx, s.db.Reader(), scanToken,
		`SELECT `+tokenColumns+` FROM tokens t`+c.where()+` ORDER BY t.developer, t.created, t.id`, c.arguments...)
}

// Credentials returns all tokens as they are stored, for another store to take
// over, sorted as Tokens does.
func (s *Developers) Credentials(ctx context.Context) ([]developer.Credential, error) {
	return list(ctx, s.db.Reader(), func(row scanner) (developer.Credential, error) {
		var (
			c      developer.Credential
			token  tokenRow
			stored sql.RawBytes
		)
		err := row.Scan(append(token.fields(), &stored)...)
		c.TokenInfo = token.info()
		copy(c.Hash[:], stored)
		return c, err
	}, `SELECT `+tokenColumns+`, t.hash FROM tokens t ORDER BY t.developer, t.created, t.id`)
}

// RevokeToken implements developer.Store.
func (s *Developers) RevokeToken(ctx context.Context, id string, at time.Time) (info developer.TokenInfo, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE tokens SET revoked = ? WHERE id = ? AND revoked = 0`, keptTime(at), id); err != nil {
			return err
		}
		info, err = selectTokenInfo(ctx, tx, id)
		return err
	})
	return info, err
}

// RotateToken implements developer.Store.
func (s *Developers) RotateToken(ctx context.Context, old string, fresh developer.Credential, until time.Time) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		info, err := selectTokenInfo(ctx, tx, old)
		if err != nil {
			return err
		}
		if info.State(fresh.Created) != "active" {
			return fmt.Errorf("token %s %w", old, developer.ErrNotActive)
		}
		if !info.Expires.IsZero() && info.Expires.Before(until) {
			until = info.Expires
		}
		if err := insertToken(ctx, tx, fresh); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE tokens SET expires = ?, replaced_by = ? WHERE id = ?`, keptTime(until), fresh.ID, old)
		return err
	})
}

// AddTokenAndTidy implements developer.Tidier.
func (s *Developers) AddTokenAndTidy(ctx context.Context, token developer.Credential, tidy developer.Tidy) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		tokens, err := tokensWithin(ctx, tx, token.Developer)
		if err != nil {
			return err
		}
		ended, deleted := tidy(tokens)
		for _, id := range ended {
			if _, err := tx.ExecContext(ctx, `UPDATE tokens SET expires = ?1 WHERE id = ?2 AND developer = ?3 AND (expires = 0 OR expires > ?1)`,
				keptTime(token.Created), id, token.Developer); err != nil {
				return err
			}
		}
		for _, id := range deleted {
			if _, err := tx.ExecContext(ctx, `DELETE FROM tokens WHERE id = ? AND developer = ?`, id, token.Developer); err != nil {
				return err
			}
		}
		return insertToken(ctx, tx, token)
	})
}

// tokensWithin returns a developer's tokens as a transaction sees them, from old to
// new.
func tokensWithin(ctx context.Context, tx *sql.Tx, owner string) (tokens []developer.TokenInfo, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+tokenColumns+` FROM tokens t WHERE t.developer = ? ORDER BY t.created, t.id`, owner)
	if err != nil {
		return nil, err
	}
	defer rows.Close() // what it could say, rows.Err says
	for rows.Next() {
		token, err := scanToken(rows)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, rows.Err()
}

// SetLastUsed implements developer.Store.
func (s *Developers) SetLastUsed(ctx context.Context, times map[string]time.Time) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		update, err := tx.PrepareContext(ctx, `UPDATE tokens SET last_used = max(last_used, ?) WHERE id = ?`)
		if err != nil {
			return err
		}
		for id, at := range times {
			if _, err := update.ExecContext(ctx, keptTime(at), id); err != nil {
				return errors.Join(err, update.Close())
			}
		}
		return update.Close()
	})
}

func insertToken(ctx context.Context, tx *sql.Tx, token developer.Credential) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO tokens
		(hash, id, developer, label, created, expires, revoked, last_used, imported, replaced_by)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		token.Hash[:], token.ID, token.Developer, token.Label, keptTime(token.Created), keptTime(token.Expires),
		keptTime(token.Revoked), keptTime(token.LastUsed), token.Imported, token.ReplacedBy)
	switch {
	case violates(err, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY), violates(err, sqlite3.SQLITE_CONSTRAINT_UNIQUE):
		return fmt.Errorf("token %s %w", token.ID, developer.ErrExists)
	case violates(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY):
		return fmt.Errorf("developer %s %w", token.Developer, developer.ErrNotFound)
	}
	return err
}

func selectTokenInfo(ctx context.Context, q queryer, id string) (developer.TokenInfo, error) {
	info, err := scanToken(q.QueryRowContext(ctx, selectToken, id))
	return info, found(fmt.Sprintf("token %s", id), err)
}

func scanToken(row scanner) (developer.TokenInfo, error) {
	var token tokenRow
	err := row.Scan(token.fields()...)
	return token.info(), err
}

// tokenRow is tokenColumns as stored.
type tokenRow struct {
	kept                                developer.TokenInfo
	created, expires, revoked, lastUsed int64
}

func (r *tokenRow) fields() []any {
	return []any{
		&r.kept.ID, &r.kept.Developer, &r.kept.Label, &r.created, &r.expires, &r.revoked, &r.lastUsed,
		&r.kept.Imported, &r.kept.ReplacedBy,
	}
}

func (r *tokenRow) info() developer.TokenInfo {
	info := r.kept
	info.Created, info.Expires = timeKept(r.created), timeKept(r.expires)
	info.Revoked, info.LastUsed = timeKept(r.revoked), timeKept(r.lastUsed)
	return info
}

// violates tells whether a statement failed by a constraint of this kind.
func violates(err error, constraint int) bool {
	var failed *driver.Error
	return errors.As(err, &failed) && failed.Code() == constraint
}
