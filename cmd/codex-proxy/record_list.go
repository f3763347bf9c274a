package main

import (
	"fmt"
	"slices"
	"time"

	"codex-proxy/internal/exchange"
	"codex-proxy/internal/record"
	"codex-proxy/internal/terminal"
)

type recordListCommand struct {
	recordDays
	jsonFlag

	Day       string        `help:"One day (UTC), such as 2026-02-16, instead of --from and --to." env:"-" placeholder:"DAY"`
	Developer string        `help:"Only this developer's." env:"-"`
	Team      string        `help:"Only of those who were in this team." env:"-"`
	Session   string        `help:"Only this Codex session's; its first or last 8 characters are enough." env:"-"`
	Model     string        `help:"Only those that this model answered." env:"-"`
	Outcome   string        `help:"Only those that ended so: completed, failed, upstream_error, client_cancelled, interrupted or refused." env:"-"`
	Origin    string        `help:"Only those that went wrong and of which this one said so: openai, proxy or client." enum:",openai,proxy,client" default:"" env:"-"`
	Refusal   string        `help:"Only those that the proxy refused so, such as budget_exceeded." env:"-"`
	Status    int           `help:"Only those that were answered with this HTTP status, such as 429." env:"-"`
	Transport string        `help:"Only those that travelled so: http or websocket." enum:",http,websocket" default:"" env:"-"`
	Token     string        `help:"Only those that were sent with this token, by its id." env:"-"`
	Client    string        `help:"Only those whose client has this in its name, such as /0.169." env:"-"`
	Tier      string        `help:"Only those of this service tier." env:"-"`
	MinCost   usd           `help:"Only those that cost at least so many USD, such as 0.50." env:"-" placeholder:"USD"`
	MinTime   time.Duration `help:"Only those that took at least so long, such as 30s." env:"-" placeholder:"TIME"`
	Secrets   bool          `help:"Only those that carried secrets." env:"-"`
	Limit     int           `help:"How many to list at most; 0 lists all." env:"-" default:"50"`
}

// recordRow is an exchange as record list prints it in JSON; a session and a
// model are there even when there is none.
type recordRow struct {
	exchange.Exchange

	Session string `json:"session"`
	Model   string `json:"model"`
}

func (r *recordListCommand) Run(c *console) error {
	filter, err := r.filter(time.Now())
	if err != nil {
		return err
	}
	archive, err := c.settings.openArchive(c.ctx, look)
	if err != nil {
		return err
	}
	rows := []recordRow{}
	unread, more := 0, false
	for e, err := range record.Exchanges(c.ctx, archive, filter) {
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if err != nil {
			unread++
			warn(c, err)
			continue
		}
		if more = r.Limit > 0 && len(rows) == r.Limit; more {
			break
		}
		rows = append(rows, recordRow{Exchange: e, Session: e.Session, Model: e.Model})
	}
	if r.JSON {
		err = printSafeJSON(c.stdout, rows)
	} else {
		err = r.print(c, filter, rows, more)
	}
	if err != nil {
		return err
	}
	return unreadError(unread)
}

func (r *recordListCommand) filter(now time.Time) (record.Filter, error) {
	if r.Day != "" {
		if r.From != "" || r.To != "" {
			return record.Filter{}, misuse("--day stands alone: give it, or --from and --to")
		}
		if _, err := recordDay("--day", r.Day, now); err != nil {
			return record.Filter{}, err
		}
		r.From, r.To = r.Day, r.Day
	}
	if r.Limit < 0 {
		return record.Filter{}, misuse("--limit %d is negative: 0 lists all", r.Limit)
	}
	if err := checkOutcome(r.Outcome); err != nil {
		return record.Filter{}, err
	}
	filter, err := r.recordDays.filter(now)
	filter.Developer, filter.Team, filter.Session, filter.Model, filter.Outcome = r.Developer, r.Team, r.Session, r.Model, exchange.Outcome(r.Outcome)
	filter.Origin, filter.Refusal, filter.Status = exchange.Origin(r.Origin), r.Refusal, r.Status
	filter.Transport, filter.Secrets = exchange.Transport(r.Transport), r.Secrets
	filter.Token, filter.Client, filter.Tier, filter.CostNanos, filter.Duration = r.Token, r.Client, r.Tier, int64(r.MinCost), r.MinTime
	return filter, err
}

// checkOutcome returns an error unless --outcome names an outcome, or none.
func checkOutcome(name string) error {
	switch exchange.Outcome(name) {
	case "", exchange.Completed, exchange.Failed, exchange.UpstreamError, exchange.ClientCancelled, exchange.Interrupted, exchange.Refused:
		return nil
	}
	return misuse("--outcome %q is none: completed, failed, upstream_error, client_cancelled, interrupted or refused", name)
}

func (r *recordListCommand) print(c *console, filter record.Filter, rows []recordRow, more bool) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintf(c.stdout, "No exchange %s is on record.\n", recordPeriod(filter))
		return err
	}
	if err := printColumns(c.stdout, recordColumns(rows), rows); err != nil {
		return err
	}
	if more {
		_, err := fmt.Fprintf(c.stdout, "… the newest %d %s; --limit 0 lists all.\n", len(rows), recordPeriod(filter))
		return err
	}
	return nil
}

// recordColumns are the list's columns. That of secrets stands only where there
// are any.
func recordColumns(rows []recordRow) []column[recordRow] {
	columns := []column[recordRow]{
		{
			title:  "id",
			cell:   func(e recordRow) string { return e.ID },
			narrow: func(e recordRow) string { return e.ID[max(0, len(e.ID)-12):] },
		},
		{
			title:  "started (UTC)",
			cell:   func(e recordRow) string { return e.Started.UTC().Format(time.DateTime) },
			narrow: func(e recordRow) string { return e.Started.UTC().Format("01-02 15:04") },
		},
		{title: "developer", least: 6, cell: func(e recordRow) string { return e.Developer }},
		{
			title:  "session",
			cell:   func(e recordRow) string { return e.Session },
			narrow: func(e recordRow) string { return e.Session[max(0, len(e.Session)-8):] },
			spare:  true,
		},
		{title: "model", least: 6, cell: func(e recordRow) string { return e.Model }},
		{title: "status", right: true, spare: true, cell: func(e recordRow) string {
			if e.Status == 0 {
				return "-"
			}
			return fmt.Sprint(e.Status)
		}},
		{title: "outcome", least: 7, cell: func(e recordRow) string { return string(e.Outcome) }},
		{title: "tokens", right: true, cell: func(e recordRow) string { return recordTokens(e.Usage) }},
		{title: "cost", right: true, cell: func(e recordRow) string { return recordCost(e.Cost) }},
	}
	if slices.ContainsFunc(rows, func(e recordRow) bool { return len(e.Findings) > 0 }) {
		columns = append(columns, column[recordRow]{title: "secrets", least: 7, cell: func(e recordRow) string { return secretsOf(e.Exchange) }})
	}
	return columns
}

// secretsOf tells in a few words what secrets an exchange carried and what
// became of them.
func secretsOf(e exchange.Exchange) string {
	count, fresh := map[exchange.FindingMode]int{}, 0
	for _, s := range e.Secrets() {
		count[s.Mode]++
		if s.New {
			fresh++
		}
	}
	var words []string
	for _, became := range []struct {
		mode exchange.FindingMode
		word string
	}{{exchange.Reported, "left"}, {exchange.Redacted, "redacted"}, {exchange.Blocked, "blocked"}} {
		if n := count[became.mode]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, became.word))
		}
	}
	return list(words...) + when(fresh > 0, fmt.Sprintf(" (%d new)", fresh))
}

// warn says on the standard error what went wrong without ending the command.
func warn(c *console, err error) {
	fmt.Fprintf(c.stderr, "codex-proxy: %s\n", terminal.Safe(err.Error()))
}

// unreadError fails a command that could not read all records, as its answer may
// not be whole.
func unreadError(unread int) error {
	switch unread {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("one record could not be read, so the answer may not be whole")
	}
	return fmt.Errorf("%d records could not be read, so the answer may not be whole", unread)
}
