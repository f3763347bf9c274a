package main

import (
	"context"

	web "codex-proxy/internal/console"
	"codex-proxy/internal/developer"
	"codex-proxy/internal/onboard"
)

// facts are what the console's page of settings shows, each as a command tells it.
func (p *proxy) facts(c *console) []web.Fact {
	return []web.Fact{
		{Name: "health", Title: "Health", Read: func(ctx context.Context) (web.Table, error) { return p.health(ctx, c), nil }},
		{Name: "teams", Title: "Teams", Read: p.teamsTable},
		{Name: "secret-rules", Title: "Rules for secrets", Read: func(ctx context.Context) (web.Table, error) { return secretRulesTable(ctx, c.settings) }},
		{Name: "prices", Title: "Prices", Read: func(context.Context) (web.Table, error) { return p.prices(), nil }},
	}
}

// health is what 'doctor' finds just now.
func (p *proxy) health(ctx context.Context, c *console) web.Table {
	local := *c
	local.ctx = ctx
	findings := []onboard.Finding{}
	examineServer(&local, func(*console) (proxyOptions, error) { return p.options, nil }, func(f onboard.Finding) {
		findings = append(findings, f)
	})
	return web.Table{
		About: "What 'codex-proxy doctor' checks, as it is now.", Columns: []string{"Check", "Verdict", "What was found", "What to do"}, Data: map[string]any{"checks": findings},
		Rows: rows(findings, func(f onboard.Finding) []string { return []string{f.Check, string(f.Verdict), f.Detail, f.Fix} }),
	}
}

// teamsTable is what each team may use.
func (p *proxy) teamsTable(ctx context.Context) (web.Table, error) {
	teams, err := p.developers.Teams(ctx)
	if err != nil {
		return web.Table{}, err
	}
	return web.Table{
		About:   "What teams may use; 'codex-proxy team set' changes it for the next request.",
		Columns: []string{"Team", "Models", "Budget of a developer", "Budget of the team", "Requests a minute", "Streams at once", "Whom to ask"},
		Data:    map[string]any{"teams": rows(teams, newTeamRow)},
		Rows: rows(teams, func(t developer.Team) []string {
			cells := []string{t.Name}
			for _, field := range policyFields(t.Policy) {
				cells = append(cells, field[1])
			}
			return cells
		}),
	}, nil
}

// secretRulesTable is what is looked for, and what becomes of what is found.
func secretRulesTable(ctx context.Context, s *Settings) (web.Table, error) {
	all, err := secretRuleRows(ctx, s, "")
	if err != nil {
		return web.Table{}, err
	}
	return web.Table{
		About: "As they are for everybody; docs/secrets.md says how teams and developers may differ.", Columns: []string{"Rule", "Class", "Mode"}, Data: map[string]any{"rules": all},
		Rows: rows(all, func(r ruleRow) []string { return []string{r.Rule, r.Class, r.Mode} }),
	}, nil
}

// prices are those that exchanges are rated by.
func (p *proxy) prices() web.Table {
	all := priceRows(p.book)
	return web.Table{
		About:   "USD for a million tokens, by the price book of " + p.book.Edition() + ". 'codex-proxy price update' and [[price]] tables change them.",
		Columns: []string{"Model", "From", "Tier", "Input", "Cached input", "Output"}, Data: map[string]any{"edition": p.book.Edition(), "prices": all},
		Rows: rows(all, func(r priceRow) []string {
			return []string{r.Model, r.From, r.tier(), r.Input.String(), r.CachedInput.String(), r.Output.String()}
		}),
	}
}
