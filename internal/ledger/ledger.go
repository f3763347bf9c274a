// Package ledger counts: one small row per exchange, the sums over them, and
// what they cost. Reports and budgets read only the ledger; it can be rebuilt
// from the archive at any time.
package ledger

import (
	"context"
	"fmt"
	"iter"
	"sort"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/openai"
)

// Store keeps the ledger. Every method is atomic.
type Store interface {
	// Add adds rows durably. A row whose id is already there changes nothing, so
	// adding again is harmless.
	Add(ctx context.Context, rows []exchange.Exchange) error
	// Spent returns what the exchanges that began in [from, to) cost, in USD
	// nanos: those of a developer, or of a team when developer is empty. from and
	// to are whole quarters of an hour.
	Spent(ctx context.Context, developer, team string, from, to time.Time) (nanos int64, err error)
	// Sums yields the sums of the exchanges that began in [From, To), in any
	// order and possibly several for one key.
	Sums(ctx context.Context, q Query) iter.Seq2[Sum, error]
	// Delays returns the times that the proxy added to the exchanges that began in
	// [from, to), whole quarters of an hour: to those of a developer, or to all when
	// developer is empty.
	Delays(ctx context.Context, developer string, from, to time.Time) (Delays, error)
	// Incidents returns what the sightings that the query chooses add up to, one
	// row for each secret, the one that was seen last first.
	Incidents(ctx context.Context, q IncidentQuery) ([]Incident, error)
	// Amend replaces what is kept of an exchange's secrets by its findings, and
	// its texts that may hold secrets: Client, Path and Error. All else of it
	// stays. An exchange that is not there changes nothing.
	Amend(ctx context.Context, e exchange.Exchange) error
	// Sightings yields the exchanges that carried the secret with the given
	// fingerprint, in the order in which they began.
	Sightings(ctx context.Context, fingerprint string) iter.Seq2[Sighting, error]
	// Reprice rates anew every exchange that began in [from, to), and returns
	// what changed. With dry, nothing is kept. rate is not told of findings.
	Reprice(ctx context.Context, from, to time.Time, rate func(exchange.Exchange) exchange.Cost, dry bool) ([]Change, error)
	// Rebuild replaces all rows. When it fails, nothing has changed.
	Rebuild(ctx context.Context, rows iter.Seq2[exchange.Exchange, error]) (count int, err error)
}

// Summer is what a report needs of a Store.
type Summer interface {
	Sums(ctx context.Context, q Query) iter.Seq2[Sum, error]
}

// By is what a report groups by.
type By string

// What reports can group by.
const (
	ByDeveloper By = "developer"
	ByTeam      By = "team"
	ByModel     By = "model"
	ByDay       By = "day"
	BySession   By = "session"
	// ByMember is by developer and team: a developer may have been in several.
	ByMember By = "member"
)

// Query says what a report is about. From and To are whole quarters of an hour,
// as the beginning of a day is in every time zone. Empty filters match all.
type Query struct {
	From, To               time.Time
	By                     By
	Developer, Team, Model string
	// Zone is the time zone of days.
	Zone *time.Location
}

// Sum is what the exchanges of one group and one model add up to.
type Sum struct {
	// Key is the developer, team, model or session, and empty when By is ByDay:
	// Quarter is then the quarter of an hour in which the exchanges began. Team is
	// there when By is ByMember.
	Key     string
	Team    string
	Quarter time.Time
	Model   string
	Counts
}

// Counts are counted exchanges, tokens and USD nanos.
type Counts struct {
	// Records counts every exchange. Requests leaves out warm-ups, which ask for
	// nothing, and refusals, which upstream never saw.
	Records, Requests, Warmups, Refused int64
	// Errors counts the exchanges that upstream, the client or the proxy ended
	// otherwise than with a whole answer, refusals left out.
	Errors int64
	// ErrorsBy counts those by who said that something went wrong.
	ErrorsBy  Origins
	Usage     openai.Usage
	CostNanos int64
	// Unpriced, Estimated and Missing count exchanges whose cost is unknown,
	// whose usage is estimated, and whose usage is unknown.
	Unpriced, Estimated, Missing int64
	Secrets                      Secrets
}

// Add returns the sum of c and d.
func (c Counts) Add(d Counts) Counts {
	return Counts{
		Records: c.Records + d.Records, Requests: c.Requests + d.Requests,
		Warmups: c.Warmups + d.Warmups, Refused: c.Refused + d.Refused, Errors: c.Errors + d.Errors, ErrorsBy: c.ErrorsBy.Add(d.ErrorsBy),
		Usage: c.Usage.Add(d.Usage), CostNanos: c.CostNanos + d.CostNanos,
		Unpriced: c.Unpriced + d.Unpriced, Estimated: c.Estimated + d.Estimated, Missing: c.Missing + d.Missing,
		Secrets: c.Secrets.Add(d.Secrets),
	}
}

// Origins are errors, counted by who said them.
type Origins struct{ OpenAI, Proxy, Client int64 }

// Add returns the sum of o and p.
func (o Origins) Add(p Origins) Origins {
	return Origins{o.OpenAI + p.OpenAI, o.Proxy + p.Proxy, o.Client + p.Client}
}

// CostUnknown reports whether nothing is known of a cost that there was.
func (c Counts) CostUnknown() bool { return c.Unpriced > 0 && c.CostNanos == 0 }

// TokensUnknown reports whether nothing is known of tokens that were used.
func (c Counts) TokensUnknown() bool { return c.Missing > 0 && c.Usage.Total == 0 }

// Count returns what one exchange counts for.
func Count(e exchange.Exchange) Counts {
	c := Counts{Records: 1, Secrets: countSecrets(e)}
	switch {
	case e.Outcome == exchange.Refused:
		c.Refused = 1
	case e.Warmup:
		c.Warmups = 1
	default:
		c.Requests = 1
	}
	if e.Outcome != exchange.Completed && e.Outcome != exchange.Refused {
		c.Errors = 1
		switch e.ErrorOrigin {
		case exchange.OriginOpenAI:
			c.ErrorsBy.OpenAI = 1
		case exchange.OriginProxy:
			c.ErrorsBy.Proxy = 1
		case exchange.OriginClient:
			c.ErrorsBy.Client = 1
		}
	}
	switch e.Usage.State {
	case exchange.UsageExact:
		c.Usage = e.Usage.Usage
	case exchange.UsageEstimated:
		c.Usage, c.Estimated = e.Usage.Usage, 1
	case exchange.UsageMissing:
		c.Missing = 1
	}
	switch e.Cost.State {
	case exchange.CostPriced:
		c.CostNanos = e.Cost.Nanos
	case exchange.CostUnpriced:
		c.Unpriced = 1
	}
	return c
}

// Change is how the cost of a model's exchanges changed.
type Change struct {
	Model              string
	Exchanges          int64
	OldNanos, NewNanos int64
	// Unpriced counts those that have no price even now.
	Unpriced int64
}

// Report is the answer to a Query.
type Report struct {
	Rows  []Row
	Total Row
}

// Row is one group of a report.
type Row struct {
	Key string
	Counts
	// Models counts the requests of each model that answered.
	Models map[string]int64
}

// NewReport asks the store and groups what it says. Days come in their order,
// everything else by cost, the highest first.
func NewReport(ctx context.Context, store Summer, q Query) (*Report, error) {
	rows := map[string]*Row{}
	report := &Report{Total: Row{Key: "total", Models: map[string]int64{}}}
	for sum, err := range store.Sums(ctx, q) {
		if err != nil {
			return nil, fmt.Errorf("read the ledger: %w", err)
		}
		key := sum.Key
		if q.By == ByDay {
			key = sum.Quarter.In(q.Zone).Format(time.DateOnly)
		}
		row := rows[key]
		if row == nil {
			row = &Row{Key: key, Models: map[string]int64{}}
			rows[key] = row
		}
		for _, r := range []*Row{row, &report.Total} {
			r.Counts = r.Counts.Add(sum.Counts)
			if sum.Model != "" && sum.Requests > 0 {
				r.Models[sum.Model] += sum.Requests
			}
		}
	}
	for _, row := range rows {
		report.Rows = append(report.Rows, *row)
	}
	sort.Slice(report.Rows, func(i, k int) bool {
		a, b := report.Rows[i], report.Rows[k]
		if q.By != ByDay && a.CostNanos != b.CostNanos {
			return a.CostNanos > b.CostNanos
		}
		return a.Key < b.Key
	})
	return report, nil
}
