package numbers

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"codex-proxy/internal/console/figure"
	"codex-proxy/internal/ledger"
	"codex-proxy/internal/terminal"
)

// overview is all that an overview says.
type overview struct {
	filter filter
	period period
	now    *tally
	// before is the period of the same length before it; nil unless it is compared.
	before *tally
	today  *group
	delays ledger.Delays
	// live is how many exchanges run now.
	live int
}

// read reads what the address asks for.
func (v *view) read() (*overview, error) {
	f, err := v.filter(ledger.ByTeam, ledger.ByDeveloper, ledger.ByModel)
	if err != nil {
		return nil, err
	}
	ctx := v.R.Context()
	o := &overview{period: newPeriod(f.first, f.last, f.zone, v.Now())}
	p := o.period
	count := daysBetween(f.first, f.last) + 1
	earlierPeriod := newPeriod(f.first.AddDate(0, 0, -count), f.last.AddDate(0, 0, -count), f.zone, p.From)
	if p.Until.Before(p.To) { // as far as this one has come
		earlierPeriod.Until = earlier(p.Until.In(f.zone).AddDate(0, 0, -count), earlierPeriod.To)
	}
	if err := v.unmask(ctx, &f, earlierPeriod.From, p.To); err != nil {
		return nil, err
	}
	o.filter, o.live = f, len(v.running(f))

	reading, ctx := errgroup.WithContext(ctx)
	reading.Go(func() (err error) { o.now, err = v.gather(ctx, f, p); return err })
	if f.Compare {
		reading.Go(func() (err error) { o.before, err = v.gather(ctx, f, earlierPeriod); return err })
	}
	reading.Go(func() (err error) { o.delays, err = v.Ledger.Delays(ctx, f.whose, p.From, p.Until); return err })
	reading.Go(func() (err error) { o.today, err = v.today(ctx, f); return err })
	return o, reading.Wait()
}

// today adds up what there is of today.
func (v *view) today(ctx context.Context, f filter) (*group, error) {
	first := date(v.Now(), f.zone)
	today := newPeriod(first, first, f.zone, v.Now())
	today.Begins, today.Unit = []time.Time{today.From}, days
	t, err := v.gather(ctx, f, today)
	return &t.Total, err
}

// link leads to what differs by one choice.
type link struct {
	Label, Address string
	Current        bool
}

// tile is one number that stands out.
type tile struct {
	Label, Value, Detail string
	// Change is how it differs from the period before; empty if that is unknown.
	Change string
	// Address shows it over time; empty if it cannot be.
	Address string
	Current bool
}

// overviewPage is what the template shows.
type overviewPage struct {
	Filter  filter
	Ranges  []link
	Bys     []link
	Narrows []link // each leads to what is seen without it
	Compare link
	Today   []tile
	Tiles   []tile
	Metric  metric
	Unit    unit
	Span    string
	Before  bool
	Chart   chart
	Errors  chart
	Steps   []stepRow
	Rows    []row
	More    int // rows that are left out
	Total   row
	CSV     func(table string) string
	Names   bool // the viewer sees names
}

// row is one group in a table.
type row struct {
	Label, Address string
	Class          string
	*group
	Change string
	Share  string
}

// stepRow is one step in the tables behind the charts.
type stepRow struct {
	Label string
	*group
}

const (
	// mostSeries is how many groups a chart tells apart.
	mostSeries = 8
	// mostRows is how many a table has.
	mostRows = 100
)

func (v *view) overview() error {
	o, err := v.read()
	if err != nil {
		return err
	}
	return v.Page("Overview", "overview", v.overviewPage(o))
}

func (v *view) overviewPage(o *overview) overviewPage {
	f := o.filter
	m, _ := findMetric(f.Metric) // filter has looked for it
	page := overviewPage{
		Filter: f, Metric: m, Unit: o.period.Unit, Before: o.before != nil, Span: span(f),
		Compare: link{Address: overviewPath + f.query("compare", "no")},
		Chart:   v.chart(o, m), Errors: errorsChart(o),
		CSV: func(table string) string { return overviewPath + "/csv" + f.query("table", table) },
	}
	if !f.Compare {
		page.Compare.Address = overviewPath + f.query("compare", "")
	}
	for _, r := range ranges {
		page.Ranges = append(page.Ranges, link{r.Label, overviewPath + f.query("range", r.Value, "from", "", "to", ""), r.Value == f.Range})
	}
	bys := []choice{{"team", "Team"}, {"developer", "Developer"}, {"model", "Model"}}
	if f.Fixed {
		bys = []choice{{"team", "Team"}, {"model", "Model"}}
	}
	for _, by := range bys {
		page.Bys = append(page.Bys, link{by.Label, overviewPath + f.query("by", by.Value), by.Value == string(f.By)})
	}
	for _, n := range []choice{{"developer", f.Developer}, {"team", f.Team}, {"model", f.Model}} {
		if n.Label != "" && !(f.Fixed && n.Value == "developer") {
			page.Narrows = append(page.Narrows, link{n.Value + " " + terminal.Safe(n.Label), overviewPath + f.query(n.Value, ""), false})
		}
	}
	page.Today, page.Tiles = v.todayTiles(o), v.tiles(o)
	v.rows(&page, o, m)
	for i, begin := range o.period.Begins {
		s := &o.now.Steps[i]
		page.Steps = append(page.Steps, stepRow{o.period.Unit.label(begin), &s.Total})
	}
	return page
}

// rows fills the table of groups.
func (v *view) rows(page *overviewPage, o *overview, m metric) {
	of := func(label, address string, g, before *group) row {
		r := row{Label: label, Address: address, group: g, Share: figure.Share(m.value(g), m.value(&o.now.Total))}
		if before != nil {
			r.Change = figure.Change(m.value(g), m.value(before))
		}
		return r
	}
	for i, key := range o.now.ranked(m) {
		if i == mostRows {
			page.More = len(o.now.Groups) - mostRows
			break
		}
		var before *group
		if o.before != nil {
			before = o.before.Groups[key]
		}
		r := of(v.label(o.filter, key), v.narrow(o.filter, key), o.now.Groups[key], before)
		r.Class = seriesClass(min(i, mostSeries))
		page.Rows = append(page.Rows, r)
	}
	var before *group
	if o.before != nil {
		before = &o.before.Total
	}
	page.Total = of("Total", "", &o.now.Total, before)
}

// span names the days of a filter.
func span(f filter) string {
	const form = "Mon 2 Jan 2006"
	if f.first.Equal(f.last) {
		return f.first.Format(form)
	}
	return f.first.Format(form) + " to " + f.last.Format(form)
}

// label is a group's name for the viewer.
func (v *view) label(f filter, key string) string {
	switch {
	case key == "" && f.By == ledger.ByTeam:
		return "no team"
	case key == "" && f.By == ledger.ByModel:
		return "no model"
	case f.By == ledger.ByDeveloper:
		return terminal.Safe(v.name(key))
	}
	return terminal.Safe(key)
}

// narrow is the address of one group alone, seen by what comes next; empty where
// there is none.
func (v *view) narrow(f filter, key string) string {
	switch {
	case key == "":
		return ""
	case f.By == ledger.ByTeam:
		next := string(ledger.ByDeveloper)
		if f.Fixed {
			next = string(ledger.ByModel)
		}
		return overviewPath + f.query("team", key, "by", next)
	case f.By == ledger.ByModel:
		return overviewPath + f.query("model", key, "by", string(ledger.ByTeam))
	}
	return overviewPath + f.query("developer", v.name(key), "by", string(ledger.ByModel))
}

func (v *view) todayTiles(o *overview) []tile {
	g := o.today
	tiles := []tile{
		{Label: "Spend", Value: figure.TotalCost(g.Counts)},
		{Label: "Requests", Value: figure.Thousands(g.Requests)},
		{Label: "Active developers", Value: figure.Thousands(g.Developers())},
		{Label: "Live streams", Value: figure.Thousands(int64(o.live))},
	}
	if o.filter.Fixed {
		tiles = append(tiles[:2], tiles[3])
	}
	if v.Viewer.Lists() {
		tiles[len(tiles)-1].Address = livePath
	}
	return tiles
}

func (v *view) tiles(o *overview) []tile {
	g := &o.now.Total
	var tiles []tile
	for _, m := range metrics {
		if o.filter.Fixed && m.Name == "developers" {
			continue
		}
		t := tile{Label: m.Label, Value: m.show(g), Address: overviewPath + o.filter.query("metric", m.Name), Current: m.Name == o.filter.Metric}
		if o.before != nil {
			t.Change = figure.Change(m.value(g), m.value(&o.before.Total))
		}
		switch m.Name {
		case "cost":
			if g.Unpriced > 0 {
				t.Detail = figure.Plural(g.Unpriced, "exchange") + " unpriced"
			} else if g.Requests > 0 {
				t.Detail = figure.USD(g.CostNanos/g.Requests) + " a request"
			}
		case "tokens":
			if !g.TokensUnknown() {
				t.Value = figure.TotalTokens(g.Counts, g.Usage.Total, figure.Compact)
			}
			t.Detail = figure.Share(g.Usage.Cached, g.Usage.Input) + " of input cached"
		case "errors":
			t.Label, t.Value = "Error rate", figure.Share(g.Errors, g.Requests+g.Warmups)
			t.Detail = "OpenAI " + figure.Share(g.ErrorsBy.OpenAI, g.Requests+g.Warmups) + " · proxy " + figure.Share(g.ErrorsBy.Proxy, g.Requests+g.Warmups) + " · client " + figure.Share(g.ErrorsBy.Client, g.Requests+g.Warmups)
		case "findings":
			t.Detail = figure.Thousands(g.Secrets.Reported) + " left as they were"
		case "refused":
			t.Detail = figure.Share(g.Refused, g.Records) + " of all"
		case "requests":
			if g.Warmups > 0 {
				t.Detail = "and " + figure.Thousands(g.Warmups) + " warm-ups"
			}
		case "developers":
			if n := g.Developers(); n > 0 && g.Unpriced == 0 {
				t.Detail = figure.USD(g.CostNanos/n) + " each"
			}
		}
		tiles = append(tiles, t)
	}
	return append(tiles, delayTile(o))
}

// delayTile says how much time the proxy added.
func delayTile(o *overview) tile {
	t := tile{Label: "Added by the proxy", Value: "–"}
	if p50, ok := o.delays.Percentile(50); ok {
		p99, _ := o.delays.Percentile(99)
		t.Value, t.Detail = figure.Duration(p50), "p50; p99 "+figure.Duration(p99)
	}
	if o.filter.Developer == "" && (o.filter.Team != "" || o.filter.Model != "") {
		t.Detail += ", of everything"
	}
	return t
}
