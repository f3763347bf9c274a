package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard/invite"
)

// invitationsMigration adds the invitations to developers.db. The trigger makes
// them void however their developer comes to be disabled; removing a developer
// removes them.
const invitationsMigration = `
CREATE TABLE invitations (
	hash      BLOB PRIMARY KEY, -- SHA-256; the code itself is kept nowhere
	id        TEXT NOT NULL UNIQUE,
	developer TEXT NOT NULL REFERENCES developers (id) ON DELETE CASCADE,
	created   INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	cancelled INTEGER NOT NULL DEFAULT 0,
	used      INTEGER NOT NULL DEFAULT 0,
	token     TEXT NOT NULL DEFAULT '' -- public id of the token issued
) STRICT, WITHOUT ROWID;

CREATE INDEX invitations_developer ON invitations (developer, created);

CREATE TRIGGER invitations_void AFTER UPDATE OF enabled ON developers WHEN NOT NEW.enabled
BEGIN
	UPDATE invitations SET cancelled = NEW.updated WHERE developer = NEW.id AND used = 0 AND cancelled = 0;
END;
`

const (
	invitationColumns = `i.id, i.developer, i.created, i.expires, i.cancelled, i.used, i.token`
	selectInvitations = `SELECT ` + invitationColumns + ` FROM invitations i`
)

// AddInvitation keeps a new invitation. The developer's open ones are cancelled,
// unless keep says to leave them; their number is returned.
// developer.ErrNotFound: there is no such developer. invite.ErrNotOpen: the
// developer is disabled.
func (s *Developers) AddInvitation(ctx context.Context, i invite.Sealed, keep bool) (cancelled int64, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		holder, err := selectDeveloper(ctx, tx, i.Developer)
		if err != nil {
			return err
		}
		if !holder.Enabled {
			return fmt.Errorf("developer %s is disabled: %w", holder.ID, invite.ErrNotOpen)
		}
		if !keep {
			result, err := tx.ExecContext(ctx, `UPDATE invitations SET cancelled = ?1 WHERE developer = ?2 AND used = 0 AND cancelled = 0 AND expires > ?1`,
				keptTime(i.Created), i.Developer)
			if err != nil {
				return err
			}
			if cancelled, err = result.RowsAffected(); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO invitations (hash, id, developer, created, expires) VALUES (?, ?, ?, ?, ?)`,
			i.Hash[:], i.ID, i.Developer, keptTime(i.Created), keptTime(i.Expires))
		if violates(err, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) || violates(err, sqlite3.SQLITE_CONSTRAINT_UNIQUE) {
			return fmt.Errorf("invitation %s %w", i.ID, developer.ErrExists)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return cancelled, nil
}

// Invitations returns all invitations, those that ended too, from old to new.
func (s *Developers) Invitations(ctx context.Context) ([]invite.Invitation, error) {
	return list(ctx, s.db.Reader(), scanInvitation, selectInvitations+` ORDER BY i.created, i.id`)
}

// CancelInvitation makes an invitation void and returns it. Cancelling again
// changes nothing, nor does cancelling one that was used. The error is
// developer.ErrNotFound when there is none with this id.
func (s *Developers) CancelInvitation(ctx context.Context, id string, at time.Time) (i invite.Invitation, err error) {
	err = s.db.Write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE invitations SET cancelled = ?1 WHERE id = ?2 AND used = 0 AND cancelled = 0 AND expires > ?1`,
			keptTime(at), id); err != nil {
			return err
		}
		i, err = scanInvitation(tx.QueryRowContext(ctx, selectInvitations+` WHERE i.id = ?`, id))
		return found(fmt.Sprintf("invitation %s", id), err)
	})
	return i, err
}

// Offer implements invite.Store.
func (s *Developers) Offer(ctx context.Context, hash [sha256.Size]byte) (invite.Offer, error) {
	var (
		o                invite.Offer
		i                invitationRow
		created, updated int64
	)
	err := s.db.Reader().QueryRowContext(ctx, `SELECT `+invitationColumns+`, d.name, d.team, d.enabled, d.created, d.updated, p.contact
		FROM invitations i JOIN developers d ON d.id = i.developer JOIN teams p ON p.name = d.team WHERE i.hash = ?`, hash[:]).
		Scan(append(i.fields(), &o.Holder.Name, &o.Holder.Team, &o.Holder.Enabled, &created, &updated, &o.Contact)...)
	if errors.Is(err, sql.ErrNoRows) {
		return invite.Offer{}, invite.ErrNotOpen
	}
	if err != nil {
		return invite.Offer{}, explain(err)
	}
	o.Invitation = i.invitation()
	o.Holder.ID, o.Holder.Created, o.Holder.Updated = o.Developer, timeKept(created), timeKept(updated)
	return o, nil
}

// Redeem implements invite.Store.
func (s *Developers) Redeem(ctx context.Context, hash [sha256.Size]byte, token developer.Credential) error {
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `UPDATE invitations SET used = ?1, token = ?2
			WHERE hash = ?3 AND developer = ?4 AND used = 0 AND cancelled = 0 AND expires > ?1`,
			keptTime(token.Created), token.ID, hash[:], token.Developer)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if n != 1 {
			return invite.ErrNotOpen
		}
		return insertToken(ctx, tx, token)
	})
}

func scanInvitation(row scanner) (invite.Invitation, error) {
	var i invitationRow
	err := row.Scan(i.fields()...)
	return i.invitation(), err
}

// invitationRow is invitationColumns as stored.
type invitationRow struct {
	kept                              invite.Invitation
	created, expires, cancelled, used int64
}

func (r *invitationRow) fields() []any {
	return []any{&r.kept.ID, &r.kept.Developer, &r.created, &r.expires, &r.cancelled, &r.used, &r.kept.Token}
}

func (r *invitationRow) invitation() invite.Invitation {
	i := r.kept
	i.Created, i.Expires = timeKept(r.created), timeKept(r.expires)
	i.Cancelled, i.Used = timeKept(r.cancelled), timeKept(r.used)
	return i
}
