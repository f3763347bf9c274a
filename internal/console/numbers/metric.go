package numbers

import "codex-proxy/internal/ledger"

// group is what the exchanges of a team, developer or model add up to.
type group struct {
	ledger.Counts
	// developers are those who asked for something.
	developers map[string]bool
}

func (g *group) add(s ledger.Sum) {
	g.Counts = g.Counts.Add(s.Counts)
	if s.Requests > 0 {
		if g.developers == nil {
			g.developers = map[string]bool{}
		}
		g.developers[s.Key] = true
	}
}

// Developers is how many developers asked for something.
func (g *group) Developers() int64 { return int64(len(g.developers)) }

// metric is a number that a chart can show.
type metric struct {
	Name, Label string
	// Unit is "usd" (nanos), "tokens" or "count".
	Unit  string
	value func(*group) int64
}

// metrics are all there are; the first is shown unless another is asked for.
var metrics = []metric{
	{"cost", "Spend", "usd", func(g *group) int64 { return g.CostNanos }},
	{"requests", "Requests", "count", func(g *group) int64 { return g.Requests }},
	{"tokens", "Tokens", "tokens", func(g *group) int64 { return g.Usage.Total }},
	{"developers", "Active developers", "count", (*group).Developers},
	{"refused", "Refusals", "count", func(g *group) int64 { return g.Refused }},
	{"findings", "Secrets found", "count", func(g *group) int64 { return g.Secrets.Total() }},
	{"errors", "Errors", "count", func(g *group) int64 { return g.Errors }},
}

func findMetric(name string) (metric, bool) {
	for _, m := range metrics {
		if m.Name == name {
			return m, true
		}
	}
	return metric{}, false
}

func metricNames() (names []string) {
	for _, m := range metrics {
		names = append(names, m.Name)
	}
	return names
}
