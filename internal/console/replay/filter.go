package replay

import (
	"net/url"
	"strconv"
	"time"

	"codex-proxy/internal/console/visit"
	"codex-proxy/internal/exchange"
)

// filter is what a list was asked for. Its exported fields are as they were
// given, to be shown in the form again.
type filter struct {
	Path                                                      string
	From, To                                                  string
	Developer, Team, Session, Model, Outcome, Origin, Refusal string
	Transport, Status, Secrets                                string
	// Token is a public id, Client a part of what the client calls itself; MinCost is in
	// USD, and MinSeconds a time.
	Token, Client, Tier, MinCost, MinSeconds string
	// Fixed says that the developer cannot be chosen.
	Fixed bool

	from, to time.Time
	before   string
	status   int
	nanos    int64
	least    time.Duration
}

// lookBackDays is how far lists look back unless they are told.
const lookBackDays = 30

// filter reads what a list is asked for from the address, or a form.
func (v *view) filter() (filter, error) {
	q := v.R.Form
	if q == nil {
		q = v.R.URL.Query()
	}
	f := filter{
		Path: v.R.URL.Path, From: q.Get("from"), To: q.Get("to"), Developer: q.Get("developer"), Team: q.Get("team"),
		Session: q.Get("session"), Model: q.Get("model"), Outcome: q.Get("outcome"), Origin: q.Get("origin"),
		Refusal: q.Get("refusal"), Transport: q.Get("transport"), Status: q.Get("status"), Secrets: q.Get("secrets"),
		Token: q.Get("token"), Client: q.Get("client"), Tier: q.Get("tier"), MinCost: q.Get("min_cost"), MinSeconds: q.Get("min_seconds"),
		before: q.Get("before"),
	}
	return f, v.complete(&f)
}

// complete finds what a list's filter means: its days, and whose exchanges the viewer
// sees.
func (v *view) complete(f *filter) error {
	if v.Viewer.Only != "" {
		f.Developer, f.Fixed = v.Viewer.Only, true
	}
	today := v.Now().UTC().Truncate(24 * time.Hour)
	last, err := visit.Day(f.To, today)
	if err != nil {
		return err
	}
	first, err := visit.Day(f.From, last.AddDate(0, 0, -lookBackDays))
	if err != nil {
		return err
	}
	if last.Before(first) {
		return visit.BadRequest("The first day, %s, is after the last, %s.", f.From, f.To)
	}
	f.from, f.to = first, last.AddDate(0, 0, 1)
	f.From, f.To = first.Format(time.DateOnly), last.Format(time.DateOnly)
	if f.Status != "" {
		if f.status, err = strconv.Atoi(f.Status); err != nil {
			return visit.BadRequest("The status is a number, such as 429.")
		}
	}
	if f.MinCost != "" {
		if f.nanos, err = exchange.ParseUSD(f.MinCost); err != nil {
			return visit.BadRequest("A cost is an amount of USD, such as 0.50.")
		}
	}
	if f.MinSeconds != "" {
		seconds, err := strconv.ParseFloat(f.MinSeconds, 64)
		if err != nil || !(seconds >= 0 && seconds < 1e9) {
			return visit.BadRequest("A time is a number of seconds, such as 30.")
		}
		f.least = time.Duration(seconds * float64(time.Second))
	}
	return nil
}

// older is where the list goes on after the row of the given id.
func (f filter) older(path, before string) string {
	q := url.Values{"before": {before}}
	for name, value := range map[string]string{
		"from": f.From, "to": f.To, "developer": f.Developer, "team": f.Team, "session": f.Session, "model": f.Model, "outcome": f.Outcome,
		"origin": f.Origin, "refusal": f.Refusal, "transport": f.Transport, "status": f.Status, "secrets": f.Secrets,
		"token": f.Token, "client": f.Client, "tier": f.Tier, "min_cost": f.MinCost, "min_seconds": f.MinSeconds,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return path + "?" + q.Encode()
}

// Rare says that one of the conditions is set that are asked for seldom.
func (f filter) Rare() bool {
	return f.Refusal+f.Status+f.Transport+f.Token+f.Client+f.Tier+f.MinCost+f.MinSeconds != ""
}

// choice is one of those that a form offers.
type choice struct{ Value, Label string }

// Outcomes are those that a form offers.
func (filter) Outcomes() []choice {
	all := []choice{{"", "any"}}
	for _, o := range []exchange.Outcome{exchange.Completed, exchange.Failed, exchange.UpstreamError, exchange.ClientCancelled, exchange.Interrupted, exchange.Refused} {
		all = append(all, choice{string(o), outcomeWords(o)})
	}
	return all
}

// Origins are who may have said that something went wrong.
func (filter) Origins() []choice {
	all := []choice{{"", "anyone"}}
	for _, o := range []exchange.Origin{exchange.OriginOpenAI, exchange.OriginProxy, exchange.OriginClient} {
		all = append(all, choice{string(o), speaker(o)})
	}
	return all
}

// Transports are how exchanges travel.
func (filter) Transports() []choice {
	return []choice{{"", "any"}, {string(exchange.HTTP), "HTTP"}, {string(exchange.WebSocket), "WebSocket"}}
}
