package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"codex-proxy/internal/developer"
)

const (
	policyColumns = `p.models, p.developer_budget_nanos, p.team_budget_nanos, p.requests_per_minute, p.concurrent_streams, p.contact`
	selectTeams   = `SELECT p.name, p.updated, (SELECT count(*) FROM developers d WHERE d.team = p.name), ` + policyColumns + ` FROM teams p`
)

// Team implements developer.Store.
func (s *Developers) Team(ctx context.Context, name string) (developer.Team, error) {
	return selectTeam(ctx, s.db.Reader(), name)
}

// Contact implements invite.Store.
func (s *Developers) Contact(ctx context.Context, team string) (string, error) {
	t, err := s.Team(ctx, team)
	return t.Policy.Contact, err
}

// Teams implements developer.Store.
func (s *Developers) Teams(ctx context.Context) ([]developer.Team, error) {
	return list(ctx, s.db.Reader(), scanTeam, selectTeams+` ORDER BY p.name`)
}

// UpdateTeam implements developer.Store.
func (s *Developers) UpdateTeam(ctx context.Context, name string, at time.Time, change func(*developer.Policy) error) (developer.Team, error) {
	if err := developer.CheckTeamName(name); err != nil {
		return developer.Team{}, err
	}
	var team developer.Team
	err := s.db.Write(ctx, func(tx *sql.Tx) error {
		if err := ensureTeam(ctx, tx, name); err != nil {
			return err
		}
		var err error
		if team, err = selectTeam(ctx, tx, name); err != nil {
			return err
		}
		team.Updated = at
		p := &team.Policy
		if err := change(p); err != nil {
			return err
		}
		if err := p.Validate(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE teams SET models = ?, developer_budget_nanos = ?, team_budget_nanos = ?,
			requests_per_minute = ?, concurrent_streams = ?, contact = ?, updated = ? WHERE name = ?`,
			strings.Join(p.Models, " "), p.DeveloperBudgetNanos, p.TeamBudgetNanos,
			p.RequestsPerMinute, p.ConcurrentStreams, p.Contact, keptTime(at), name)
		return err
	})
	if err != nil {
		return developer.Team{}, err
	}
	return team, nil
}

// RemoveTeam implements developer.Store.
func (s *Developers) RemoveTeam(ctx context.Context, name string) error {
	inUse := fmt.Errorf("team %s %w", name, developer.ErrInUse)
	if name == developer.DefaultTeam {
		return inUse
	}
	return s.db.Write(ctx, func(tx *sql.Tx) error {
		err := affectOne(fmt.Sprintf("team %s", name))(tx.ExecContext(ctx, `DELETE FROM teams WHERE name = ?`, name))
		if violates(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY) {
			return inUse
		}
		return err
	})
}

// ensureTeam makes a team exist, with no policy when it is new.
func ensureTeam(ctx context.Context, tx *sql.Tx, name string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO teams (name) VALUES (?) ON CONFLICT DO NOTHING`, name)
	return err
}

func selectTeam(ctx context.Context, q queryer, name string) (developer.Team, error) {
	team, err := scanTeam(q.QueryRowContext(ctx, selectTeams+` WHERE p.name = ?`, name))
	return team, found(fmt.Sprintf("team %s", name), err)
}

func scanTeam(row scanner) (team developer.Team, err error) {
	var (
		updated int64
		policy  policyRow
	)
	err = row.Scan(append([]any{&team.Name, &updated, &team.Developers}, policy.fields()...)...)
	team.Updated, team.Policy = timeKept(updated), policy.policy()
	return team, err
}

// policyRow is policyColumns as stored.
type policyRow struct {
	models string
	kept   developer.Policy
}

func (r *policyRow) fields() []any {
	return []any{
		&r.models, &r.kept.DeveloperBudgetNanos, &r.kept.TeamBudgetNanos,
		&r.kept.RequestsPerMinute, &r.kept.ConcurrentStreams, &r.kept.Contact,
	}
}

func (r *policyRow) policy() developer.Policy {
	policy := r.kept
	if r.models != "" {
		policy.Models = strings.Fields(r.models)
	}
	return policy
}
