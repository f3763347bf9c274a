package roster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/roster"
)

var (
	then = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now  = then.Add(24 * time.Hour)
)

func read(t *testing.T, text string) roster.Roster {
	t.Helper()
	list, err := roster.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// staff are developers who are there already.
func staff(t *testing.T) []developer.Developer {
	t.Helper()
	var all []developer.Developer
	for _, id := range []string{"alice", "bob", "carol", "dave"} {
		d, err := developer.New(id, strings.ToUpper(id), "core", then)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	all[2].Disable(developer.DisabledBySync, then)
	all[3].Disable("", then)
	return all
}

// told is a plan in short: what is done, and what the developer then is.
func told(plan roster.Plan) (all []string) {
	for _, step := range plan.Steps {
		all = append(all, fmt.Sprintf("%d %s %s %q %s %v%s", step.Line, step.Action, step.After.ID, step.After.Name, step.After.Team, step.After.Enabled, step.After.DisabledBy))
	}
	return all
}

func TestAnImportAddsAndLeavesTheRest(t *testing.T) {
	list := read(t, "login,name,team\nerin,Erin,\nalice,,\nbob,Robert,infra\ncarol,CAROL,core\n")
	for update, bob := range map[bool]string{false: "differs", true: "update"} {
		plan := roster.PlanImport(list, staff(t), update, now)
		want := []string{
			`2 add erin "Erin" default true`,
			`3 unchanged alice "ALICE" core true`,
			`4 ` + bob + ` bob "Robert" infra true`,
			`5 unchanged carol "CAROL" core falsesync`,
		}
		if diff := cmp.Diff(want, told(plan)); diff != "" {
			t.Errorf("update %v: plan (-want +got):\n%s", update, diff)
		}
		batch := plan.Batch()
		if len(batch.Add) != 1 || len(batch.Change) != plan.Count(roster.Update) || (len(batch.Change) == 1) != update {
			t.Errorf("update %v: the batch is %+v", update, batch)
		}
	}
}

func TestASyncMakesTheDevelopersThoseOfTheRoster(t *testing.T) {
	list := read(t, "login,name,team\nbob,Robert,\ncarol,,infra\ndave,,\nerin,,\n")
	for enable, dave := range map[bool]string{false: `4 unchanged dave "DAVE" core false`, true: `4 enable dave "DAVE" core true`} {
		plan := roster.PlanSync(list, staff(t), enable, now)
		want := []string{
			`2 update bob "Robert" core true`,
			`3 enable carol "CAROL" infra true`,
			dave,
			`5 add erin "" default true`,
			`0 disable alice "ALICE" core falsesync`,
		}
		if diff := cmp.Diff(want, told(plan)); diff != "" {
			t.Errorf("enable %v: plan (-want +got):\n%s", enable, diff)
		}
	}
}

func TestAPlanThatIsDoneAsksForNothingMore(t *testing.T) {
	list := read(t, "login,name,team\nbob,Robert,\ncarol,,infra\nerin,,\n")
	first := roster.PlanSync(list, staff(t), false, now)
	var after []developer.Developer
	for _, step := range first.Steps {
		after = append(after, step.After)
	}
	second := roster.PlanSync(list, after, false, now.Add(time.Hour))
	if batch := second.Batch(); len(batch.Add)+len(batch.Change) != 0 {
		t.Errorf("the second time there is still to do: %+v", batch)
	}
}

func TestMoreThanAThirdIsMany(t *testing.T) {
	var people []developer.Developer
	for i := range 9 {
		d, err := developer.New(fmt.Sprintf("dev%d", i), "", "", then)
		if err != nil {
			t.Fatal(err)
		}
		people = append(people, d)
	}
	people = append(people, staff(t)[2]) // is disabled, and counts for nothing
	for listed, want := range map[int]bool{9: false, 6: false, 5: true, 1: true} {
		var text strings.Builder
		for _, d := range people[:listed] {
			fmt.Fprintln(&text, d.ID)
		}
		if plan := roster.PlanSync(read(t, text.String()), people, false, now); plan.CutsOffMany() != want {
			t.Errorf("a roster with %d of 9 cuts off many: %v, want %v", listed, !want, want)
		}
	}
}
