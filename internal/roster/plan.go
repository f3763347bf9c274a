package roster

import (
	"time"

	"codex-proxy/internal/developer"
)

// Action is what a plan does about one developer.
type Action string

// The actions.
const (
	// Add makes the developer.
	Add Action = "add"
	// Update changes the developer's name, team or both.
	Update Action = "update"
	// Enable lets the developer in again, and updates them where they differ.
	Enable Action = "enable"
	// Disable keeps the developer out.
	Disable Action = "disable"
	// Differs: the developer's name or team differs, and stays as it is.
	Differs Action = "differs"
	// Unchanged: the developer is there as the roster says.
	Unchanged Action = "unchanged"
)

// Actions are all actions, in the order of telling them.
var Actions = []Action{Add, Update, Enable, Disable, Differs, Unchanged}

// Step is what a plan does about one developer.
type Step struct {
	Action Action
	// Line is where the developer stands in the roster; 0 when they do not.
	Line int
	// Before is the developer who is there; zero for Add. After is what they
	// become, or would become where the action is Differs.
	Before, After developer.Developer
}

// Plan is what a roster asks to be done, in the order of the roster, and then
// about those who are missing from it.
type Plan struct {
	Steps []Step
	// Enabled is the number of developers who may use the proxy so far.
	Enabled int
}

// PlanImport plans to add those who are not there yet, and with update to give
// those who are the names and teams of the roster.
func PlanImport(list Roster, existing []developer.Developer, update bool, now time.Time) Plan {
	plan, known := begin(existing)
	for _, entry := range list.Entries {
		step := entry.step(known, now)
		if step.Action == Update && !update {
			step.Action = Differs
		}
		plan.Steps = append(plan.Steps, step)
	}
	return plan
}

// PlanSync plans to make the developers those of the roster, which is the whole
// of them: it also disables who is missing from it, and lets those in again whom
// an earlier sync disabled; with enable, those whom a person disabled too.
func PlanSync(list Roster, existing []developer.Developer, enable bool, now time.Time) Plan {
	plan, known := begin(existing)
	listed := map[string]bool{}
	for _, entry := range list.Entries {
		step := entry.step(known, now)
		if step.Action != Add && !step.Before.Enabled && (enable || step.Before.DisabledBy == developer.DisabledBySync) {
			step.Action = Enable
			step.After.Enable(now)
		}
		listed[entry.ID] = true
		plan.Steps = append(plan.Steps, step)
	}
	for _, d := range existing {
		if d.Enabled && !listed[d.ID] {
			after := d
			after.Disable(developer.DisabledBySync, now)
			plan.Steps = append(plan.Steps, Step{Action: Disable, Before: d, After: after})
		}
	}
	return plan
}

func begin(existing []developer.Developer) (plan Plan, known map[string]developer.Developer) {
	known = make(map[string]developer.Developer, len(existing))
	for _, d := range existing {
		known[d.ID] = d
		if d.Enabled {
			plan.Enabled++
		}
	}
	return plan, known
}

// step is Add, Update or Unchanged.
func (e Entry) step(known map[string]developer.Developer, now time.Time) Step {
	before, there := known[e.ID]
	if !there {
		team := e.Team
		if team == "" {
			team = developer.DefaultTeam
		}
		return Step{Action: Add, Line: e.Line, After: developer.Developer{ID: e.ID, Name: e.Name, Team: team, Enabled: true, Created: now, Updated: now}}
	}
	after := before
	if e.Name != "" {
		after.Name = e.Name
	}
	if e.Team != "" {
		after.Team = e.Team
	}
	if after == before {
		return Step{Action: Unchanged, Line: e.Line, Before: before, After: after}
	}
	after.Updated = now
	return Step{Action: Update, Line: e.Line, Before: before, After: after}
}

// Count is the number of developers about whom an action is done.
func (p Plan) Count(action Action) int {
	n := 0
	for _, step := range p.Steps {
		if step.Action == action {
			n++
		}
	}
	return n
}

// KeptOut is the number of developers of the roster who are disabled and stay so.
func (p Plan) KeptOut() int {
	n := 0
	for _, step := range p.Steps {
		if step.Action != Disable && !step.After.Enabled {
			n++
		}
	}
	return n
}

// CutsOffMany tells whether the plan disables more than a third of those who may
// use the proxy, which is what a file that was cut short would ask for.
func (p Plan) CutsOffMany() bool { return 3*p.Count(Disable) > p.Enabled }

// Batch is the plan for a store, without tokens.
func (p Plan) Batch() developer.Batch {
	var batch developer.Batch
	for _, step := range p.Steps {
		switch step.Action {
		case Add:
			batch.Add = append(batch.Add, step.After)
		case Update, Enable, Disable:
			batch.Change = append(batch.Change, developer.Change{Before: step.Before, After: step.After})
		case Differs, Unchanged:
		}
	}
	return batch
}
