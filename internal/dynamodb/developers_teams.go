package dynamodb

import (
	"context"
	"fmt"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"codex-proxy/internal/developer"
)

func teamKey(name string) item { return item{"id": text(teamPrefix + name)} }

// teamItem is a team as the table holds one.
type teamItem struct {
	Key string `dynamodbav:"id"`
	stamp
	Policy  policyItem `dynamodbav:"policy"`
	Updated int64      `dynamodbav:"updated"`
}

// policyItem is developer.Policy with the names that its fields are kept under.
type policyItem struct {
	Models               []string `dynamodbav:"models"`
	DeveloperBudgetNanos int64    `dynamodbav:"developer_budget_nanos"`
	TeamBudgetNanos      int64    `dynamodbav:"team_budget_nanos"`
	RequestsPerMinute    int      `dynamodbav:"requests_per_minute"`
	ConcurrentStreams    int      `dynamodbav:"concurrent_streams"`
	Contact              string   `dynamodbav:"contact"`
}

// loadTeam returns a team's item; one that is not there has version 0 and no
// policy.
func (s *Developers) loadTeam(ctx context.Context, name string) (t teamItem, err error) {
	if len(name) > longestName {
		return t, nil
	}
	_, err = s.table.get(ctx, teamKey(name), &t)
	return t, err
}

// ensureTeam makes a team exist, with no policy when it is new. If the developer
// for whom it is made cannot be written after all, it stays, without developers.
func (s *Developers) ensureTeam(ctx context.Context, name string) error {
	_, err := s.table.put(ctx, teamItem{Key: teamPrefix + name, stamp: stamp{}.next()}, "attribute_not_exists(version)", nil)
	return err
}

// Team implements developer.Store.
func (s *Developers) Team(ctx context.Context, name string) (developer.Team, error) {
	all, err := s.teams(ctx)
	if err != nil {
		return developer.Team{}, err
	}
	team, found := all[name]
	if !found {
		return developer.Team{}, fmt.Errorf("team %s %w", name, developer.ErrNotFound)
	}
	return *team, nil
}

// Contact implements invite.Store.
func (s *Developers) Contact(ctx context.Context, team string) (string, error) {
	t, err := s.loadTeam(ctx, team)
	return t.Policy.Contact, err
}

// Teams implements developer.Store.
func (s *Developers) Teams(ctx context.Context) ([]developer.Team, error) {
	teams, err := s.teams(ctx)
	if err != nil {
		return nil, err
	}
	var all []developer.Team
	for _, name := range sorted(teams) {
		all = append(all, *teams[name])
	}
	return all, nil
}

// teams returns the teams by their names. One that developers belong to is there
// even if it has no item.
func (s *Developers) teams(ctx context.Context) (map[string]*developer.Team, error) {
	all := map[string]*developer.Team{}
	team := func(name string) *developer.Team {
		if all[name] == nil {
			all[name] = &developer.Team{Name: name}
		}
		return all[name]
	}
	team(developer.DefaultTeam)
	err := s.table.scan(ctx, sdk.ScanInput{}, func(found item) error {
		var d developerItem
		var t teamItem
		if err := s.table.decode(found, &t); err != nil {
			return err
		}
		name, isTeam := strings.CutPrefix(t.Key, teamPrefix)
		switch {
		case isTeam:
			is := team(name)
			is.Policy, is.Updated = developer.Policy(t.Policy), timeKept(t.Updated)
		case strings.HasPrefix(t.Key, developerPrefix):
			if err := s.table.decode(found, &d); err != nil {
				return err
			}
			team(d.Team).Developers++
		}
		return nil
	})
	return all, err
}

// UpdateTeam implements developer.Store.
func (s *Developers) UpdateTeam(ctx context.Context, name string, at time.Time, change func(*developer.Policy) error) (developer.Team, error) {
	if err := developer.CheckTeamName(name); err != nil {
		return developer.Team{}, err
	}
	for try := range tries {
		if err := pause(ctx, try); err != nil {
			return developer.Team{}, err
		}
		t, err := s.loadTeam(ctx, name)
		if err != nil {
			return developer.Team{}, err
		}
		before := t.stamp
		policy := developer.Policy(t.Policy)
		if err := change(&policy); err != nil {
			return developer.Team{}, err
		}
		if err := policy.Validate(); err != nil {
			return developer.Team{}, err
		}
		t.Policy = policyItem(policy)
		t.Key, t.stamp, t.Updated = teamPrefix+name, before.next(), keptTime(at)
		written, err := s.table.put(ctx, t, "attribute_not_exists(version) OR version = :version", item{":version": number(before.Version)})
		if err == nil && !written {
			var now teamItem
			now, err = s.loadTeam(ctx, name)
			written = now.Write == t.Write // its answer was lost
		}
		if err != nil {
			return developer.Team{}, err
		}
		if written {
			return s.Team(ctx, name)
		}
	}
	return developer.Team{}, fmt.Errorf("team %s is being changed by others all the time: try again", name)
}

// RemoveTeam implements developer.Store. A developer who is put into the team at
// the same moment makes it anew, without a policy, as if it had been just before.
func (s *Developers) RemoveTeam(ctx context.Context, name string) error {
	team, err := s.Team(ctx, name)
	if err != nil {
		return err
	}
	if name == developer.DefaultTeam || team.Developers > 0 {
		return fmt.Errorf("team %s %w", name, developer.ErrInUse)
	}
	_, err = s.table.remove(ctx, teamKey(name), "attribute_exists(version)", nil)
	return err
}
