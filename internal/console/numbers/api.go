package numbers

import (
	"time"

	"codex-proxy/internal/ledger"
)

// countsJSON is what exchanges add up to, for programs.
type countsJSON struct {
	ledger.CountsJSON

	ActiveDevelopers *int64 `json:"active_developers,omitempty"`
}

func newCountsJSON(g *group) countsJSON {
	c := countsJSON{CountsJSON: g.Counts.JSON()}
	if g.developers != nil {
		n := g.Developers()
		c.ActiveDevelopers = &n
	}
	return c
}

type groupJSON struct {
	Name string `json:"name"`
	countsJSON
}

type stepJSON struct {
	From   time.Time   `json:"from"`
	To     time.Time   `json:"to"`
	Total  countsJSON  `json:"total"`
	Groups []groupJSON `json:"groups"`
}

// overviewJSON tells programs what the page shows.
func (v *view) overviewJSON() error {
	o, err := v.read()
	if err != nil {
		return err
	}
	m, _ := findMetric(o.filter.Metric)
	keys := o.now.ranked(m)
	named := func(groups map[string]*group) []groupJSON {
		all := []groupJSON{}
		for _, key := range keys {
			if g := groups[key]; g != nil {
				all = append(all, groupJSON{v.exported(o.filter, key), newCountsJSON(g)})
			}
		}
		return all
	}
	steps := []stepJSON{}
	for i, begin := range o.period.Begins {
		s := &o.now.Steps[i]
		steps = append(steps, stepJSON{begin, o.period.end(i), newCountsJSON(&s.Total), named(s.Groups)})
	}
	answer := map[string]any{
		"from": o.filter.From, "to": o.filter.To, "timezone": o.filter.Zone, "by": o.filter.By, "step": o.period.Unit,
		"total": newCountsJSON(&o.now.Total), "groups": named(o.now.Groups), "steps": steps,
		"today": newCountsJSON(o.today), "live": o.live,
		"added_us": percentiles(o.delays),
	}
	if o.before != nil {
		answer["previous"] = newCountsJSON(&o.before.Total)
	}
	return v.Tell(answer)
}

// percentiles are the times that the proxy added, in microseconds; null if there
// are none.
func percentiles(d ledger.Delays) any {
	p50, ok := d.Percentile(50)
	if !ok {
		return nil
	}
	p99, _ := d.Percentile(99)
	return map[string]int64{"p50": p50.Microseconds(), "p99": p99.Microseconds()}
}

// usageJSON answers as 'codex-proxy usage --json' does.
func (v *view) usageJSON() error {
	groupings := []ledger.By{ledger.ByDeveloper, ledger.ByTeam, ledger.ByModel, ledger.ByDay}
	if v.Viewer.Lists() {
		groupings = append(groupings, ledger.BySession)
	}
	f, err := v.filter(groupings...)
	if err != nil {
		return err
	}
	from, to := startOfDay(f.first, f.zone), startOfDay(f.last.AddDate(0, 0, 1), f.zone)
	if err := v.unmask(v.R.Context(), &f, from, to); err != nil {
		return err
	}
	report, err := ledger.NewReport(v.R.Context(), v.Ledger, f.ledger(f.By, from, to))
	if err != nil {
		return err
	}
	rows := make([]ledger.RowJSON, 0, len(report.Rows))
	for _, r := range report.Rows {
		if f.By == ledger.ByDeveloper {
			r.Key = v.name(r.Key)
		}
		rows = append(rows, r.JSON(f.By))
	}
	return v.Tell(map[string]any{
		"from": f.From, "to": f.To, "timezone": f.Zone, "by": f.By, "records": report.Total.Records,
		"rows": rows, "total": report.Total.JSON(""),
	})
}
