// Package admission judges whether an authenticated developer may make one more
// exchange: which models, how much money, how often, how many at once.
//
// It judges by what the ledger already holds. Exchanges that run at this moment
// are not yet in it, so a budget can be overshot by what was running when it
// was reached; it is never overshot by an exchange that began afterwards.
package admission

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"codex-proxy/internal/developer"
	"codex-proxy/internal/exchange"
	"codex-proxy/internal/refusal"
)

// Spending tells what has been spent, in USD nanos, on exchanges that began in
// [from, to). Exactly one of developer and team is set.
type Spending interface {
	Spent(ctx context.Context, developer, team string, from, to time.Time) (nanos int64, err error)
}

// Desk admits exchanges. It is safe for concurrent use.
type Desk struct {
	spending Spending
	now      func() time.Time

	mu         sync.Mutex
	developers map[string]*load
}

// load is what one developer does right now.
type load struct {
	running int
	limiter *rate.Limiter
	seen    time.Time
}

// NewDesk returns a Desk that asks spending for budgets and reads the time from
// now.
func NewDesk(spending Spending, now func() time.Time) *Desk {
	return &Desk{spending: spending, now: now, developers: map[string]*load{}}
}

// Connect takes a place among the developer's concurrent streams. The caller
// must call leave once, when the stream has ended.
func (d *Desk) Connect(who developer.Identity) (leave func(), no *refusal.Refusal) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.load(who)
	if limit := who.Policy.ConcurrentStreams; limit > 0 && l.running >= limit {
		return nil, refusal.UsageLimit("rate_limited",
			fmt.Sprintf("you have %d requests running at once, and your team's limit is %d. Wait for one to end", l.running, limit),
			d.now().Add(10*time.Second), who.Policy.Contact)
	}
	l.running++
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		l.running--
	}), nil
}

// Admit judges one exchange before it begins: the developer's rate, then the
// budgets. An error means that the ledger could not be asked.
func (d *Desk) Admit(ctx context.Context, who developer.Identity) (*refusal.Refusal, error) {
	if no := d.admitRate(who); no != nil {
		return no, nil
	}
	return d.admitBudget(ctx, who)
}

// AdmitWarmup judges what only prepares an exchange, as Codex does by itself when
// it starts: it uses up none of the developer's rate, but the budgets hold. An
// error means that the ledger could not be asked.
func (d *Desk) AdmitWarmup(ctx context.Context, who developer.Identity) (*refusal.Refusal, error) {
	return d.admitBudget(ctx, who)
}

func (d *Desk) admitRate(who developer.Identity) *refusal.Refusal {
	perMinute := who.Policy.RequestsPerMinute
	if perMinute <= 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	l := d.load(who)
	limit := rate.Limit(float64(perMinute) / 60)
	if l.limiter == nil {
		l.limiter = rate.NewLimiter(limit, perMinute)
	} else if l.limiter.Burst() != perMinute {
		l.limiter.SetLimitAt(now, limit)
		l.limiter.SetBurstAt(now, perMinute)
	}
	reservation := l.limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return refusal.UsageLimit("rate_limited",
		fmt.Sprintf("you have made %d requests within a minute, which is your team's limit. Wait %s", perMinute, wait.Round(time.Second)+time.Second),
		now.Add(wait), who.Policy.Contact)
}

func (d *Desk) admitBudget(ctx context.Context, who developer.Identity) (*refusal.Refusal, error) {
	from, to := month(d.now())
	for _, b := range budgets(who) {
		spent, err := d.spending.Spent(ctx, b.developer, b.team, from, to)
		if err != nil {
			return nil, fmt.Errorf("ask the ledger what has been spent: %w", err)
		}
		if spent >= b.limit {
			return refusal.UsageLimit("budget_exceeded",
				fmt.Sprintf("%s budget of $%s for %s is spent ($%s). It starts afresh on %s (UTC)",
					b.whose, exchange.USD(b.limit), from.Format("January 2006"), exchange.USD(asExactAs(spent, b.limit)), to.Format("January 2")),
				to, who.Policy.Contact), nil
		}
	}
	return nil, nil
}

// budget is one that an exchange counts against.
type budget struct {
	limit           int64 // USD nanos
	developer, team string
	whose           string
}

// budgets returns the budgets that a developer has.
func budgets(who developer.Identity) (list []budget) {
	if limit := who.Policy.DeveloperBudgetNanos; limit > 0 {
		list = append(list, budget{limit, who.Developer, "", "your"})
	}
	if limit := who.Policy.TeamBudgetNanos; limit > 0 {
		list = append(list, budget{limit, "", who.Team, fmt.Sprintf("the team %q's", who.Team)})
	}
	return list
}

// Balance is where one budget stands.
type Balance struct {
	// Team says that the budget is the whole team's, not the developer's own.
	Team bool
	// LimitNanos and SpentNanos are USD nanos in the calendar month (UTC).
	LimitNanos, SpentNanos int64
	// ResetsAt is when the budget starts afresh.
	ResetsAt time.Time
}

// Balances tells where a developer's budgets stand, their own first. An error
// means that the ledger could not be asked.
func (d *Desk) Balances(ctx context.Context, who developer.Identity) ([]Balance, error) {
	from, to := month(d.now())
	var list []Balance
	for _, b := range budgets(who) {
		spent, err := d.spending.Spent(ctx, b.developer, b.team, from, to)
		if err != nil {
			return nil, fmt.Errorf("ask the ledger what has been spent: %w", err)
		}
		list = append(list, Balance{Team: b.team != "", LimitNanos: b.limit, SpentNanos: spent, ResetsAt: to})
	}
	return list, nil
}

// load returns the developer's load and forgets those who have long been away.
func (d *Desk) load(who developer.Identity) *load {
	now := d.now()
	l := d.developers[who.Developer]
	if l == nil {
		for id, other := range d.developers {
			if other.running == 0 && now.Sub(other.seen) > time.Hour {
				delete(d.developers, id)
			}
		}
		l = &load{}
		d.developers[who.Developer] = l
	}
	l.seen = now
	return l
}

// Model judges the model that a request names.
func Model(who developer.Identity, model string) *refusal.Refusal {
	if who.Policy.Allows(model) {
		return nil
	}
	return refusal.Request("model_not_allowed",
		fmt.Sprintf("your team %q may not use the model %q. It may use: %s. Choose one of these with 'codex -m MODEL'%s.",
			who.Team, model, strings.Join(who.Policy.Models, ", "), ask(who.Policy.Contact)))
}

func ask(contact string) string {
	if contact == "" {
		return ""
	}
	return ", or ask " + contact
}

// month returns the UTC calendar month around t, as [from, to).
func month(t time.Time) (from, to time.Time) {
	t = t.UTC()
	from = time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return from, from.AddDate(0, 1, 0)
}

// asExactAs rounds what was spent down to the places that the limit has, and to cents
// at least, so that of a spent budget no less is said to be spent than there was.
func asExactAs(spent, limit int64) int64 {
	unit := int64(10_000_000) // a cent
	for limit%unit != 0 {
		unit /= 10
	}
	return spent - spent%unit
}
