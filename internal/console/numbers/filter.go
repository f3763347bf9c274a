package numbers

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/ledger"
)

// filter is what an overview is asked for. All of it is in the address, as
// identifiers and dates alone.
type filter struct {
	// Range is a name of ranges, or empty when From and To were chosen.
	Range string
	// From and To are the first and the last day.
	From, To               string
	Zone                   string
	By                     ledger.By
	Metric                 string
	Developer, Team, Model string
	Compare                bool
	// Fixed says that the developer cannot be chosen.
	Fixed bool

	zone *time.Location
	// usual is the zone unless an address names one.
	usual       string
	first, last time.Time
	// whose is the developer, where Developer may be a pseudonym.
	whose string
}

// choice is one of those that a page offers.
type choice struct{ Value, Label string }

// ranges are those that can be chosen by name. first is the first day of one
// whose last is today, unless last says otherwise.
var ranges = []struct {
	choice
	days func(today time.Time) (first, last time.Time)
}{
	{choice{"today", "Today"}, func(t time.Time) (time.Time, time.Time) { return t, t }},
	{choice{"yesterday", "Yesterday"}, func(t time.Time) (time.Time, time.Time) { return t.AddDate(0, 0, -1), t.AddDate(0, 0, -1) }},
	{choice{"7d", "7 days"}, func(t time.Time) (time.Time, time.Time) { return t.AddDate(0, 0, -6), t }},
	{choice{"30d", "30 days"}, func(t time.Time) (time.Time, time.Time) { return t.AddDate(0, 0, -29), t }},
	{choice{"month", "This month"}, func(t time.Time) (time.Time, time.Time) { return t.AddDate(0, 0, 1-t.Day()), t }},
	{choice{"last-month", "Last month"}, func(t time.Time) (time.Time, time.Time) {
		end := t.AddDate(0, 0, -t.Day())
		return end.AddDate(0, 0, 1-end.Day()), end
	}},
	{choice{"90d", "90 days"}, func(t time.Time) (time.Time, time.Time) { return t.AddDate(0, 0, -89), t }},
	{choice{"year", "This year"}, func(t time.Time) (time.Time, time.Time) { return t.AddDate(0, 0, 1-t.YearDay()), t }},
}

const defaultRange = "7d"

// filter reads what is asked for from the address. by are the groupings that can
// be asked for.
func (v *view) filter(by ...ledger.By) (filter, error) { return v.filterOf(v.R.URL.Query(), by...) }

func (v *view) filterOf(q url.Values, by ...ledger.By) (filter, error) {
	f := filter{
		Range: q.Get("range"), From: q.Get("from"), To: q.Get("to"), Zone: q.Get("zone"),
		By: ledger.By(q.Get("by")), Metric: q.Get("metric"),
		Developer: q.Get("developer"), Team: q.Get("team"), Model: q.Get("model"), Compare: q.Get("compare") != "no",
		zone: v.Zone, usual: v.Zone.String(),
	}
	if v.Viewer.Only != "" {
		f.Developer, f.Fixed = v.Viewer.Only, true
	}
	if f.By == "" {
		f.By = ledger.ByTeam
		if f.Fixed {
			f.By = ledger.ByModel
		}
	}
	if !slices.Contains(by, f.By) {
		return f, visit.BadRequest("There is no such grouping: they are %v.", by)
	}
	if f.Metric == "" {
		f.Metric = metrics[0].Name
	}
	if _, ok := findMetric(f.Metric); !ok {
		return f, visit.BadRequest("There is no such number: they are %s.", strings.Join(metricNames(), ", "))
	}
	if f.Zone != "" {
		zone, err := time.LoadLocation(f.Zone)
		if err != nil || f.Zone == "Local" {
			return f, visit.BadRequest("This is no time zone: give a name such as UTC or Europe/Berlin.")
		}
		f.zone = zone
	}
	f.Zone, f.whose = f.zone.String(), f.Developer
	return f, f.days(date(v.Now(), f.zone))
}

// Location is the time zone.
func (f filter) Location() *time.Location { return f.zone }

// days finds the first and the last day.
func (f *filter) days(today time.Time) (err error) {
	if f.From != "" || f.To != "" {
		f.Range = ""
		if f.last, err = visit.Day(f.To, today); err != nil {
			return err
		}
		if f.first, err = visit.Day(f.From, f.last); err != nil {
			return err
		}
	} else {
		if f.Range == "" {
			f.Range = defaultRange
		}
		for _, r := range ranges {
			if r.Value == f.Range {
				f.first, f.last = r.days(today)
			}
		}
		if f.last.IsZero() {
			return visit.BadRequest("There is no range of this name.")
		}
	}
	if f.last.Before(f.first) {
		return visit.BadRequest("The first day, %s, is after the last, %s.", f.first.Format(time.DateOnly), f.last.Format(time.DateOnly))
	}
	if daysBetween(f.first, f.last) > mostDays || f.first.Year() < 2000 {
		return visit.BadRequest("This is too long a time: choose at most 20 years.")
	}
	f.From, f.To = f.first.Format(time.DateOnly), f.last.Format(time.DateOnly)
	return nil
}

// query is the address of what is asked for, with some of it changed.
func (f filter) query(changes ...string) string {
	q := url.Values{}
	set := func(name, value, otherwise string) {
		if value != otherwise {
			q.Set(name, value)
		}
	}
	if f.Range != "" {
		set("range", f.Range, defaultRange)
	} else {
		set("from", f.From, "")
		set("to", f.To, "")
	}
	set("zone", f.Zone, f.usual)
	set("by", string(f.By), "")
	set("metric", f.Metric, metrics[0].Name)
	if !f.Fixed {
		set("developer", f.Developer, "")
	}
	set("team", f.Team, "")
	set("model", f.Model, "")
	if !f.Compare {
		q.Set("compare", "no")
	}
	for i := 0; i < len(changes); i += 2 {
		if name, value := changes[i], changes[i+1]; value == "" {
			q.Del(name)
		} else {
			q.Set(name, value)
		}
	}
	return "?" + q.Encode()
}

// ledger is the query of the ledger for a time.
func (f filter) ledger(by ledger.By, from, to time.Time) ledger.Query {
	return ledger.Query{From: from, To: to, By: by, Developer: f.whose, Team: f.Team, Model: f.Model, Zone: f.zone}
}
