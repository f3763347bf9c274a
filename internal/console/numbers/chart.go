package numbers

import (
	"slices"
	"strconv"
)

// chart is what the script draws. Times are Unix seconds.
type chart struct {
	// Unit is "usd" (here in USD), "tokens" or "count".
	Unit   string   `json:"unit"`
	Step   unit     `json:"step"`
	Times  []int64  `json:"times"`
	Labels []string `json:"labels"`
	Series []series `json:"series"`
	// Before is the total of the same step of the period before.
	Before []float64 `json:"before,omitempty"`
	// Until is how many of the steps have begun.
	Until int `json:"until"`
}

// series is one group of a chart.
type series struct {
	Name    string    `json:"name"`
	Class   string    `json:"class"`
	Address string    `json:"address,omitempty"`
	Values  []float64 `json:"values"`
}

// seriesClass names the colour of the n-th series; the last one is for the rest.
func seriesClass(n int) string {
	if n >= mostSeries {
		return "rest"
	}
	return "s" + strconv.Itoa(n)
}

// newChart has the steps of a period, and no series yet.
func newChart(p period, unit string) chart {
	c := chart{Unit: unit, Step: p.Unit}
	for _, begin := range p.Begins {
		c.Times = append(c.Times, begin.Unix())
		c.Labels = append(c.Labels, p.Unit.label(begin))
		if begin.Before(p.Until) {
			c.Until++
		}
	}
	return c
}

// chart shows a metric over time by group.
func (v *view) chart(o *overview, m metric) chart {
	c := newChart(o.period, m.Unit)
	keys := o.now.ranked(m)
	shown := keys
	if len(keys) > mostSeries+1 { // the rest is not one group alone
		shown = keys[:mostSeries]
	}
	rest := series{Name: "all others", Class: seriesClass(mostSeries), Values: make([]float64, len(c.Times))}
	for i, key := range shown {
		s := series{Name: v.label(o.filter, key), Class: seriesClass(i), Address: v.narrow(o.filter, key)}
		for _, step := range o.now.Steps {
			value := 0.0
			if g := step.Groups[key]; g != nil {
				value = m.plot(m.value(g))
			}
			s.Values = append(s.Values, value)
		}
		c.Series = append(c.Series, s)
	}
	if len(shown) < len(keys) {
		for i := range o.now.Steps {
			var sum int64
			for key, g := range o.now.Steps[i].Groups {
				if !slices.Contains(shown, key) {
					sum += m.value(g)
				}
			}
			rest.Values[i] = m.plot(sum)
		}
		c.Series = append(c.Series, rest)
	}
	if o.before != nil && len(o.before.Steps) == len(o.now.Steps) {
		for i := range o.before.Steps {
			c.Before = append(c.Before, m.plot(m.value(&o.before.Steps[i].Total)))
		}
	}
	return c
}

// errorsChart shows errors over time by who said them.
func errorsChart(o *overview) chart {
	c := newChart(o.period, "count")
	by := [4]series{
		{Name: "OpenAI", Class: "openai"},
		{Name: "the proxy", Class: "proxy"},
		{Name: "the client", Class: "client"},
		{Name: "unknown", Class: "rest"},
	}
	for i := range o.now.Steps {
		t := &o.now.Steps[i].Total
		for k, n := range [4]int64{t.ErrorsBy.OpenAI, t.ErrorsBy.Proxy, t.ErrorsBy.Client, t.Unsaid()} {
			by[k].Values = append(by[k].Values, float64(n))
		}
	}
	c.Series = by[:3]
	if o.now.Total.Unsaid() > 0 {
		c.Series = by[:]
	}
	return c
}

// Unsaid counts the errors of which nobody knows who said them.
func (g *group) Unsaid() int64 {
	return g.Errors - g.ErrorsBy.OpenAI - g.ErrorsBy.Proxy - g.ErrorsBy.Client
}
