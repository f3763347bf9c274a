package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/terminal"
)

type teamCommand struct {
	Set    teamSetCommand    `cmd:"" help:"Set a team's policy; what is not named stays as it is."`
	List   teamListCommand   `cmd:"" help:"List all teams."`
	Show   teamShowCommand   `cmd:"" help:"Show a team and its policy."`
	Remove teamRemoveCommand `cmd:"" help:"Delete a team that has no developers."`
}

type teamSetCommand struct {
	Team            string  `arg:"" name:"name" help:"The team; 'default' is that of developers for whom none was named."`
	Models          *string `help:"Models that may be used, separated by commas; * stands for any text (gpt-5*,o3). 'all' allows all." env:"-" placeholder:"MODEL,…"`
	DeveloperBudget *usd    `help:"What one developer may spend in a calendar month (UTC), in USD; 0 for no budget." env:"-" placeholder:"USD"`
	TeamBudget      *usd    `help:"What the team may spend in a calendar month (UTC), in USD; 0 for no budget." env:"-" placeholder:"USD"`
	Rate            *int    `help:"Requests per minute of one developer; 0 for no limit." env:"-" placeholder:"N"`
	Streams         *int    `help:"Streams that one developer may have open at once; 0 for no limit." env:"-" placeholder:"N"`
	Contact         *string `help:"Whom to ask; developers read it when they are refused." env:"-" placeholder:"TEXT"`
	jsonFlag
}

func (cmd *teamSetCommand) Run(c *console) error {
	if err := developer.CheckTeamName(cmd.Team); err != nil {
		return misuse("%v", err)
	}
	return withDevelopers(c, change, func(store developer.Store) error {
		team, err := store.UpdateTeam(c.ctx, cmd.Team, now(), func(p *developer.Policy) error {
			cmd.apply(p)
			if err := p.Validate(); err != nil {
				return misuse("%v", err)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return printTeam(c, team, cmd.JSON)
	})
}

// apply changes what was named.
func (cmd *teamSetCommand) apply(p *developer.Policy) {
	if cmd.Models != nil {
		p.Models = models(*cmd.Models)
	}
	if cmd.DeveloperBudget != nil {
		p.DeveloperBudgetNanos = int64(*cmd.DeveloperBudget)
	}
	if cmd.TeamBudget != nil {
		p.TeamBudgetNanos = int64(*cmd.TeamBudget)
	}
	if cmd.Rate != nil {
		p.RequestsPerMinute = *cmd.Rate
	}
	if cmd.Streams != nil {
		p.ConcurrentStreams = *cmd.Streams
	}
	if cmd.Contact != nil {
		p.Contact = *cmd.Contact
	}
}

// models reads a list of patterns; nil means all models.
func models(list string) []string {
	if list == "all" || list == "*" {
		return nil
	}
	return rows(strings.Split(list, ","), strings.TrimSpace)
}

type teamListCommand struct{ jsonFlag }

func (cmd *teamListCommand) Run(c *console) error {
	return withDevelopers(c, look, func(store developer.Store) error {
		teams, err := store.Teams(c.ctx)
		if err != nil {
			return err
		}
		if cmd.JSON {
			return printSafeJSON(c.stdout, rows(teams, newTeamRow))
		}
		header := []string{"TEAM", "DEVELOPERS", "MODELS", "DEVELOPER BUDGET", "TEAM BUDGET", "REQUESTS/MIN", "STREAMS", "CONTACT"}
		return printTable(c.stdout, header, rows(teams, func(t developer.Team) []string {
			cells := []string{t.Name, strconv.Itoa(t.Developers)}
			for _, field := range policyFields(t.Policy) {
				cells = append(cells, field[1])
			}
			return cells
		}))
	})
}

type teamShowCommand struct {
	Team string `arg:"" name:"name" help:"The team."`
	jsonFlag
}

func (cmd *teamShowCommand) Run(c *console) error {
	return withDevelopers(c, look, func(store developer.Store) error {
		team, err := store.Team(c.ctx, cmd.Team)
		if err != nil {
			return explainMissingTeam(err, cmd.Team)
		}
		return printTeam(c, team, cmd.JSON)
	})
}

type teamRemoveCommand struct {
	Team string `arg:"" name:"name" help:"The team."`
}

func (cmd *teamRemoveCommand) Run(c *console) error {
	if cmd.Team == developer.DefaultTeam {
		return misuse("the team %[1]s cannot be removed: 'codex-proxy team set %[1]s' changes its policy", developer.DefaultTeam)
	}
	return withDevelopers(c, change, func(store developer.Store) error {
		err := store.RemoveTeam(c.ctx, cmd.Team)
		if errors.Is(err, developer.ErrInUse) {
			return fmt.Errorf("the team %s still has developers: move them with 'codex-proxy developer set ID --team NAME' first", terminal.Safe(cmd.Team))
		}
		if err != nil {
			return explainMissingTeam(err, cmd.Team)
		}
		_, err = fmt.Fprintf(c.stdout, "Removed the team %s.\n", terminal.Safe(cmd.Team))
		return err
	})
}

// explainMissingTeam says what to do when a team is not found.
func explainMissingTeam(err error, name string) error {
	if errors.Is(err, developer.ErrNotFound) {
		return fmt.Errorf("there is no team %s: 'codex-proxy team list' shows all, 'codex-proxy team set' makes one", terminal.Safe(name))
	}
	return err
}

func printTeam(c *console, team developer.Team, asJSON bool) error {
	if asJSON {
		return printSafeJSON(c.stdout, newTeamRow(team))
	}
	fields := [][2]string{{"team", team.Name}, {"developers", strconv.Itoa(team.Developers)}}
	return printFields(c.stdout, append(fields, policyFields(team.Policy)...))
}

// policyFields are a policy for people to read, in the order of the table's
// columns.
func policyFields(p developer.Policy) [][2]string {
	allowed := "all"
	if len(p.Models) > 0 {
		allowed = strings.Join(p.Models, ",")
	}
	return [][2]string{
		{"models", allowed},
		{"developer budget", perMonth(p.DeveloperBudgetNanos)},
		{"team budget", perMonth(p.TeamBudgetNanos)},
		{"requests per minute", limit(p.RequestsPerMinute)},
		{"streams at once", limit(p.ConcurrentStreams)},
		{"contact", p.Contact},
	}
}

func perMonth(nanos int64) string {
	if nanos == 0 {
		return "none"
	}
	return usd(nanos).String() + " USD/month"
}

func limit(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// teamRow is a team in JSON.
type teamRow struct {
	Name       string    `json:"name"`
	Developers int       `json:"developers"`
	Updated    time.Time `json:"updated,omitzero"`
	policyRow
}

func newTeamRow(t developer.Team) teamRow {
	return teamRow{Name: t.Name, Developers: t.Developers, Updated: t.Updated, policyRow: newPolicyRow(t.Policy)}
}

// policyRow is a policy in JSON; null is no limit, and no models are all.
type policyRow struct {
	Models             []string     `json:"models"`
	DeveloperBudgetUSD *json.Number `json:"developer_budget_usd_per_month"`
	TeamBudgetUSD      *json.Number `json:"team_budget_usd_per_month"`
	RequestsPerMinute  *int         `json:"requests_per_minute"`
	ConcurrentStreams  *int         `json:"concurrent_streams"`
	Contact            string       `json:"contact"`
}

func newPolicyRow(p developer.Policy) policyRow {
	budget := func(nanos int64) *json.Number {
		if nanos == 0 {
			return nil
		}
		number := json.Number(usd(nanos).String())
		return &number
	}
	limit := func(n int) *int {
		if n == 0 {
			return nil
		}
		return &n
	}
	return policyRow{
		Models:             append([]string{}, p.Models...),
		DeveloperBudgetUSD: budget(p.DeveloperBudgetNanos),
		TeamBudgetUSD:      budget(p.TeamBudgetNanos),
		RequestsPerMinute:  limit(p.RequestsPerMinute),
		ConcurrentStreams:  limit(p.ConcurrentStreams),
		Contact:            p.Contact,
	}
}

// usd is an amount of money in USD nanos that is written in dollars.
type usd int64

// UnmarshalText reads an amount such as 12.50, exactly.
func (u *usd) UnmarshalText(text []byte) error {
	nanos, err := exchange.ParseUSD(string(text))
	*u = usd(nanos)
	return err
}

// String writes the amount with two decimals, or as many as it needs.
func (u usd) String() string { return exchange.USD(int64(u)).String() }
